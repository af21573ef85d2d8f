"""Views: how a table is shown, with the names and meanings that a profile gives.

Without a profile a view is the table itself.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from hotsplit.ese.export.fields import Field, Fields, distinct, table_fields
from hotsplit.ese.export.profiles import Profile
from hotsplit.ese.export.shown import split_conditions
from hotsplit.ese.format.columns import ColumnDef, Value
from hotsplit.ese.read.database import Database
from hotsplit.ese.read.labels import Origin, State
from hotsplit.ese.read.parts import LeafRange
from hotsplit.ese.read.table import Table
from hotsplit.ese.read.where import Condition, parse_key

LABEL_COLUMNS = ("_state", "_page", "_node", "_why", "_confidence")
"""What rows carry beside their columns when remains are included; see `View.labels`."""

ROW_COLUMN = "_row"
"""The number of a row, from 0, in each of several files that have some columns of a table each.

A table with a column of that name has it with more underscores in front.
"""

_ROWS_A_CHUNK = 1000


@dataclass(frozen=True, slots=True)
class Order:
    """Which rows are asked for, and in which order. key: of the rows, empty for all."""

    where: Sequence[Condition] = ()
    index: str | None = None
    key: tuple[Any, ...] = ()
    reverse: bool = False
    part: LeafRange | None = None


class View:
    """A table as it is exported. title: its name in the result.

    number: what the column is called in which rows carry their number, for the table's columns lie
    in several files; "" if they do not. known: the columns that conditions may name, those of the
    result if not given.
    """

    def __init__(
        self,
        table: Table,
        title: str,
        fields: Sequence[Field],
        include: Collection[State] = (),
        *,
        number: str = "",
        known: Fields | None = None,
    ) -> None:
        self.table, self.title = table, title
        self.fields = list(fields)
        self._known = known or Fields(self.fields)
        self.include = frozenset(include)
        self.number = number
        self._taken = {field.name.casefold() for field in self.fields}

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
        return [*(self.labels if self.include else ()), *([self.number] if self.number else ())]

    @property
    def labels(self) -> list[str]:
        """`LABEL_COLUMNS`, with more underscores in front where a column has that name."""
        return self._free(LABEL_COLUMNS)

    @property
    def free_number(self) -> str:
        """A name for the number of a row that no column has."""
        return self._free([ROW_COLUMN])[0]

    def _free(self, names: Sequence[str]) -> list[str]:
        """Return names with so many underscores that no column has them, in any case."""
        free = []
        for name in names:
            while name in self._taken:
                name = f"_{name}"
            free.append(name)
        return free

    def groups(self, most: int) -> list[View]:
        """Return views of at most so many columns each, of the same rows."""
        return [
            self._of(self.fields[at : at + most]) for at in range(0, len(self.fields) or 1, most)
        ]

    def _of(self, fields: Sequence[Field]) -> View:
        view = View(self.table, self.title, fields, self.include, number=self.number)
        view._taken = self._taken  # what rows carry is called the same in all files
        return view

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

        where: conditions, see `shown`. index, reverse: as in `Table.scan` and `Table.labelled`.
        seek: values of the first columns of the index, as text. part: as in `Table.values`, with
        nothing of the others.
        """
        stored, shown = split_conditions(where, self._known)
        columns = self.columns
        more = [test.field.column for test in shown]
        names = list(dict.fromkeys(column.name for column in [*columns, *more]))
        by_name = {name: place for place, name in enumerate(names)}
        places = [by_name[field.column.name] for field in self.fields]
        tests = [(by_name[test.field.column.name], test) for test in shown]
        plain = places == list(range(len(names))) and not any(f.meaning for f in self.fields)
        key = parse_key(self.table.cursor(index, []).key_columns, seek) if seek else ()
        for values, origin in self._stored(names, Order(stored, index, key, reverse, part)):
            if all(test.is_met(values[place]) for place, test in tests):
                row = values if plain else self._shown(values, places)
                yield row if origin is None else [*row, *label_values(origin)]

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
    """Return the view of a table.

    columns: only these, by their own names (with those that say what they mean) or by the names
    that the profile gives. Raises ObjectNotFound for a column that does not exist.
    """
    fields = table_fields(db, table, profile)
    title = (profile.table(table.name).title if profile else "") or table.name
    if columns is None:
        return View(table, title, fields, include)
    known = Fields(fields)
    chosen = {id(field): field for name in columns for field in known.named(name)}
    return View(table, title, distinct(list(chosen.values())), include, known=known)
