"""Is a database in order? All its trees, their separators, links and the ownership of every page.

Source: format specification 4.1, 4.2, 5.1. Written against the reader's classes alone, so that it
shares nothing with the engine that it judges.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

from hotsplit.ese.files.database import DatabaseFile
from hotsplit.ese.files.env import Env
from hotsplit.ese.format.page import Node, Page, PageFlag
from hotsplit.ese.format.space import Extent, SpaceHeader
from hotsplit.ese.read.database import Database

KINDS = PageFlag.INDEX | PageFlag.LONG_VALUE | PageFlag.NON_UNIQUE | PageFlag.NEW_RECORD


@dataclass
class Shape:
    """What was found. owner: which tree each page belongs to; free: pages in no tree."""

    owner: dict[int, str] = field(default_factory=dict)
    nodes: dict[str, list[Node]] = field(default_factory=dict)
    leaked: int = 0


def check_database(env: Env, path: str) -> Shape:
    """Check all trees of a clean database; AssertionError says what is wrong."""
    shape = Shape()
    with DatabaseFile.open(env, path) as file, Database.open(env, path) as db:
        roots = [("database", 1, 1, 0)]
        for name in db.tables(system=True):
            table = db.table(name).definition
            roots.append((name, table.root, table.objid, 1))
            roots += [
                (f"{name}/{index.name}", index.root, index.objid, table.root)
                for index in table.indexes
                if not index.is_primary
            ]
            if table.long_value_root:
                lv = (f"{name}/LV", table.long_value_root, table.long_value_objid, table.root)
                roots.append(lv)
        checker = _Checker(file, shape)
        owned = {root: checker.tree_with_space(*what) for what in roots for root in [what[1]]}
        for _, root, _, parent in roots:
            if parent:
                assert owned[root] <= owned[parent], f"{root} owns what {parent} does not"
        leaked = owned[1] - set(shape.owner)
        shape.leaked = len(leaked)
        assert not db.reporter.findings, db.reporter.findings
    return shape


class _Checker:
    def __init__(self, file: DatabaseFile, shape: Shape) -> None:
        self._file, self._shape = file, shape

    def page(self, pgno: int) -> Page:
        page = Page(self._file.read_page(pgno), pgno)
        assert page.problem() is None, f"page {pgno}: {page.problem()}"
        assert page.dbtime <= self._file.header.dbtime, f"page {pgno} is newer than the header"
        return page

    def claim(self, pgno: int, name: str) -> None:
        assert pgno not in self._shape.owner, f"{pgno}: {self._shape.owner[pgno]} and {name}"
        self._shape.owner[pgno] = name

    def tree_with_space(self, name: str, root: int, objid: int, parent: int) -> set[int]:
        """Check a tree and its space; return the pages that it owns."""
        page = self.page(root)
        kind = page.flags & KINDS
        self._shape.nodes[name] = self.tree(name, root, objid, kind)
        space = SpaceHeader.unpack(page.external)
        assert space.parent == parent, f"{name}: parent {space.parent}"
        if not space.is_multiple:
            free = list(space.free_pages(root))
            owned = set(range(root, root + space.pages))
        else:
            kind |= PageFlag.SPACE_TREE
            owned_nodes = self.tree(f"{name} owned", space.owned, objid, kind)
            free_nodes = self.tree(f"{name} available", space.owned + 1, objid, kind)
            free = _pages(free_nodes, name)
            owned = set(_pages(owned_nodes, name))
        for pgno in free:
            assert pgno in owned, f"{name}: free page {pgno} is not owned"
            self.claim(pgno, f"{name} free")
        return owned

    def tree(self, name: str, root: int, objid: int, kind: int) -> list[Node]:
        leaves: list[Page] = []
        page = self.page(root)
        assert page.flags & PageFlag.ROOT
        unique = not kind & PageFlag.NON_UNIQUE or bool(kind & PageFlag.SPACE_TREE)
        depth = self._walk(name, page, objid, kind, (b"", b""), leaves, unique)
        assert depth < 8
        for before, after in pairwise(leaves):
            assert (before.next, after.previous) == (after.number, before.number), f"{name}: links"
        assert not leaves[0].previous
        assert not leaves[-1].next
        nodes = [node for leaf in leaves for node in leaf.nodes()]
        marks = [node.key if unique else (node.key, node.data) for node in nodes]
        assert all(a < b for a, b in pairwise(marks)), f"{name}: order"  # type: ignore[operator]
        return nodes

    def _walk(
        self, name: str, page: Page, objid: int, kind: int, bounds: tuple[bytes, bytes],
        leaves: list[Page], unique: bool,
    ) -> int:  # fmt: skip
        """Check a subtree whose bookmarks are in [low, high), high empty for no bound."""
        self.claim(page.number, name)
        assert page.objid == objid, f"{name}: page {page.number} is of object {page.objid}"
        assert page.flags & (KINDS | PageFlag.SPACE_TREE) == kind | PageFlag.NEW_RECORD
        low, high = bounds
        nodes = page.nodes()
        if page.is_leaf:
            assert nodes or page.is_root, f"{name}: empty leaf {page.number}"
            for node in nodes:
                mark = node.key if unique else node.key + node.data
                assert low <= mark, f"{name}: page {page.number} below its separator"
                assert not high or mark < high, f"{name}: page {page.number} above its separator"
            leaves.append(page)
            return 1
        assert nodes[-1].key == high, f"{name}: last separator of page {page.number}"
        depths = set()
        for node in nodes:
            child = self.page(int.from_bytes(node.data, "little"))
            assert bool(page.flags & PageFlag.PARENT_OF_LEAF) == child.is_leaf
            assert not child.is_root
            assert node.key or node is nodes[-1]
            depths.add(self._walk(name, child, objid, kind, (low, node.key), leaves, unique))
            low = node.key
        assert len(depths) == 1
        return depths.pop() + 1


def _pages(nodes: list[Node], name: str) -> list[int]:
    found: list[int] = []
    for node in nodes:
        if node.is_deleted:
            continue
        extent = Extent.unpack(node.key, node.data)
        assert not found or found[-1] < extent.first, f"{name}: extents overlap"
        found += range(extent.first, extent.last + 1)
    return found
