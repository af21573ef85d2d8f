"""The second pass where rows and what refers to them differ: naming the ones that do.

Only items in buckets that differ are collected, and no more than fit a bounded memory.
Source: format specification 13.1 L 55, 56 and X 59.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hotsplit import _native
from hotsplit.ese.check.context import Context
from hotsplit.ese.check.findings import Report
from hotsplit.ese.check.rowplan import Compare
from hotsplit.ese.check.treewalk import Prefetch, Trail, TreeSpec
from hotsplit.ese.format.longvalue import BEING_DELETED

_kernel = _native.load("integrity")

_ITEMS_MOST = 20_000
_SHOWN = 24  # bytes of a key in a message
_NOWHERE = (0, -1)


@dataclass
class _Side:
    """A tree that differs from the rows: what goes over it again, and in which ledger.

    compare: how entries of an index are compared, None for long values. partial: rows may lack
    entries. differing: number of buckets that differ.
    """

    spec: TreeSpec
    content: Any
    ledger: Any
    compare: Compare | None
    partial: bool
    differing: int


class Comparison:
    """The table whose rows are gone over again, once for all trees that differ from them."""

    def __init__(
        self,
        context: Context,
        table: TreeSpec,
        rows: Any,
        reports: list[Report],
        prefetch: Prefetch | None,
    ) -> None:
        self._context = context
        self._table = table
        self._rows = rows
        self._reports = reports
        self._prefetch = prefetch
        self._sides: list[_Side] = []

    def add_references(self, spec: TreeSpec, content: Any, ledger: Any) -> None:
        """Take a long-value tree whose counts of references are not what the records say."""
        self._sides.append(_Side(spec, content, ledger, None, False, ledger.differing(False)))

    def add_index(self, spec: TreeSpec, compare: Compare, ledger: Any, partial: bool) -> None:
        """Take an index whose entries are not what the records make."""
        content = _kernel.Entries([(compare, ledger)])
        differing = ledger.differing(partial)
        self._sides.append(_Side(spec, content, ledger, compare, partial, differing))

    def run(self) -> None:
        """Name what differs, if there is anything."""
        if not self._sides:
            return
        for side in self._sides:
            in_each = max(1, max(side.ledger.counts) >> side.ledger.bits)
            side.ledger.watch(max(1, _ITEMS_MOST // in_each), _ITEMS_MOST, side.partial)
        self._context.walk_again(Trail(), self._table, self._rows, self._reports, self._prefetch)
        for side in self._sides:
            self._context.walk_again(Trail(), side.spec, side.content, self._reports)
            named = self._references(side) if side.compare is None else self._entries(side)
            if side.ledger.missed or named < side.differing:
                rule = "L56b" if side.compare is None else "X59b"
                self._breach(rule, side.spec, "more differs from the rows", (side.spec.root, -1))

    def _breach(self, rule: str, spec: TreeSpec, message: str, place: tuple[int, int]) -> None:
        self._context.findings.add(rule, f"{spec.name}: {message}", *place, spec.objid)

    def _references(self, side: _Side) -> int:
        """Report long values that are missing or counted wrong; return how many."""
        named = 0
        for (key, _), (references, counted, row, root) in sorted(side.ledger.found.items()):
            lid = int.from_bytes(key, "little")
            deleted = counted == BEING_DELETED and not references
            if root is not None and (references == counted or deleted):
                continue
            named += 1
            if root is None:
                message = f"{references} references to long value {lid:#x}, which does not exist"
                self._breach("L55", self._table, message, row or _NOWHERE)
                continue
            rule = "L56a" if references > counted else "L56b"
            message = f"long value {lid:#x} counts {counted} references, there are {references}"
            self._breach(rule, side.spec, message, root)
        return named

    def _entries(self, side: _Side) -> int:
        """Report entries that no row makes and rows without their entries; return how many."""
        named = 0
        for (key, bookmark), (made, there, row, entry) in sorted(side.ledger.found.items()):
            if side.compare == Compare.BY_PRESENCE:
                made, there = bool(made), bool(there)
            if made == there or (side.partial and made > there):
                continue
            named += 1
            what = f"row {_hex(bookmark)}"
            if key:
                what = f"key {_hex(key)}, {what}"
            if there > made:
                self._breach("X59a", side.spec, f"no row makes this entry ({what})", entry)
            else:
                self._breach("X59b", side.spec, f"this row lacks its entry ({what})", row)
        return named


def _hex(data: bytes) -> str:
    return data.hex() if len(data) <= _SHOWN else f"{data[:_SHOWN].hex()}..."
