"""Views: how a table is shown, with the names and meanings that a profile gives.

Without a profile a view is the table itself.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from hotsplit.errors import HotsplitError
from hotsplit.ese.export.decoders import Decoder
from hotsplit.ese.export.profiles import Lookup, Names, Profile
from hotsplit.ese.format.columns import ColumnDef, Scalar, Value
from hotsplit.ese.read.batch import Buffers, element_values
from hotsplit.ese.read.database import Database
from hotsplit.ese.read.labels import Origin, State
from hotsplit.ese.read.parts import LeafRange
from hotsplit.ese.read.table import Table
from hotsplit.ese.read.where import parse_key

LABEL_COLUMNS = ("_state", "_page", "_node", "_why", "_confidence")
"""What rows carry beside their columns when remains are included."""

ROW_COLUMN = "_row"
"""The number of a row, from 0, in each of several files that have some columns of a table each.

A table with a column of that name has it with more underscores in front.
"""

_ROWS_A_CHUNK = 1000
_MOST_KNOWN = 1_000_000  # entries of a lookup


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


@dataclass(frozen=True)
class Known:
    """A meaning by lookup: what other rows of the database say of a number."""

    meanings: Mapping[Any, str]
    name: str = "lookup"

    def __call__(self, value: Value) -> Value:
        """Return the text for a number, None if it is not known."""
        if isinstance(value, list):
            return [self.meanings.get(one) for one in value]
        return self.meanings.get(value)

    def arrow_type(self, pa: Any, column: ColumnDef) -> Any:
        """See `Meaning`."""
        return pa.string()

    def arrow_array(self, pa: Any, column: ColumnDef, buffers: Buffers) -> Any:
        """See `Meaning`."""
        values = element_values(column, buffers)
        return pa.array([self.meanings.get(value) for value in values], pa.string())


class Field(NamedTuple):
    """One column of the result."""

    name: str
    column: ColumnDef
    meaning: Meaning | None = None
    unit: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Order:
    """Which rows are asked for, and in which order. key: of the rows, empty for all."""

    where: Sequence[str] = ()
    index: str | None = None
    key: tuple[Any, ...] = ()
    reverse: bool = False
    part: LeafRange | None = None


class View:
    """A table as it is exported. title: its name in the result.

    number: what the column is called in which rows carry their number, for the table's columns lie
    in several files; "" if they do not.
    """

    def __init__(
        self,
        table: Table,
        title: str,
        fields: Sequence[Field],
        include: Collection[State] = (),
        *,
        number: str = "",
    ) -> None:
        self.table, self.title = table, title
        self.fields = list(fields)
        self.include = frozenset(include)
        self.number = number

    @property
    def columns(self) -> list[ColumnDef]:
        """The columns that are read, each once."""
        return list({field.column.name: field.column for field in self.fields}.values())

    @property
    def names(self) -> list[str]:
        """The names of the result's columns."""
        return [field.name for field in self.fields] + self.extra

    @property
    def extra(self) -> list[str]:
        """The names of what rows carry beside their columns."""
        return [*(LABEL_COLUMNS if self.include else ()), *([self.number] if self.number else ())]

    @property
    def free_number(self) -> str:
        """A name for the number of a row that no column has."""
        name, names = ROW_COLUMN, {field.name for field in self.fields}
        while name in names:
            name = f"_{name}"
        return name

    def groups(self, most: int) -> list[View]:
        """Return views of at most so many columns each, of the same rows."""
        return [
            self._of(self.fields[at : at + most]) for at in range(0, len(self.fields) or 1, most)
        ]

    def _of(self, fields: Sequence[Field]) -> View:
        return View(self.table, self.title, fields, self.include, number=self.number)

    def rows(
        self,
        *,
        where: Sequence[str] = (),
        index: str | None = None,
        seek: Sequence[str] = (),
        reverse: bool = False,
        part: LeafRange | None = None,
    ) -> Iterator[list[Any]]:
        """Yield the rows with their meanings, and labels if remains are included.

        where, index, reverse: as in `Table.scan` and `Table.labelled`. seek: values of the first
        columns of the index, as text. part: as in `Table.values`, with nothing of the others.
        """
        columns = self.columns
        names = [column.name for column in columns]
        by_name = {name: place for place, name in enumerate(names)}
        places = [by_name[field.column.name] for field in self.fields]
        plain = places == list(range(len(columns))) and not any(f.meaning for f in self.fields)
        key = parse_key(self.table.cursor(index, []).key_columns, seek) if seek else ()
        order = Order(where, index, key, reverse, part)
        stored = self._stored(names, order)
        for values, origin in stored:
            shown = values if plain else self._shown(values, places)
            yield shown if origin is None else [*shown, *label_values(origin)]

    def _stored(
        self, names: list[str], asked: Order
    ) -> Iterator[tuple[list[Value], Origin | None]]:
        where, index, key, reverse = asked.where, asked.index, asked.key, asked.reverse
        if self.include:
            labelled = self.table.labelled(
                names, include=self.include,
                where=where, index=index, start=key, stop=key, reverse=reverse,
            )  # fmt: skip
            for row in labelled:
                yield row.values, row.origin
        elif where or index or key or reverse:
            for found in self.table.scan(
                names, where=where, index=index, start=key, stop=key, reverse=reverse
            ):
                yield list(found.values()), None
        else:
            for values in self.table.values(names, part=asked.part):
                yield values, None

    def chunks(self, part: LeafRange | None = None) -> Iterator[list[list[Any]]]:
        """Yield all rows, some at a time. part: only live rows of these leaves; see `Table`."""
        rows = self.rows(part=part)
        while chunk := list(itertools.islice(rows, _ROWS_A_CHUNK)):
            yield chunk

    def _shown(self, values: list[Value], places: list[int]) -> list[Value]:
        return [
            values[place] if field.meaning is None else field.meaning(values[place])
            for place, field in zip(places, self.fields, strict=True)
        ]


def label_values(origin: Origin) -> list[Any]:
    """Return the values of `LABEL_COLUMNS`."""
    label = origin.label
    return [str(label.state), origin.page, origin.node, label.why, str(label.confidence)]


def make_view(
    db: Database,
    table: Table,
    profile: Profile | None = None,
    *,
    columns: Sequence[str] | None = None,
    include: Collection[State] = (),
) -> View:
    """Return the view of a table. columns: only these, by their own names.

    Raises ObjectNotFound for a column that does not exist.
    """
    chosen = table.select(columns)
    if profile is None:
        fields = [Field(column.name, column) for column in chosen]
        return View(table, table.name, _distinct(fields), include)
    rule = profile.table(table.name)
    known = _names(db, rule.names) if rule.names else {}
    fields = []
    for column in chosen:
        said = profile.column(table.name, column.name)
        name = said.name or _renamed(column.name, rule.names, known)
        if said.lookup in profile.lookups:
            meaning = Known(_pairs(db, profile.lookups[said.lookup]))
            fields.append(Field(column.name, column, None, said.unit, said.note))
            fields.append(Field(said.name or f"{column.name}_name", column, meaning))
        else:
            fields.append(Field(name, column, said.decoder, said.unit, said.note))
    return View(table, rule.title or table.name, _distinct(fields), include)


def _distinct(fields: list[Field]) -> list[Field]:
    """Give fields whose name is taken that of their column behind it."""
    taken: set[str] = set()
    out = []
    for field in fields:
        folded = field.name.casefold()
        if folded in taken:
            field = field._replace(name=f"{field.name} ({field.column.name})")
        taken.add(field.name.casefold())
        out.append(field)
    return out


def _renamed(column: str, names: Names | None, known: Mapping[Any, str]) -> str:
    match = names.pattern.fullmatch(column) if names else None
    if match is None or names is None:
        return column
    found = match.group(1) if match.groups() else match.group()
    return known.get(int(found), column) if names.table else found or column


def _names(db: Database, names: Names) -> dict[Any, str]:
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
