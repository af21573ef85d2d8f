"""Checking where the pages of each tree come from, and entering them in the map of pages.

Parents are claimed before their children, so that a child's pages can be held against the
parent's. Source: format specification 5, 13.1 S.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from hotsplit.errors import HotsplitError
from hotsplit.ese.check.findings import Findings
from hotsplit.ese.check.pagemap import NOBODY, PageMap, Trouble, Use
from hotsplit.ese.check.pagereader import PageReader
from hotsplit.ese.check.treewalk import Guide, Lenient, Trail, TreeSpec, TreeWalk
from hotsplit.ese.format.page import Page, PageFlag
from hotsplit.ese.format.space import Extent, SpaceFlag, SpaceHeader, split_buffer

_MAP_BITS = 32
_SPLIT_BUFFER = 16  # bytes
_CONTINUOUS, _SHELVED = 1, 2  # pools of available extents
_ANY_PAGE = 0x7FFFFFFF
_KNOWN_FLAGS = int(SpaceFlag.MULTIPLE | SpaceFlag.NON_UNIQUE | SpaceFlag.V2)
_SPACE_ROOT = int(PageFlag.ROOT | PageFlag.SPACE_TREE)
_Node = tuple[int, int, bytes, bytes]


class Parent(NamedTuple):
    """The tree that gives space: its root page and object id."""

    root: int
    objid: int


class Claimed(NamedTuple):
    """What a tree got: how many pages; and the highest autoincrement value handed out, if kept."""

    pages: int
    autoincrement: int | None = None


DATABASE = TreeSpec("database root", 1, 1)
_NO_PARENT = Parent(0, NOBODY)
DATABASE_PARENT = Parent(DATABASE.root, DATABASE.objid)


@dataclass
class _Extents:
    """Extents of one space tree as they come out of the walk, checked for order and bounds."""

    spec: TreeSpec
    findings: Findings
    last_page: int
    nodes: list[_Node] = field(default_factory=list)
    extents: list[Extent] = field(default_factory=list)
    broken: bool = False
    _previous: dict[int, int] = field(default_factory=dict)

    def take(self) -> None:
        """Turn the nodes of the latest run of leaves into extents."""
        for page, node, key, data in self.nodes:
            try:
                extent = Extent.unpack(key, data)
            except ValueError as error:
                self._breach(str(error), page, node)
                continue
            before = self._previous.get(extent.pool, 0)
            if not extent.pages and extent.pool == _CONTINUOUS:
                continue  # used up; it stays as the mark behind which the next pages are looked for
            if extent.pages < 1:
                self._breach("an extent without pages", page, node)
            elif extent.last > self.last_page and extent.pool != _SHELVED:
                message = f"pages {extent.first} to {extent.last}; the last one is {self.last_page}"
                self._breach(message, page, node)
            elif extent.first <= before:
                message = f"pages {extent.first} to {extent.last} overlap the extent before"
                self._breach(message, page, node)
            else:
                self.extents.append(extent)
            self._previous[extent.pool] = max(before, extent.last)
        self.nodes.clear()

    def _breach(self, message: str, page: int, node: int) -> None:
        self.broken = True
        self.findings.add("S30", f"{self.spec.name}: {message}", page, node)


class Space:
    """Claims the pages of one tree after the other.

    last_owned: last page that the database owns, known after the database itself was claimed.
    unclaimed: object ids whose space could not be read, so their pages are not held against it.
    blind: object ids of which it cannot be told which pages are leaked.
    """

    def __init__(self, reader: PageReader, pages: PageMap, findings: Findings) -> None:
        self._reader = reader
        self._pages = pages
        self._findings = findings
        self.last_owned = pages.last
        self.unclaimed: set[int] = set()
        self.blind: set[int] = set()

    def claim_database(self) -> None:
        """Enter the extents of the file itself."""
        self.claim(DATABASE, _NO_PARENT)

    def claim(self, spec: TreeSpec, parent: Parent) -> Claimed:
        """Enter the pages of a tree. Where its space cannot be read it may own any page."""
        header = self._header(spec, parent)
        if header is None or parent.objid in self.unclaimed:
            self._give_up(spec, parent)
            return Claimed(self._pages.last)
        work = self._claim_extents if header.is_multiple else self._claim_single
        return Claimed(work(spec, parent, header), header.autoincrement)

    def _give_up(self, spec: TreeSpec, parent: Parent) -> None:
        """The space of a tree cannot be read: neither its pages nor its parent's can be judged."""
        self.unclaimed.add(spec.objid)
        self.blind.update((spec.objid, parent.objid, DATABASE.objid))

    def _breach(self, rule: str, spec: TreeSpec, message: str, page: int) -> None:
        self._findings.add(rule, f"{spec.name}: {message}", page)

    # The space header

    def root_page(self, pgno: int) -> Page | None:
        """Return a root page if it can be read; what is wrong with it the walk will say."""
        if not 1 <= pgno <= self._pages.last:
            return None
        try:
            return Page(self._reader.file.read_page(pgno), pgno)
        except HotsplitError:
            return None

    def _header(self, spec: TreeSpec, parent: Parent) -> SpaceHeader | None:
        page = self.root_page(spec.root)
        if page is None or page.objid != spec.objid:
            return None
        try:
            external = page.external
        except HotsplitError:
            return None
        try:
            header = SpaceHeader.unpack(external)
        except ValueError as error:
            self._breach("S28a", spec, str(error), spec.root)
            return None
        non_unique = bool(spec.kind & PageFlag.NON_UNIQUE)
        if header.flags & ~_KNOWN_FLAGS or bool(header.flags & SpaceFlag.NON_UNIQUE) != non_unique:
            message = f"the flags of the space header are {header.flags:#x}"
            self._breach("S28a", spec, message, spec.root)
        if header.parent != parent.root:
            message = f"the space comes from page {header.parent}, not from page {parent.root}"
            self._breach("S28b", spec, message, spec.root)
        return header

    # Many extents

    def _claim_extents(self, spec: TreeSpec, parent: Parent, header: SpaceHeader) -> int:
        """Enter the extents of a tree; return the number of its pages."""
        owned_spec = self._space_tree(spec, "owned", header.owned)
        available_spec = self._space_tree(spec, "available", header.owned + 1)
        if owned_spec is None or available_spec is None:
            self._give_up(spec, parent)
            return self._pages.last
        trail = Trail()
        owned, complete = self._walk(owned_spec, trail, self._last_of(spec))
        if spec == DATABASE:
            self._set_end(owned)
        for extent in owned:
            self._claim_run(spec, parent, extent)
        count = sum(extent.pages for extent in owned)
        if not complete:
            self._give_up(spec, parent)
        self._enter_trail(owned_spec, trail)
        guide = self.guide(spec.objid)
        last = self.last_owned if spec == DATABASE and complete else self._last_of(spec)
        available, complete = self._walk(available_spec, guide, last)
        if not complete:
            self.blind.add(spec.objid)
        if spec.objid in self.unclaimed:
            return count
        for extent in available:
            if extent.pool != _SHELVED:
                self._offer(available_spec, extent, Use.AVAILABLE)
        for tree in (owned_spec, available_spec):
            self._keep_for_splits(tree)
        return count

    def guide(self, objid: int) -> Guide:
        """Return what the pages of a tree are held against."""
        free = objid in self.unclaimed or objid == DATABASE.objid
        return Lenient(self._pages) if free else self._pages

    def _enter_trail(self, spec: TreeSpec, trail: Trail) -> None:
        """Hold the pages of the owned-extent tree against what it says itself."""
        guide = self.guide(spec.objid)
        for page in trail.pages:
            for trouble in guide.visit(page, 1, spec.objid):
                message = f"the page is owned by object {trouble.owner}"
                self._breach("T19", spec, message, page)

    def _last_of(self, spec: TreeSpec) -> int:
        """Return the last page that an extent of a tree can have."""
        if spec == DATABASE:
            return _ANY_PAGE  # what the file lacks is told by itself
        return min(self._pages.last, self.last_owned)

    def _space_tree(self, spec: TreeSpec, what: str, root: int) -> TreeSpec | None:
        page = self.root_page(root)
        if page is None or page.flags & _SPACE_ROOT != _SPACE_ROOT or page.objid != spec.objid:
            message = f"page {root} is no root of its {what} extents"
            self._breach("S29", spec, message, spec.root)
            return None
        kind = spec.kind | PageFlag.SPACE_TREE
        return TreeSpec(f"{what} extents of {spec.name}", root, spec.objid, kind)

    def _walk(self, spec: TreeSpec, guide: Guide, last: int) -> tuple[list[Extent], bool]:
        """Walk a space tree; return its sound extents and whether they are all."""
        found = _Extents(spec, self._findings, last)
        walk = TreeWalk(
            self._reader, guide, self._findings, spec, found.nodes, after_run=found.take
        )
        walked = walk.run()
        return found.extents, not (walked.damaged or found.broken)

    def _set_end(self, extents: list[Extent]) -> None:
        """Compare the end of the database with that of the file."""
        last = self._pages.last
        self.last_owned = max((extent.last for extent in extents), default=last)
        if self.last_owned > last:
            message = f"the database has pages up to {self.last_owned}, the file ends with {last}"
            self._findings.add("H7a", message, last + 1)
        elif self.last_owned < last:
            message = f"the file has {last} pages, the database owns {self.last_owned}"
            self._findings.add("H7b", message, self.last_owned + 1)

    def _claim_run(self, spec: TreeSpec, parent: Parent, extent: Extent) -> None:
        count = min(extent.last, self._pages.last) - extent.first + 1
        if count < 1:
            return
        for trouble in self._pages.claim(extent.first, count, parent.objid, spec.objid):
            self._report_claim(spec, parent, trouble)

    def _report_claim(self, spec: TreeSpec, parent: Parent, trouble: Trouble) -> None:
        page, _, owner, use = trouble
        run = _words(trouble)
        if owner != parent.objid:
            rule = "S33b" if owner == NOBODY and parent == DATABASE_PARENT else "S33a"
            whose = f"of object {owner}" if owner else "of nobody"
            self._breach(rule, spec, f"{run}: {whose}, not of object {parent.objid}", page)
        elif use == Use.AVAILABLE:
            self._breach("S33a", spec, f"{run}: available to object {owner}", page)
        else:
            self._breach("S33a", spec, f"{run}: in use by object {owner}", page)

    def _offer(self, spec: TreeSpec, extent: Extent, use: Use) -> None:
        """Enter available pages, or those kept for splits."""
        count = min(extent.last, self._pages.last) - extent.first + 1
        if count < 1:
            return
        rule = "S31" if use == Use.AVAILABLE else "S32"
        for trouble in self._pages.reserve(extent.first, count, spec.objid, use):
            run = _words(trouble)
            if trouble.owner != spec.objid:
                message = f"{run}: of object {trouble.owner}, not of object {spec.objid}"
            else:
                message = f"{run}: already {_WORDS[trouble.use]}"
            self._breach(rule, spec, message, trouble.page)

    def _keep_for_splits(self, spec: TreeSpec) -> None:
        page = self.root_page(spec.root)
        if page is None:
            return
        try:
            external = page.external
        except HotsplitError:
            return
        if len(external) not in (0, _SPLIT_BUFFER):
            self._breach("S32", spec, f"a list of {len(external)} bytes", spec.root)
        ranges = split_buffer(external)
        for extent in ranges:
            if extent.first < 1 or extent.last > self._pages.last:
                message = f"pages {extent.first} to {extent.last} are outside the database"
                self._breach("S32", spec, message, spec.root)
            else:
                self._offer(spec, extent, Use.SPLIT)

    # One extent

    def _claim_single(self, spec: TreeSpec, parent: Parent, header: SpaceHeader) -> int:
        """Enter the only extent of a tree; return the number of its pages."""
        last = min(self._pages.last, self.last_owned)
        if not 1 <= header.pages <= last - spec.root + 1:
            message = f"an extent of {header.pages} pages from page {spec.root} on"
            self._breach("S35", spec, message, spec.root)
            self._give_up(spec, parent)
            return last
        mapped = min(header.pages - 1, _MAP_BITS)
        if mapped < _MAP_BITS and header.owned >> mapped:
            message = f"the map of free pages {header.owned:#x} goes beyond {header.pages} pages"
            self._breach("S35", spec, message, spec.root)
        self._claim_run(spec, parent, Extent(spec.root + header.pages - 1, header.pages))
        for bit in range(mapped):
            if header.owned >> bit & 1:
                self._offer(spec, Extent(spec.root + 1 + bit, 1), Use.AVAILABLE)
        behind = header.pages - 1 - mapped  # the map has no bits for these: they are all free
        if behind:
            self._offer(spec, Extent(spec.root + header.pages - 1, behind), Use.AVAILABLE)
        return header.pages


def _words(trouble: Trouble) -> str:
    """Return words for the pages."""
    several = trouble.length > 1
    return f"pages {trouble.page} to {trouble.last}" if several else f"page {trouble.page}"


_WORDS = {
    Use.NONE: "in use",
    Use.AVAILABLE: "available",
    Use.TREE: "in use",
    Use.SPLIT: "kept for splits",
}
