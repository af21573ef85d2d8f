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
from hotsplit.ese.check.treewalk import Trail, TreeSpec

_kernel = _native.load("integrity")

_ITEMS_MOST = 20_000
_SHOWN = 24  # bytes of a key in a message
_NOWHERE = (0, -1)


@dataclass
class Comparison:
    """The table whose rows are gone over again."""

    context: Context
    table: TreeSpec
    rows: Any
    reports: list[Report]

    def watch(self, ledger: Any, partial: bool) -> int:
        """Choose the buckets to look into; return how many differ."""
        differing: int = ledger.differing(partial)
        buckets = 1 << ledger.bits
        in_each = max(1, max(ledger.counts) // buckets)
        ledger.watch(max(1, _ITEMS_MOST // in_each), _ITEMS_MOST, partial)
        return differing

    def collect_rows(self) -> None:
        """Go over the records once more."""
        self.context.walk_again(Trail(), self.table, self.rows, self.reports)


def compare_references(comparison: Comparison, spec: TreeSpec, content: Any, ledger: Any) -> None:
    """Name the long values whose count of references is not what records say.

    spec, content: the long-value tree and what checks it.
    """
    differing = comparison.watch(ledger, False)
    comparison.collect_rows()
    comparison.context.walk_again(Trail(), spec, content, comparison.reports)
    findings = comparison.context.findings
    named = 0
    for (key, _), (references, counted, row, root) in sorted(ledger.found.items()):
        lid = int.from_bytes(key, "little")
        if references == counted and root is not None:
            continue
        named += 1
        if root is None:
            message = f"{references} references to long value {lid:#x}, which does not exist"
            findings.add("L55", f"{comparison.table.name}: {message}", *(row or _NOWHERE))
            continue
        rule = "L56a" if references > counted else "L56b"
        message = f"long value {lid:#x} counts {counted} references, there are {references}"
        findings.add(rule, f"{spec.name}: {message}", *root)
    if ledger.missed or named < differing:
        findings.add("L56b", f"{spec.name}: more counts of references are wrong", spec.root)


def compare_entries(
    comparison: Comparison, indexes: list[tuple[TreeSpec, Compare, Any, bool]]
) -> None:
    """Name the entries that no row makes and the rows without their entries.

    indexes: tree, way of comparing, ledger, and whether rows may lack entries, of each.
    """
    differing = [comparison.watch(ledger, partial) for _, _, ledger, partial in indexes]
    comparison.collect_rows()
    for (spec, compare, ledger, partial), count in zip(indexes, differing, strict=True):
        content = _kernel.Entries(compare, ledger)
        comparison.context.walk_again(Trail(), spec, content)
        _name_entries(comparison.context, spec, compare, ledger, partial, count)


def _name_entries(
    context: Context, spec: TreeSpec, compare: Compare, ledger: Any, partial: bool, differing: int
) -> None:
    named = 0
    for (key, bookmark), (made, there, row, entry) in sorted(ledger.found.items()):
        if compare == Compare.BY_PRESENCE:
            made, there = bool(made), bool(there)
        if made == there or (partial and made > there):
            continue
        named += 1
        what = f"row {_hex(bookmark)}"
        if key:
            what = f"key {_hex(key)}, {what}"
        if there > made:
            message = f"{spec.name}: no row makes this entry ({what})"
            context.findings.add("X59a", message, *(entry or _NOWHERE))
        else:
            message = f"{spec.name}: this row lacks its entry ({what})"
            context.findings.add("X59b", message, *(row or _NOWHERE))
    if ledger.missed or named < differing:
        context.findings.add("X59b", f"{spec.name}: more entries differ from the rows", spec.root)


def _hex(data: bytes) -> str:
    return data.hex() if len(data) <= _SHOWN else f"{data[:_SHOWN].hex()}..."
