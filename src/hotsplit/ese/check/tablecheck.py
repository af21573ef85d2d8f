"""Checking one table: its space, its trees, its records, long values and index entries.

Rows and what refers to them are compared by fingerprints, in one pass over each tree and in
constant memory; only where they differ a second pass names the rows (`hotsplit.ese.check.compare`).
Source: format specification 13.1 R, L, X.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hotsplit import _native
from hotsplit.ese.check.compare import Comparison
from hotsplit.ese.check.context import Context
from hotsplit.ese.check.findings import Report
from hotsplit.ese.check.rowplan import Compare, TableShape, compare_mode, index_plan, layout_of
from hotsplit.ese.check.space import DATABASE_PARENT, Claimed, Parent
from hotsplit.ese.check.treewalk import TreeSpec
from hotsplit.ese.check.values import RowValues
from hotsplit.ese.format.catalogschema import SHADOW_ROOT, IndexDef, IndexFlag
from hotsplit.ese.format.longvalue import chunk_size
from hotsplit.ese.format.page import PageFlag
from hotsplit.ese.read.btree import BTree
from hotsplit.ese.read.longvalues import LongValues
from hotsplit.report import Reporter

_kernel = _native.load("integrity")

_BITS = 12  # of buckets: 4096 sums an index
_PRESENCE_BYTES = 32 << 20  # both bitmaps of all indexes of a table
_LEAST_BITS, _BITS_A_ROW, _LEAST_ROW = 12, 8, 16
_WIDE_REVISION = (70, 160)
_ROWS, _COPY = 0, 1


def index_kind(index: IndexDef) -> int:
    """Return the page flags of an index tree."""
    return PageFlag.INDEX | (0 if index.is_unique else PageFlag.NON_UNIQUE)


@dataclass
class _Index:
    """One secondary index on its way through the check."""

    definition: IndexDef
    spec: TreeSpec
    compare: Compare
    ledger: Any = None
    plan: tuple[Any, ...] | None = None
    damaged: bool = False


class TableCheck:
    """The check of one table. copy: ledger that holds the catalog against its shadow."""

    def __init__(self, context: Context, shape: TableShape, copy: Any = None) -> None:
        self._context = context
        self._shape = shape
        self._copy = copy
        table = shape.table
        self.spec = TreeSpec(f"table {table.name}", table.root, table.objid)
        self._reports: list[Report] = []
        self._indexes = self._plan_indexes()
        self._long_spec = TreeSpec(
            f"long values of table {table.name}",
            table.long_value_root,
            table.long_value_objid,
            PageFlag.LONG_VALUE,
        )
        self._chunk = table.chunk_size or chunk_size(context.page_size)
        self._values = RowValues(self._long_values())
        self._prefetch = self._values.prefetch if self._long_spec.root else None
        self._references: Any = None
        self.damaged = False

    def run(self) -> None:
        """Check the table. Raises what reading raises."""
        claimed = self._claim()
        if self._is_left_over():
            return
        self._add_ledgers(claimed.pages)
        rows = self._rows(claimed.autoincrement)
        walked = self._context.walk(self.spec, rows, reports=self._reports, prefetch=self._prefetch)
        self.damaged = walked.damaged
        totals = self._context.totals
        totals.tables += 1
        totals.records += walked.nodes - walked.deleted
        comparison = Comparison(self._context, self.spec, rows, self._reports, self._prefetch)
        self._check_long_values(rows, comparison)
        for index in self._indexes:
            entries = _kernel.Entries(index.compare, index.ledger)
            walked = self._context.walk(index.spec, entries)
            index.damaged = walked.damaged
            totals.index_entries += walked.nodes - walked.deleted
        if not self.damaged:
            self._context.checked.add(self.spec.objid)
        self._compare_indexes(rows, comparison)
        comparison.run()

    # Preparation

    def _claim(self) -> Claimed:
        """Enter the space of all trees; return what the table got."""
        claimed = self._context.claim(self.spec, DATABASE_PARENT)
        parent = Parent(self.spec.root, self.spec.objid)
        if self._long_spec.root:
            self._context.claim(self._long_spec, parent)
        for index in self._indexes:
            self._context.claim(index.spec, parent)
        return claimed

    def _is_left_over(self) -> bool:
        """True for a deleted table that a revert to an earlier state brought back by its root."""
        page = self._context.space.root_page(self.spec.root)
        if page is None or not page.flags & PageFlag.FDP_DELETE:
            return False
        self._context.space.blind.update(
            spec.objid
            for spec in (self.spec, self._long_spec, *(index.spec for index in self._indexes))
        )
        return True

    def _plan_indexes(self) -> list[_Index]:
        table = self._shape.table
        found = []
        for index in table.indexes:
            if not index.is_primary:
                name = f"index {index.name} of table {table.name}"
                spec = TreeSpec(name, index.root, index.objid, index_kind(index))
                found.append(_Index(index, spec, compare_mode(self._shape, index)))
        return found

    def _add_ledgers(self, pages: int) -> None:
        """Give each index a ledger; `pages`: how many the table has, to tell how many rows."""
        present = sum(index.compare == Compare.BY_PRESENCE for index in self._indexes)
        rows = max(1, pages * self._context.page_size // _LEAST_ROW)
        bits = max(_LEAST_BITS, (_BITS_A_ROW * rows).bit_length())
        for index in self._indexes:
            if index.compare == Compare.BY_PRESENCE:
                most = (_PRESENCE_BYTES * 8 // (2 * present)).bit_length() - 1
                index.ledger = _kernel.Ledger(min(bits, max(_LEAST_BITS, most)), True)
            else:
                index.ledger = _kernel.Ledger(_BITS, False)
            index.plan = self._plan(index.definition, index.ledger)
            if index.plan is None:
                index.ledger = None

    def _plan(self, index: IndexDef, ledger: Any) -> tuple[Any, ...] | None:
        try:
            return index_plan(self._shape, index, ledger)
        except ValueError:
            return None  # the catalog's own check reports it

    def _long_values(self) -> LongValues | None:
        spec = self._long_spec
        if not spec.root:
            return None
        pages, quiet = self._context.cached, Reporter(limit=0)
        tree = BTree(pages, spec.root, name=spec.name, reporter=quiet, objid=spec.objid)
        return LongValues(tree, self._chunk)

    def _rows(self, mark: int | None) -> Any:
        primary = self._shape.table.primary
        plan = None
        if primary is not None and compare_mode(self._shape, primary) == Compare.BY_KEY:
            plan = self._plan(primary, None)
        layout = layout_of(self._shape, self._context.page_size, mark)
        plans = [index.plan for index in self._indexes if index.plan is not None]
        rows = _kernel.Rows(layout, plan, plans, self._values.fetch, self._reports)
        if self._copy is not None:
            rows.set_copy(self._copy, _COPY if self.spec.root == SHADOW_ROOT else _ROWS)
        if self._long_spec.root:
            self._references = _kernel.Ledger(_BITS, False)
            rows.set_references(self._references)
        return rows

    # Long values

    def _check_long_values(self, rows: Any, comparison: Comparison) -> None:
        references = self._references
        if references is None:
            return
        header = self._context.header
        wide = (header.update_major, header.update_minor) >= _WIDE_REVISION

        def content() -> Any:
            return _kernel.LongValues(self._chunk, wide, references, rows)

        walked = self._context.walk(self._long_spec, content(), reports=self._reports)
        self._context.totals.long_values += references.counts[1]
        if self.damaged or walked.damaged:
            self._context.totals.not_compared += 1
            return
        self._context.checked.add(self._long_spec.objid)
        if references.differing(False):
            comparison.add_references(self._long_spec, content(), references)

    # Indexes

    def _compare_indexes(self, rows: Any, comparison: Comparison) -> None:
        planned = [index for index in self._indexes if index.plan is not None]
        totals = self._context.totals
        totals.not_compared += len(self._indexes) - len(planned)
        for index, unknown in zip(planned, rows.unknown, strict=True):
            if self.damaged or index.damaged or unknown:
                totals.not_compared += 1
                continue
            self._context.checked.add(index.spec.objid)
            totals.by_bookmark += index.compare != Compare.BY_KEY
            partial = self._is_partial(index)
            if index.ledger.differing(partial):
                comparison.add_index(index.spec, index.compare, index.ledger, partial)

    @staticmethod
    def _is_partial(index: _Index) -> bool:
        """True for an index that is still being filled: rows may lack entries."""
        return bool(index.definition.flags & IndexFlag.DEFERRED_POPULATE)
