"""Conditions on rows: a column, a comparison, a value.

    AppId = 12          Name != System      TimeStamp >= 2021-10-07T09:00:00
    Name ~ *chrome*     Payload is null     Payload is not null

Values are written as the text formats show them: numbers in digits, binary values and GUIDs in
hexadecimal digits, times in ISO form; one with an offset from UTC is turned into UTC. A value may
stand in quotes. ``~`` takes a pattern with * and ?. Text is compared without regard to case. NULL
meets no comparison. Several values meet a condition if one of them does.
"""

from __future__ import annotations

import datetime as dt
import fnmatch
import itertools
import math
import operator
import re
import struct
import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from hotsplit.errors import InvalidUse
from hotsplit.ese.format.columns import NUMBER_CODES, TEXT_TYPES, Coltyp, ColumnDef, DateTime, Value

_FORM = re.compile(
    r"\s*(?P<column>.+?)\s*"
    r"(?:(?P<null>is\s+(?:not\s+)?null)|(?P<op>!=|<=|>=|=|<|>|~)\s*(?P<value>.*?))\s*",
    re.IGNORECASE | re.DOTALL,
)
_OLE_EPOCH = dt.datetime(1899, 12, 30)
_TICKS_A_DAY = 864 * 10**9  # of 100 ns
_TICKS_TO_1899 = (_OLE_EPOCH - dt.datetime(1601, 1, 1)).days * _TICKS_A_DAY
_FAR = 1e7  # days: further away than any time
_TESTS: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda a, b: bool(a == b),
    "!=": lambda a, b: bool(a != b),
    "<": lambda a, b: bool(a < b),
    "<=": lambda a, b: bool(a <= b),
    ">": lambda a, b: bool(a > b),
    ">=": lambda a, b: bool(a >= b),
    "~": fnmatch.fnmatchcase,
}
_QUOTED = re.compile(r"(['\"])(.*)\1", re.DOTALL)
_FRACTION = re.compile(r"\.[0-9]{6}([0-9]{1,3})")
_ANOTHER = re.compile(r"\s(and|or)\s", re.IGNORECASE)


class Moment(float):
    """Days since 1899-12-30 of a time that a condition names: it is held against times.

    A number is held against the stored double.
    """


class Parsed(NamedTuple):
    """The parts of a condition. operator: as in `Condition`. value: its text, without quotes."""

    column: str
    operator: str
    value: str = ""


class Condition(NamedTuple):
    """One condition. operator: one of = != < <= > >= ~, or null, not null. value: as compared."""

    column: ColumnDef
    operator: str
    value: Any = None

    def is_met(self, value: Value) -> bool:
        """Say whether a value of the column meets the condition."""
        if self.operator in ("null", "not null"):
            return (value is None) == (self.operator == "null")
        test = _TESTS[self.operator]
        several = value if isinstance(value, list) else [value]
        form = _pattern_text if self.operator == "~" else comparable
        if isinstance(self.value, Moment):
            form = _moment
        try:
            return any(test(form(v), self.value) for v in several if v is not None)
        except TypeError:  # bytes in a text column
            return False


def meets(values: Sequence[Value], conditions: Iterable[Condition]) -> bool:
    """Say whether the values of their columns meet all conditions."""
    return all(c.is_met(v) for v, c in zip(values, conditions, strict=True))


def within(values: Sequence[Value], start: Sequence[Any], stop: Sequence[Any]) -> bool:
    """Say whether the values of the first columns of an index lie between two limits, included.

    Of several values of a column one must, as each has an entry of its own.
    """
    several = (value if isinstance(value, list) and value else [value] for value in values)
    return any(
        _orders(one, start, operator.gt) and _orders(one, stop, operator.lt)
        for one in itertools.product(*several)
    )


def _orders(values: Sequence[Any], limit: Sequence[Any], test: Callable[[Any, Any], bool]) -> bool:
    """Judge the first value that differs from its limit."""
    for value, bound in zip(values, limit, strict=False):
        if value is None or bound is None:
            if value is not bound:
                return test(value is not None, bound is not None)
            continue
        one, other = comparable(value), comparable(bound)
        if one != other:
            try:
                return test(one, other)
            except TypeError:  # a value that could not be decoded
                return False
    return True


def comparable(value: Any) -> Any:
    """Return a value in the form in which it is compared."""
    if isinstance(value, str):
        return value.casefold()
    if isinstance(value, uuid.UUID):
        return str(value)
    return value.days if isinstance(value, DateTime) else value


def _moment(value: Any) -> Any:
    """Return the days since 1899-12-30 of an OLE date, or of the FILETIME that stands for one."""
    if not isinstance(value, DateTime):
        return value
    if value.is_filetime:
        return (value.bits - _TICKS_TO_1899) / _TICKS_A_DAY
    days = value.days
    if -_FAR < days < 0:  # the fraction counts forward
        whole = math.trunc(days)
        return whole + abs(days - whole)
    return days


def split_condition(text: str) -> Parsed:
    """Return the parts of a condition. Raises InvalidUse if the text is none."""
    match = _FORM.fullmatch(text)
    if match is None:
        raise InvalidUse(f"{text!r} is no condition", hint="For example: AppId = 12")
    if match["null"]:
        return Parsed(match["column"], "not null" if "not" in match["null"].lower() else "null")
    quoted = _QUOTED.fullmatch(match["value"])
    return Parsed(match["column"], match["op"], quoted[2] if quoted else match["value"])


def _pattern_text(value: Any) -> str:
    """Return a value as text formats show it, for patterns."""
    if isinstance(value, DateTime):
        value = value.exact()
    return value.hex() if isinstance(value, bytes) else str(value).casefold()


def parse_condition(text: str, find: Callable[[str], ColumnDef]) -> Condition:
    """Return the condition that a text says; `find` gives columns by name.

    Raises InvalidUse if the text is none or the value does not fit the column, ObjectNotFound.
    """
    parsed = split_condition(text)
    column, operator = find(parsed.column), parsed.operator
    if operator in ("null", "not null"):
        return Condition(column, operator)
    if operator == "~":
        return Condition(column, operator, parsed.value.casefold())
    try:
        return Condition(column, operator, _value(column, parsed.value))
    except (KeyError, ValueError, OverflowError) as error:
        why = f"{parsed.value!r} is no {column.type_name} value of {column.name}"
        raise InvalidUse(why, hint=value_hint(parsed.value)) from error


def value_hint(value: str) -> str:
    """Return what to do about a value that does not fit."""
    several = "A condition is one comparison: give --where once for each; all must be met."
    return several if _ANOTHER.search(value) else ""


def parse_key(columns: Sequence[ColumnDef], texts: Sequence[str]) -> tuple[Any, ...]:
    """Return the values of the first columns of an index that texts say, for `Cursor.range`.

    Raises InvalidUse if a value does not fit its column.
    """
    if len(texts) > len(columns):
        raise InvalidUse(f"The index has {len(columns)} columns")
    return tuple(_key_value(c, text) for c, text in zip(columns, texts, strict=False))


def _key_value(column: ColumnDef, text: str) -> Any:
    try:
        if column.coltyp in TEXT_TYPES:
            return text
        if column.coltyp == Coltyp.GUID:
            return uuid.UUID(text)
        if column.coltyp == Coltyp.DATE_TIME:
            return DateTime(struct.pack("<d", _days(text)))
        return _value(column, text)
    except (KeyError, ValueError, OverflowError) as error:
        raise InvalidUse(f"{text!r} is no {column.type_name} value of {column.name}") from error


def _value(column: ColumnDef, text: str) -> Any:
    coltyp = column.coltyp
    if coltyp == Coltyp.BIT:
        return {"true": True, "1": True, "false": False, "0": False}[text.lower()]
    if coltyp in (Coltyp.IEEE_SINGLE, Coltyp.IEEE_DOUBLE):
        return float(text)
    if coltyp in NUMBER_CODES:
        return int(text, 0)
    if coltyp == Coltyp.DATE_TIME:
        return _days(text)
    if coltyp == Coltyp.GUID:
        return str(uuid.UUID(text))
    return text.casefold() if coltyp in TEXT_TYPES else bytes.fromhex(text)


def _days(text: str) -> float:
    """Return a time as `Moment`; of digits alone, the double with the same 64 bits."""
    if text.lstrip("-").isdigit():
        number: float = struct.unpack("<d", struct.pack("<q", int(text)))[0]
        return number
    past = (parse_time(text) - _OLE_EPOCH) // dt.timedelta(microseconds=1)
    return Moment((past * 1000 + beyond_microseconds(text)) / (_TICKS_A_DAY * 100))


def parse_time(text: str) -> dt.datetime:
    """Return a time in ISO form, without zone: as it is, or in UTC if it has an offset.

    Raises ValueError, OverflowError.
    """
    time = dt.datetime.fromisoformat(text)
    return time if time.tzinfo is None else time.astimezone(dt.UTC).replace(tzinfo=None)


def beyond_microseconds(text: str) -> int:
    """Return the nanoseconds of a time in ISO form that `parse_time` leaves out."""
    found = _FRACTION.search(text)
    return int(found[1].ljust(3, "0")) if found else 0
