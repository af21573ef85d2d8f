"""Walking one tree from its root: every page once, leaves in runs of adjacent pages.

The kernel checks the pages; this module decides which page comes next, reads it, and holds the way
there against the map of pages. Source: format specification 4.1, 4.2, 13.1 P, T.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from hotsplit import _native
from hotsplit.ese.check.findings import Findings, Report
from hotsplit.ese.check.pagemap import PageMap, Trouble, Use
from hotsplit.ese.check.pagereader import PageReader
from hotsplit.ese.format.catalogschema import key_most
from hotsplit.ese.format.page import PageFlag
from hotsplit.ese.read.pages import PageSet

_kernel = _native.load("integrity")

_DEEPEST = 16
# Plain numbers: an operation on members of a Flag takes ten times as long.
_LEAF, _PARENT_OF_LEAF = int(PageFlag.LEAF), int(PageFlag.PARENT_OF_LEAF)
_RUN_BYTES = 256 * 1024

Prefetch = Callable[[list[bytes]], None]
"""Is told the ids of long values that are needed next."""


class TreeSpec(NamedTuple):
    """One tree as the catalog and its root's owner describe it.

    kind: those page flags that all its pages must have (index, long value, space tree, not unique).
    """

    name: str
    root: int
    objid: int
    kind: int = 0


class Guide(Protocol):
    """Says of pages on the way whether they may be there."""

    def visit(self, first: int, count: int, owner: int, /) -> list[Trouble]:
        """See `PageMap.visit`."""
        ...


class Trail:
    """A guide for pages whose owner is not known yet, or not asked for: it only bars circles."""

    def __init__(self) -> None:
        self.pages: list[int] = []
        self._met = PageSet()

    def visit(self, first: int, count: int, owner: int) -> list[Trouble]:
        """See `PageMap.visit`."""
        found = []
        for page in range(first, first + count):
            if page in self._met:
                found.append(Trouble(page, 1, owner, Use.TREE))
            else:
                self._met.add(page)
                self.pages.append(page)
        return found


class Lenient:
    """A guide for trees whose space could not be read: their pages are not held against it."""

    def __init__(self, pages: PageMap) -> None:
        self._pages = pages

    def visit(self, first: int, count: int, owner: int) -> list[Trouble]:
        """See `PageMap.visit_freely`."""
        return self._pages.visit_freely(first, count)


@dataclass(frozen=True)
class Walked:
    """What a walk saw. damaged: something was not readable, so it did not see all."""

    damaged: bool
    internals: int
    leaves: int
    nodes: int
    deleted: int
    versioned: int


@dataclass
class _Level:
    """One internal page on the way down: its children, the keys that bound them, where we are."""

    page: int
    children: list[int]
    keys: list[bytes]
    low: bytes | None
    high: bytes | None
    above_leaves: bool
    next: int = 0

    def low_of(self, i: int) -> bytes | None:
        return self.keys[i - 1] if i else self.low

    def high_of(self, i: int) -> bytes | None:
        return (self.keys[i] or None) if i + 1 < len(self.children) else self.high


class TreeWalk:
    """One walk over one tree.

    content: what the leaves hold, in the kernel's terms. after_run: called after each run of
    leaves, e.g. to empty a list that the kernel fills. prefetch: called before each run of leaves
    with the ids of those long values that its index keys are made of.
    """

    def __init__(
        self,
        reader: PageReader,
        guide: Guide,
        findings: Findings,
        spec: TreeSpec,
        content: Any = None,
        *,
        reports: list[Report] | None = None,
        after_run: Callable[[], None] | None = None,
        prefetch: Prefetch | None = None,
    ) -> None:
        self._reader = reader
        self._guide = guide
        self._findings = findings
        self._spec = spec
        self._reports: list[Report] = [] if reports is None else reports
        self._after_run = after_run
        self._prefetch = prefetch
        self._leaf_depth = 0
        size = reader.page_size
        self._tree = _kernel.Tree(
            size,
            spec.objid,
            spec.kind,
            reader.dbtime,
            2 * key_most(size),
            content,
            self._reports,
        )

    def run(self) -> Walked:
        """Walk the tree; breaches go to the findings. Raises what reading raises."""
        stack: list[_Level] = []
        self._enter(self._spec.root, None, None, stack)
        while stack:
            level = stack[-1]
            if level.next >= len(level.children):
                stack.pop()
            elif level.above_leaves:
                stack.pop()
                self._leaves(level)
            else:
                i, level.next = level.next, level.next + 1
                self._enter(level.children[i], level.low_of(i), level.high_of(i), stack)
        self._tree.finish()
        self._drain()
        return Walked(bool(self._tree.damaged), *self._tree.counts)

    def _breach(self, rule: str, message: str, page: int) -> None:
        self._findings.add(rule, f"{self._spec.name}: {message}", page, objid=self._spec.objid)

    def _drain(self) -> None:
        if self._reports:
            self._findings.add_reports(self._spec.name, self._spec.objid, self._reports)
        if self._after_run is not None:
            self._after_run()

    def _lose(self, rule: str, message: str, page: int) -> None:
        """Report a part of the tree that cannot be followed."""
        self._breach(rule, message, page)
        self._tree.lose()

    # Pages above leaves

    def _enter(self, page: int, low: bytes | None, high: bytes | None, stack: list[_Level]) -> None:
        """Read a page that may be internal or a leaf, the root or one below an internal page."""
        data = next((data for _, data in self._read(page, 1)), None)
        if data is None:
            return
        flags = int.from_bytes(data[36:40], "little")
        is_root = not stack
        if flags & _LEAF:
            if stack:
                self._breach("T20", "the page is a leaf, but its parent does not say so", page)
            self._take_leaves(data, page, is_root, low, [high])
        elif len(stack) >= _DEEPEST:
            self._lose("T20", "the tree is too deep", page)
        else:
            above_leaves = bool(flags & _PARENT_OF_LEAF)
            self._check_depth(page, len(stack), above_leaves)
            children, keys = self._tree.internal(data, page, is_root, low, high)
            if children:
                stack.append(_Level(page, children, keys, low, high, above_leaves))
            else:
                self._tree.lose()
        self._drain()

    def _check_depth(self, page: int, depth: int, above_leaves: bool) -> None:
        if not above_leaves:
            return
        if not self._leaf_depth:
            self._leaf_depth = depth + 1
        elif depth + 1 != self._leaf_depth:
            message = f"leaves at level {depth + 1}, others at level {self._leaf_depth}"
            self._breach("T20", message, page)

    # Leaves

    def _leaves(self, level: _Level) -> None:
        for start, count in self._runs(level.children):
            first = level.children[start]
            for page, data in self._read(first, count):
                i = start + page - first
                highs = [level.high_of(k) for k in range(i, i + len(data) // self._size)]
                self._take_leaves(data, page, False, level.low_of(i), highs)
            self._drain()

    def _take_leaves(
        self, data: bytes, first: int, is_root: bool, low: bytes | None, highs: list[bytes | None]
    ) -> None:
        if self._prefetch is not None:
            self._prefetch(self._tree.wanted(data))
        self._tree.leaves(data, first, is_root, low, highs)

    @property
    def _size(self) -> int:
        return self._reader.page_size

    def _runs(self, pages: list[int]) -> Iterator[tuple[int, int]]:
        """Yield (index, number) of adjacent pages that are read at once."""
        most = _RUN_BYTES // self._size
        start = 0
        for i in range(1, len(pages) + 1):
            if i == len(pages) or pages[i] != pages[i - 1] + 1 or i - start == most:
                yield start, i - start
                start = i

    def _read(self, first: int, count: int) -> Iterator[tuple[int, bytes]]:
        """Yield (page, data) of the pages that may be here and can be read, adjacent ones at once.

        The others are reported, and lost to the tree.
        """
        outside = first < 1 or first + count - 1 > self._reader.last
        if outside and count == 1:
            self._lose("T19", f"a pointer leads to page {first}, outside the file", first)
            return
        if outside:
            for page in range(first, first + count):
                yield from self._read(page, 1)
            return
        troubles = self._guide.visit(first, count, self._spec.objid)
        barred = {
            page
            for trouble in troubles
            if trouble.use == Use.TREE
            for page in range(trouble.page, trouble.last + 1)
        }
        for trouble in troubles:
            self._report_trouble(trouble)
        for page, data in self._reader.read(first, count, self._spec, self._findings, barred):
            if data is None:
                self._tree.lose()
            else:
                yield page, data

    def _report_trouble(self, trouble: Trouble) -> None:
        page, _, owner, use = trouble
        if use == Use.TREE:
            for met in range(page, trouble.last + 1):
                self._breach("P16", "the page was met before", met)
        elif use == Use.AVAILABLE:
            self._breach("S31", f"the page is available to object {owner}", page)
        elif use == Use.SPLIT:
            self._breach("S32", "the page is kept for splits of a space tree", page)
        else:
            message = f"the page is owned by object {owner}, not by object {self._spec.objid}"
            self._breach("T19", message if owner else "nobody owns the page", page)
