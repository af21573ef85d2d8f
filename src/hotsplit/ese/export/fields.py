"""Columns of a view: their names, and what makes of a stored value what is shown."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, lru_cache, partial
from typing import Any, NamedTuple, Protocol

from hotsplit.errors import HotsplitError, ObjectNotFound
from hotsplit.ese.export.decoders import Decoder
from hotsplit.ese.export.profiles import Lookup, Names, Profile
from hotsplit.ese.format.columns import ColumnDef, Scalar, Value
from hotsplit.ese.read.batch import Buffers, element_values
from hotsplit.ese.read.database import Database
from hotsplit.ese.read.table import Table, near_hint

_MOST_KNOWN = 1_000_000  # entries of a lookup
_MOST_REMEMBERED = 65536


class Meaning(Protocol):
    """What is done to the values of a column."""

    @property
    def name(self) -> str:
        """Name of the decoder, or ``lookup``."""
        ...

    def __call__(self, value: Value) -> Value:
        """Return what a value means."""
        ...

    def arrow_type(self, pa: Any, column: ColumnDef) -> Any:
        """See `hotsplit.ese.read.arrow.ElementDecoder`."""
        ...

    def arrow_array(self, pa: Any, column: ColumnDef, buffers: Buffers) -> Any:
        """See `hotsplit.ese.read.arrow.ElementDecoder`."""
        ...


class Known:
    """A meaning by lookup: what the profile, or other rows of the database, say of a value.

    load: reads what rows say, once it is asked for.
    """

    name = "lookup"

    def __init__(self, lookup: Lookup, load: Callable[[], Mapping[Any, str]]) -> None:
        self._load, self._shift, self._given = load, lookup.shift, lookup.values

    @cached_property
    def _meanings(self) -> Mapping[Any, str]:
        return self._given or self._load()

    @cached_property
    def _one(self) -> Callable[[Any], str | None]:
        """What gives the text for one value."""
        if not self._shift and not self._given:
            return self._meanings.get
        return lru_cache(_MOST_REMEMBERED)(self._look_up)

    def _look_up(self, value: Any) -> str | None:
        if self._shift and isinstance(value, int):
            value >>= self._shift
        return self._meanings.get(str(value).casefold() if self._given else value)

    def __call__(self, value: Value) -> Value:
        """Return the text for a value, None if it is not known."""
        return [self._one(one) for one in value] if isinstance(value, list) else self._one(value)

    def arrow_type(self, pa: Any, column: ColumnDef) -> Any:
        """See `Meaning`."""
        return pa.string()

    def arrow_array(self, pa: Any, column: ColumnDef, buffers: Buffers) -> Any:
        """See `Meaning`."""
        return pa.array(
            [self._one(value) for value in element_values(column, buffers)], pa.string()
        )


class Field(NamedTuple):
    """One column of the result."""

    name: str
    column: ColumnDef
    meaning: Meaning | None = None
    unit: str = ""
    note: str = ""


class Fields:
    """The columns of a view by name."""

    def __init__(self, fields: Sequence[Field]) -> None:
        self._fields = fields

    @cached_property
    def _by_name(self) -> dict[str, list[Field]]:
        """Fields by their columns' own names, exact and folded, then by those that they have here.

        A name that stands for a column means nothing else.
        """
        own: dict[str, list[Field]] = {}
        for field in self._fields:
            own.setdefault(field.column.name, []).append(field)
        folded: dict[str, list[Field]] = {}
        for name, fields in own.items():
            folded.setdefault(name.casefold(), []).extend(fields)
        here = {
            field.name.casefold(): [field] if field.meaning else own[field.column.name]
            for field in self._fields
        }
        return here | folded | own

    def named(self, name: str) -> list[Field]:
        """Return the fields that show a column, by its name, or the one with a meaning so called.

        Raises ObjectNotFound with near names as hint.
        """
        found = self._by_name.get(name) or self._by_name.get(name.casefold())
        if found is None:
            known = [*self._fields, *(field.column for field in self._fields)]
            raise ObjectNotFound(f"no column is named {name!r}", hint=near_hint(name, known))
        return found


def table_fields(db: Database, table: Table, profile: Profile | None) -> list[Field]:
    """Return all columns of a table with the names and meanings that the profile gives."""
    if profile is None:
        return distinct([Field(column.name, column) for column in table.columns])
    rule = profile.table(table.name)
    names = known_names(db, rule.names) if rule.names else {}
    lookups = {
        name: Known(lookup, partial(_pairs, db, lookup)) for name, lookup in profile.lookups.items()
    }
    fields = []
    for column in table.columns:
        said = profile.column(table.name, column.name)
        own = _renamed(column.name, rule.names, names)
        known = lookups.get(said.lookup)
        added = said.added or (known and (said.name or f"{own}_name"))
        if added:
            fields.append(Field(own, column, None, said.unit, said.note))
            fields.append(Field(added, column, known or said.decoder))
        else:
            fields.append(Field(said.name or own, column, said.decoder, said.unit, said.note))
    return distinct(fields)


def distinct(fields: list[Field]) -> list[Field]:
    """Give fields whose name is taken that of their column behind it, and a number if need be."""
    taken: set[str] = set()
    out = []
    for field in fields:
        name, number = field.name, 2
        if name.casefold() in taken:
            name = base = f"{name} ({field.column.name})"
            while name.casefold() in taken:
                name, number = f"{base} {number}", number + 1
        taken.add(name.casefold())
        out.append(field._replace(name=name))
    return out


def _renamed(column: str, names: Names | None, known: Mapping[Any, str]) -> str:
    match = names.pattern.fullmatch(column) if names else None
    if match is None or names is None:
        return column
    found = match.group(1) if match.groups() else match.group()
    return known.get(int(found), column) if names.table else found or column


def known_names(db: Database, names: Names) -> dict[Any, str]:
    """Return the names that a table of the database has for numbers."""
    known: dict[Any, str] = {}
    for key in names.keys if names.table else ():
        known = _pairs(db, Lookup(names.table, key, names.value)) | known
    return known


def _pairs(db: Database, lookup: Lookup) -> dict[Any, str]:
    """Return what a lookup says of each key; nothing if the database has no such table."""
    columns = [lookup.key, lookup.value, *([lookup.kind] if lookup.kind else [])]
    found: dict[Any, str] = {}
    with contextlib.suppress(HotsplitError):
        for row in db.table(lookup.table).values(columns):
            key, value, *kind = map(_single, row)
            if key is not None and value is not None and len(found) < _MOST_KNOWN:
                decoder = lookup.decoders.get(kind[0] if kind else None)
                found[key] = _text(value, decoder)
    return found


def _single(value: Any) -> Any:
    """Return the first of several values: what a key or a name of it must be."""
    return value[0] if isinstance(value, list) and value else value


def _text(value: Scalar, decoder: Decoder | None) -> str:
    decoded = decoder(value) if decoder else value
    return decoded.hex() if isinstance(decoded, bytes) else str(decoded)
