"""Conditions on what the values of a row mean, by the names and in the form that a profile gives.

    App ~ *chrome*      EndTime >= 2021-10-07       IdType = user

A condition that the stored value can be held against is left to the table, which reads of other
rows no more than it needs. The rest is judged here, on decoded values: times in UTC, everything
else as text without regard to case.
"""

from __future__ import annotations

import fnmatch
import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from hotsplit.errors import InvalidUse
from hotsplit.ese.export.fields import Field, Fields
from hotsplit.ese.format.columns import NUMBER_CODES, ColumnDef, Value
from hotsplit.ese.read.where import (
    Condition,
    Parsed,
    beyond_microseconds,
    parse_condition,
    parse_time,
    split_condition,
    value_hint,
)

_TESTS: dict[str, Callable[[str, str], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "~": fnmatch.fnmatchcase,
}


class Shown(NamedTuple):
    """A condition on what is shown. wanted: text in the form in which it is compared."""

    field: Field
    operator: str
    wanted: str = ""

    def is_met(self, value: Value) -> bool:
        """Say whether a stored value means something that meets the condition."""
        meant = value if self.field.meaning is None else self.field.meaning(value)
        if self.operator in ("null", "not null"):
            return (meant is None) == (self.operator == "null")
        several = meant if isinstance(meant, list) else [meant]
        return any(self._holds(one) for one in several if one is not None)

    def _holds(self, one: Any) -> bool:
        text = one.hex() if isinstance(one, bytes) else str(one).casefold()
        if is_time(self.field) and self.operator != "~":
            if not isinstance(one, str):  # nothing that the decoder takes for a time
                return False
            text = text.removesuffix("z")
        return _TESTS[self.operator](text, self.wanted)


def is_time(field: Field) -> bool:
    """Say whether a field shows times in UTC."""
    return bool(getattr(field.meaning, "is_time", False))


def split_conditions(texts: Sequence[str], fields: Fields) -> tuple[list[Condition], list[Shown]]:
    """Return the conditions on what is stored, and those on what is shown.

    Raises InvalidUse if a text is no condition or a value does not fit, ObjectNotFound.
    """
    stored: list[Condition] = []
    shown: list[Shown] = []
    for text in texts:
        parsed = split_condition(text)
        found = fields.named(parsed.column)
        field = next((one for one in found if one.meaning is None), found[0])
        if _is_of_the_stored(parsed, field):
            stored.append(_about(field.column, text))
        else:
            shown.append(Shown(field, parsed.operator, _wanted(parsed, field)))
    return stored, shown


def _about(column: ColumnDef, text: str) -> Condition:
    return parse_condition(text, lambda _: column)


def _is_of_the_stored(parsed: Parsed, field: Field) -> bool:
    """Say whether a condition is about the value as it is stored.

    A time is the same in both forms if it is an OLE date; of a number that has a name, both the
    number and the name may be given.
    """
    if field.meaning is None or (field.meaning.name == "ole" and parsed.operator != "~"):
        return True
    is_name = field.meaning.name == "lookup" or parsed.operator == "~"
    return not is_name and field.column.coltyp in NUMBER_CODES and _is_number(parsed.value)


def _is_number(text: str) -> bool:
    try:
        int(text, 0)
    except ValueError:
        return False
    return True


def _wanted(parsed: Parsed, field: Field) -> str:
    value = parsed.value
    if not value or parsed.operator == "~" or not is_time(field):
        return value.casefold()
    try:
        time = parse_time(value)
    except (ValueError, OverflowError) as error:
        why = f"{value!r} is no time, which {field.name} is"
        raise InvalidUse(why, hint=value_hint(value)) from error
    rest = time.microsecond * 1000 + beyond_microseconds(value)
    fraction = f".{rest:09d}".rstrip("0") if rest else ""
    return (time.replace(microsecond=0).isoformat() + fraction).lower()
