"""Reading the rows and indexes of one table.

Source: format specification 7 (records), 8 (long values), 10.5 and 10.6 (index entries).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from hotsplit.errors import HotsplitError, Jet, ObjectNotFound, PageDamaged
from hotsplit.ese.format.catalogschema import IndexDef, TableDef
from hotsplit.ese.format.columns import ColumnDef, Scalar, Value, decode_value
from hotsplit.ese.format.longvalue import chunk_size, parse_lid
from hotsplit.ese.format.page import Page
from hotsplit.ese.format.record import RecordPlan, plain_instance
from hotsplit.ese.format.taggedcolumns import Instance, TagHeader
from hotsplit.ese.read.batch import Batch
from hotsplit.ese.read.batches import BATCH_ROWS, read_batches
from hotsplit.ese.read.btree import BTree
from hotsplit.ese.read.longvalues import LongValues
from hotsplit.ese.read.pages import CachedPages
from hotsplit.report import Finding, Reporter, Severity

if TYPE_CHECKING:
    import pyarrow as pa


class Row(NamedTuple):
    """One live record: bookmark (primary key) and values in the order of the columns asked for."""

    key: bytes
    values: list[Value]


class IndexEntry(NamedTuple):
    """One live entry of a secondary index: normalised key and the bookmark of its record."""

    key: bytes
    bookmark: bytes


@dataclass(frozen=True)
class _Place:
    """Where a value is, for findings."""

    page: int
    node: int
    column: ColumnDef


class Table:
    """One table: its definition and its rows.

    `columns` lists all columns that a row can have, those of the template table first.
    """

    def __init__(
        self, pages: CachedPages, table: TableDef, template: TableDef | None, reporter: Reporter
    ) -> None:
        self.definition = table
        self.name = table.name
        inherited = template.columns if template else []
        self.columns = [replace(c, derived=True) for c in inherited] + table.columns
        self.indexes = table.indexes
        self._pages = pages
        self._reporter = reporter
        self._long_values: LongValues | None = None
        self._chunk = table.chunk_size or chunk_size(pages.page_size)

    def __repr__(self) -> str:
        return f"Table({self.name!r}, {len(self.columns)} columns)"

    # Names

    def column(self, name: str) -> ColumnDef:
        """Return a column by name: exactly, else without regard to case. Raises ObjectNotFound."""
        found: ColumnDef = find_name(self.columns, name, f"column of table {self.name}")
        return found

    def index(self, name: str) -> IndexDef:
        """Return an index by name, as `column` does."""
        found: IndexDef = find_name(self.indexes, name, f"index of table {self.name}")
        return found

    # Rows

    def rows(self, columns: Sequence[str] | None = None) -> Iterator[dict[str, Value]]:
        """Yield each live row as a dict by column name, in primary order.

        columns: names of those wanted; all by default. NULL is None. A value that cannot be
        decoded is None too and there is a finding; a damaged page is reported and left out.
        Raises HotsplitError if the tree's root cannot be read.
        """
        names = [c.name for c in self._select(columns)]
        for values in self.values(columns):
            yield dict(zip(names, values, strict=True))

    def values(self, columns: Sequence[str] | None = None) -> Iterator[list[Value]]:
        """Yield each live row as a list of values; else like `rows`."""
        for _, _, values in self._scan(self._select(columns), keys=False):
            yield values

    def records(self, columns: Sequence[str] | None = None) -> Iterator[Row]:
        """Yield each live row with its bookmark; else like `rows`."""
        for _, key, values in self._scan(self._select(columns), keys=True):
            yield Row(key or b"", values)

    def batches(
        self,
        columns: Sequence[str] | None = None,
        *,
        size: int = BATCH_ROWS,
        keys: bool = False,
        reverse: bool = False,
    ) -> Iterator[Batch]:
        """Yield the live rows in batches of columns, in primary order or against it.

        columns: names of those wanted; all by default. size: most rows of a batch. keys: with
        bookmarks. Damage is dealt with as in `rows`. Raises HotsplitError if the tree's root
        cannot be read.
        """
        return read_batches(
            self.tree(),
            self._select(columns),
            long_values=self.long_values,
            reporter=self._reporter,
            size=size,
            keys=keys,
            reverse=reverse,
        )

    def to_arrow(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Return the live rows as one Arrow table, in primary order; `columns` as in `rows`.

        The types are those of `hotsplit.ese.read.arrow`. Raises FeatureMissing without pyarrow.
        """
        from hotsplit.ese.read.arrow import ArrowForm, load_pyarrow

        pyarrow = load_pyarrow()
        batches = list(self.batches(columns))
        form = ArrowForm.of(batches, self._select(columns))
        return pyarrow.Table.from_batches(map(form.record_batch, batches), schema=form.schema)

    def count(self) -> int:
        """Return the number of live rows."""
        return sum(batch.rows for batch in self.batches([]))

    def _select(self, names: Sequence[str] | None) -> list[ColumnDef]:
        return self.columns if names is None else [self.column(name) for name in names]

    def tree(self) -> BTree:
        """Return the tree of the records."""
        return self._tree(self.definition.root, f"table {self.name}", self.definition.objid)

    def _tree(self, root: int, name: str, objid: int) -> BTree:
        return BTree(self._pages, root, name=name, reporter=self._reporter, objid=objid)

    def _scan(
        self, columns: list[ColumnDef], *, keys: bool
    ) -> Iterator[tuple[int, bytes | None, list[Value]]]:
        plan = RecordPlan(columns)
        tree = self.tree()
        for page in tree.leaves():
            try:
                decoded = plan.decode_page(bytes(page.data), keys)
            except ValueError as error:
                tree.report(PageDamaged(str(error), position=f"page {page.number}"))
                continue
            for node, key, values, pending in decoded:
                if values is None:
                    self._report_node(page, node)
                    continue
                for place in pending:
                    where = _Place(page.number, node, columns[place])
                    values[place] = self._resolve(plan, place, values[place], where)
                yield node, key, values

    def _report_node(self, page: Page, node: int) -> None:
        self._reporter.report(
            Finding(
                "node",
                Severity.ERROR,
                f"table {self.name}: node {node} does not fit its page",
                position=f"page {page.number}",
                jet=Jet.errNodeCorrupted,
            )
        )

    # Values that need more than the record

    def _resolve(
        self, plan: RecordPlan, place: int, piece: tuple[int, bytes], where: _Place
    ) -> Value:
        column = where.column
        if piece[0] > 0 and piece[0] & TagHeader.ENCRYPTED:
            self._report_value(where, "the value is encrypted", Jet.errColumnNoEncryptionKey)
            return None
        try:
            instances = plan.instances(place, piece)
        except ValueError as error:
            self._report_value(where, str(error), Jet.errDatabaseCorrupted)
            return None
        if instances is None:
            return None
        if not instances:
            return plan.defaults[place]
        values = [self._instance(i, where) for i in instances]
        return values if column.is_multi_valued or len(values) > 1 else values[0]

    def _instance(self, instance: Instance, where: _Place) -> Scalar:
        try:
            if instance.separated:
                data = self.long_values().read(parse_lid(instance.data))
            else:
                data = plain_instance(instance)
            return decode_value(where.column, data)
        except HotsplitError as error:
            self._report_value(where, error.message, error.jet)
        except ValueError as error:
            self._report_value(where, str(error), Jet.errDatabaseCorrupted)
        return None

    def _report_value(self, where: _Place, why: str, jet: Jet) -> None:
        self._reporter.report(
            Finding(
                "value",
                Severity.ERROR,
                f"table {self.name}, column {where.column.name}: {why}",
                position=f"page {where.page}, node {where.node}",
                jet=jet,
            )
        )

    def long_values(self) -> LongValues:
        """Return the long values of this table. Raises ObjectNotFound if it has none."""
        if self._long_values is None:
            table = self.definition
            if not table.long_value_root:
                raise ObjectNotFound(f"table {self.name} has no long values")
            name = f"long values of table {self.name}"
            tree = self._tree(table.long_value_root, name, table.long_value_objid)
            self._long_values = LongValues(tree, self._chunk)
        return self._long_values

    # Indexes

    def entries(self, index: IndexDef) -> Iterator[IndexEntry]:
        """Yield the live entries of an index in key order.

        For the primary index the entries are the records: key and bookmark are the same.
        """
        if index.is_primary:
            for row in self.records([]):
                yield IndexEntry(row.key, row.key)
            return
        tree = self._tree(index.root, f"index {index.name} of table {self.name}", index.objid)
        for node in tree.nodes():
            yield IndexEntry(node.key, node.data)


def find_name(things: Sequence[Any], name: str, what: str) -> Any:
    """Return the thing of that `.name`: exactly, else without regard to case.

    Raises ObjectNotFound with the nearest names as hint.
    """
    folded = name.casefold()
    exact = next((thing for thing in things if thing.name == name), None)
    found = exact or next((thing for thing in things if thing.name.casefold() == folded), None)
    if found is not None:
        return found
    raise ObjectNotFound(f"no {what} is named {name!r}", hint=near_hint(name, things))


def near_hint(name: str, things: Sequence[Any]) -> str:
    """Say which of the names are near to `name`; empty if none is."""
    import difflib

    by_fold = {thing.name.casefold(): thing.name for thing in things}
    near = difflib.get_close_matches(name.casefold(), by_fold, n=3, cutoff=0.5)
    return f"Did you mean {' or '.join(by_fold[fold] for fold in near)}?" if near else ""
