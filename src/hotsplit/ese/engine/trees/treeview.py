"""B+ trees as they are read: find a node, walk over leaves, see what a session sees.

Source: format specification 3, 4; log specification 6.5 (views).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from hotsplit import _native
from hotsplit.errors import Jet, ObjectNotFound, PageDamaged
from hotsplit.ese.engine.trees.chains import Chains
from hotsplit.ese.engine.trees.records import Place
from hotsplit.ese.engine.trees.versions import Bookmark, seen
from hotsplit.ese.format.logrecord import SPACE_TREE, UNIQUE, VERSIONED
from hotsplit.ese.format.page import Node, NodeFlag, PageFlag

if TYPE_CHECKING:
    from hotsplit.ese.engine.database import OpenDatabase
    from hotsplit.ese.engine.session import Session
    from hotsplit.ese.engine.trees.versions import Transaction

_kernel = _native.load("tree")
_LEAF = int(PageFlag.LEAF)
_DELETED, _VERSION = int(NodeFlag.DELETED), int(NodeFlag.VERSION)
_DEEPEST = 16  # levels; a tree of 2^31 pages has fewer
_NO_END = "the way from the root has no end"
_DISORDER = "the keys of a leaf are not in order"
_CIRCLE = "the links between the leaves go round in a circle"
_PREVIOUS, _NEXT = slice(16, 20), slice(20, 24)  # of a page's header


Entry = tuple[bytes, bytes]
"""Key and data of a node."""


class Found(NamedTuple):
    """Where a bookmark is or would be. exact: the node at `line` has that bookmark."""

    pgno: int
    page: bytearray
    line: int
    exact: bool


class Step(NamedTuple):
    """One page on the way from the root to a leaf, with the line of the child taken."""

    pgno: int
    page: bytearray
    line: int


class TreeView:
    """One tree of a database, as far as it is read.

    kind: page flags that all its pages share. versions: chains of versions by bookmark.
    open_replaces: changes of data among them that are not committed. dropped: by which transaction.
    is_undone: its making was rolled back.
    """

    def __init__(
        self, database: OpenDatabase, root: int, objid: int, kind: int, *, unique: bool = True
    ) -> None:
        self.database, self.root, self.objid = database, root, objid
        self.kind = int(kind | PageFlag.NEW_RECORD)
        self.unique = unique
        self.is_space = bool(kind & PageFlag.SPACE_TREE)
        # Space trees are unique, but their records say what their owner is: redo in the published
        # engine takes that from whatever record of a tree comes first (log specification 4.6).
        flags = UNIQUE if unique and not kind & PageFlag.NON_UNIQUE else 0
        flags |= SPACE_TREE if self.is_space else 0
        self.place = Place(database.dbid, root, objid, flags)
        self.versioned = Place(database.dbid, root, objid, flags | VERSIONED)
        core = database.context.core
        self._resident, self._descend, self._dbid = core.page, core.descend, database.dbid
        self.versions = Chains()
        self.open_replaces = 0
        self.dropped: Transaction | None = None
        self.is_undone = False

    # Search

    def page(self, pgno: int) -> bytearray:
        """Return a page. Raises PageDamaged, FileTruncated."""
        found = self._resident(self._dbid, pgno)
        return found if found is not None else self.database.context.cache.load(self._dbid, pgno)

    def find(self, key: bytes, data: bytes = b"") -> Found:
        """Find the node of a bookmark, or where it would be inserted."""
        found = self._descend(self._dbid, self.root, key, None if self.unique else data)
        if found is not None:
            return Found(*found)
        pgno, page, line = self.path(key, data)[-1]  # reads pages, and tells of damage
        return Found(pgno, page, line, _kernel.find(page, key, None if self.unique else data)[1])

    def path(self, key: bytes, data: bytes = b"") -> list[Step]:
        """Return the way from the root to the leaf of a bookmark; the last line is the node's."""
        mark = key if self.unique else key + data
        steps: list[Step] = []
        pgno = self.root
        page = self.page(pgno)
        try:
            while len(steps) < _DEEPEST:
                if page[36] & _LEAF:
                    line = _kernel.find(page, key, None if self.unique else data)[0]
                    return [*steps, Step(pgno, page, line)]
                line, child = _kernel.child(page, mark)
                steps.append(Step(pgno, page, line))
                pgno = child
                page = self.page(pgno)
        except ValueError as error:
            raise self.damaged(str(error), pgno) from error
        raise self.damaged(_NO_END, pgno)

    def damaged(self, why: str, pgno: int) -> PageDamaged:
        """Return the error for a page of the tree that cannot be as it is."""
        return PageDamaged(why, jet=Jet.errNodeCorrupted, position=f"page {pgno}")

    def node(self, found: Found) -> Node:
        """Return the node at the place found."""
        return Node(*_kernel.node(found.page, found.line))

    def bookmark(self, key: bytes, data: bytes) -> Bookmark:
        """Return what identifies a node."""
        return (key, b"") if self.unique else (key, data)

    def check_there(self, session: Session) -> None:
        """Raise ObjectNotFound if the session sees that the tree was dropped, or it never was."""
        if self.is_undone or (self.dropped is not None and session.sees(self.dropped)):
            raise ObjectNotFound("What is to be read was deleted")

    def get(self, session: Session, key: bytes, data: bytes = b"") -> bytes | None:
        """Return the data of a node as the session sees it, None if there is none."""
        if self.dropped is not None:
            self.check_there(session)
        found = self.find(key, data)
        if not found.exact:
            return None
        _, content, flags = _kernel.node(found.page, found.line)
        deleted = bool(flags & _DELETED)
        chain = self.versions.get(self.bookmark(key, data)) if self.versions else ()
        if chain:
            content, deleted = seen(session.current, chain, content, deleted)
        return None if deleted else content

    def scan(self, key: bytes = b"") -> Iterator[Node]:
        """Yield the nodes that are not flagged as deleted, from `key` on (unique trees).

        Views do not matter here: this is for trees without versions.
        """
        found = self.find(key)
        first = found.line
        for page in itertools.chain([found.page], self._linked(found.page, _NEXT)):
            for i in range(first, _kernel.count(page)):
                node = Node(*_kernel.node(page, i))
                if not node.is_deleted:
                    yield node
            first = 0

    def last_key(self) -> bytes:
        """Return the highest key in the tree, deleted nodes included; empty for an empty tree."""
        page = self._last_leaf()
        count = _kernel.count(page)
        key: bytes = _kernel.node(page, count - 1)[0] if count else b""
        return key

    # Views

    def entries(self, session: Session, key: bytes = b"") -> Iterator[Entry]:
        """Yield the nodes that the session sees, from `key` on, in order (unique trees).

        The tree may change in between.
        """
        inclusive = True
        while entries := self.entries_after(session, (key, b""), inclusive=inclusive):
            yield from entries
            key, inclusive = entries[-1][0], False

    def entries_after(self, session: Session, mark: Bookmark, *, inclusive: bool) -> list[Entry]:
        """Return nodes that the session sees, some of those that follow a bookmark, in order.

        [] only at the end of the tree.
        """
        if self.dropped is not None:
            self.check_there(session)
        found = self.find(*mark)
        first = found.line + (found.exact and not inclusive)
        entries = self.visible(session, found.page, first, _kernel.count(found.page))
        entries = entries or self._next_visible(session, found.page, _NEXT)
        if entries and not inclusive and not self._follows(entries[-1], mark):
            raise self.damaged(_DISORDER, found.pgno)
        return entries

    def entries_before(self, session: Session, mark: Bookmark | None) -> list[Entry]:
        """Return nodes that the session sees, some of those in front of a bookmark, in order.

        mark: None for the end of the tree. [] only at the begin of the tree.
        """
        if self.dropped is not None:
            self.check_there(session)
        if mark is None:
            page = self._last_leaf()
            last = _kernel.count(page)
        else:
            found = self.find(*mark)
            page, last = found.page, found.line
        entries = self.visible(session, page, 0, last)
        entries = entries or self._next_visible(session, page, _PREVIOUS)
        if entries and mark is not None and not self._follows(mark, entries[0]):
            raise self.damaged(_DISORDER, self.root)
        return entries

    def _follows(self, mark: Bookmark, other: Bookmark) -> bool:
        return mark[0] > other[0] if self.unique else mark > other

    def _next_visible(self, session: Session, page: bytearray, link: slice) -> list[Entry]:
        """Return what the session sees of the first linked leaf with anything."""
        for leaf in self._linked(page, link):
            if entries := self.visible(session, leaf, 0, _kernel.count(leaf)):
                return entries
        return []

    def _linked(self, page: bytearray, link: slice) -> Iterator[bytearray]:
        """Yield the leaves that links lead to. Raises PageDamaged for a circle of them."""
        for _ in range(self.database.store.page_count):
            pgno = int.from_bytes(page[link], "little")
            if not pgno:
                return
            page = self.page(pgno)
            yield page
        raise self.damaged(_CIRCLE, self.root)

    def _last_leaf(self) -> bytearray:
        pgno = self.root
        page = self.page(pgno)
        try:
            for _ in range(_DEEPEST):
                if page[36] & _LEAF:
                    return page
                child = _kernel.node(page, _kernel.count(page) - 1)[1]
                pgno = int.from_bytes(child, "little")
                page = self.page(pgno)
        except ValueError as error:
            raise self.damaged(str(error), pgno) from error
        raise self.damaged(_NO_END, pgno)

    def visible(self, session: Session, page: bytearray, first: int, last: int) -> list[Entry]:
        """Return the nodes of a part of a leaf that the session sees."""
        if first >= last:
            return []
        nodes = _kernel.nodes(page, first, last)
        if not self.versions:
            return [(key, data) for key, data, flags in nodes if not flags & _DELETED]
        transaction = session.current
        entries = []
        for key, data, flags in nodes:
            deleted = bool(flags & _DELETED)
            if flags & _VERSION:
                chain = self.versions.get((key, b"") if self.unique else (key, data))
                if chain:
                    data, deleted = seen(transaction, chain, data, deleted)
            if not deleted:
                entries.append((key, data))
        return entries
