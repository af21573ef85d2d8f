"""Checking one table: its space, its trees, its records, long values and index entries.

Rows and what refers to them are compared by fingerprints, in one pass over each tree and in
constant memory; only where they differ a second pass names the rows (`hotsplit.ese.check.compare`).
Source: format specification 13.1 R, L, X.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from hotsplit import _native
from hotsplit.ese.check.compare import Comparison
from hotsplit.ese.check.context import Context
from hotsplit.ese.check.findings import Report
from hotsplit.ese.check.keysample import fits_keys
from hotsplit.ese.check.rowplan import (
    Compare,
    TableShape,
    compare_loosely,
    compare_mode,
    index_plan,
    is_unicode,
    layout_of,
)
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
_BITS_A_ROW, _LEAST_ROW = 8, 16
_FEW = 16  # entries that say nothing of all
_WIDE_REVISION = (70, 160)
_ROWS, _COPY = 0, 1


def index_kind(index: IndexDef) -> int:
    """Return the page flags of an index tree."""
    return PageFlag.INDEX | (0 if index.is_unique else PageFlag.NON_UNIQUE)


@dataclass
class _Way:
    """A way of holding an index against the rows. unknown: rows of which it is not known how."""

    compare: Compare
    ledger: Any
    plan: tuple[Any, ...]
    unknown: int = 0


@dataclass
class _Index:
    """One secondary index on its way through the check. ways: the better one first, if any."""

    definition: IndexDef
    spec: TreeSpec
    ways: list[_Way] = field(default_factory=list)
    damaged: bool = False

    @property
    def is_partial(self) -> bool:
        """True for an index that is still being filled: rows may lack entries."""
        return bool(self.definition.flags & IndexFlag.DEFERRED_POPULATE)


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
            entries = _kernel.Entries([(way.compare, way.ledger) for way in index.ways])
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
        message = f"{self.spec.name}: the root page is flagged as that of a deleted table"
        self._context.findings.add("T18c", message, self.spec.root)
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
                found.append(_Index(index, spec))
        return found

    def _add_ledgers(self, pages: int) -> None:
        """Give each index its ledgers; `pages`: how many the table has, to tell how many rows."""
        modes = [self._modes(index.definition) for index in self._indexes]
        present = sum(Compare.BY_PRESENCE in ways for ways in modes)
        rows = max(1, pages * self._context.page_size // _LEAST_ROW)
        bits = max(_BITS, (_BITS_A_ROW * rows).bit_length())
        if present:
            most = (_PRESENCE_BYTES * 8 // (2 * present)).bit_length() - 1
            bits = min(bits, max(_BITS, most))
        for index, ways in zip(self._indexes, modes, strict=True):
            for compare in ways:
                distinct = compare == Compare.BY_PRESENCE
                ledger = _kernel.Ledger(bits if distinct else _BITS, distinct)
                plan = self._plan(index.definition, ledger, compare)
                if plan is not None:
                    index.ways.append(_Way(compare, ledger, plan))

    def _modes(self, index: IndexDef) -> list[Compare]:
        """Return how an index can be compared: of Unicode text also without its keys."""
        best = compare_mode(self._shape, index)
        if best == Compare.BY_KEY and is_unicode(self._shape, index):
            return [best, compare_loosely(index)]
        return [best]

    def _plan(
        self, index: IndexDef, ledger: Any, compare: Compare | None = None
    ) -> tuple[Any, ...] | None:
        try:
            return index_plan(self._shape, index, ledger, compare)
        except ValueError:
            return None  # the catalog's own check reports it

    def _primary_plan(self) -> tuple[Any, ...] | None:
        """Return the primary index if its keys can be made."""
        primary = self._shape.table.primary
        if primary is None or compare_mode(self._shape, primary) != Compare.BY_KEY:
            return None
        plan = self._plan(primary, None)
        if plan is None or not is_unicode(self._shape, primary):
            return plan
        pages, fetch = self._context.cached, self._values.fetch
        if fits_keys(plan, pages, self.spec, fetch):
            return plan
        self._report_weights(self.spec)
        return None

    def _long_values(self) -> LongValues | None:
        spec = self._long_spec
        if not spec.root:
            return None
        pages, quiet = self._context.cached, Reporter(limit=0)
        tree = BTree(pages, spec.root, name=spec.name, reporter=quiet, objid=spec.objid)
        return LongValues(tree, self._chunk)

    def _rows(self, mark: int | None) -> Any:
        plan = self._primary_plan()
        layout = layout_of(self._shape, self._context.page_size, mark)
        plans = [way.plan for index in self._indexes for way in index.ways]
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
        all_ways = (way for index in self._indexes for way in index.ways)
        for one, unknown in zip(all_ways, rows.unknown, strict=True):
            one.unknown = unknown
        for index in self._indexes:
            way = None if self.damaged or index.damaged else self._way_of(index)
            if way is None:
                self._context.totals.not_compared += 1
                continue
            self._context.checked.add(index.spec.objid)
            self._context.totals.by_bookmark += way.compare != Compare.BY_KEY
            if way.ledger.differing(index.is_partial):
                comparison.add_index(index.spec, way.compare, way.ledger, index.is_partial)

    def _way_of(self, index: _Index) -> _Way | None:
        """Return the best way to compare an index with the rows, None if there is none."""
        ways = [way for way in index.ways if not way.unknown]
        if len(ways) > 1 and _is_sorted_otherwise(*(way.ledger for way in ways)):
            self._report_weights(index.spec)
            ways = ways[1:]
        return ways[0] if ways else None

    def _report_weights(self, spec: TreeSpec) -> None:
        message = f"{spec.name}: sorted by other weights of characters than the catalog says"
        self._context.findings.add("X61", message, spec.root, objid=spec.objid)


def _is_sorted_otherwise(by_key: Any, loosely: Any) -> bool:
    """True if most keys are wrong, though their entries lead to the right rows.

    Buckets fill up by chance, so how many differ tells how many entries do; each is in two.
    """
    differing, buckets = by_key.differing(False), 1 << by_key.bits
    if not differing or 2 * loosely.differing(False) >= differing:
        return False
    if differing == buckets:
        return True
    wrong = -buckets * math.log1p(-differing / buckets) / 2
    return bool(wrong >= max(_FEW, max(by_key.counts) / 2))
