"""B+ trees as they are changed: find a node, insert, replace, delete, undo.

A tree decides which record describes a change; the journal makes it. Structure changes are in
`split` and `merge`, the tree's pages in `space`.

Source: format specification 3, 4; log specification 4.6, 7.2.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from hotsplit import _native
from hotsplit.errors import (
    InvalidUse,
    Jet,
    KeyDuplicate,
    ObjectNotFound,
    PageDamaged,
    RecordNotFound,
)
from hotsplit.ese.engine import records
from hotsplit.ese.engine.append import append
from hotsplit.ese.engine.chains import Chains
from hotsplit.ese.engine.pageroom import has_room, keep
from hotsplit.ese.engine.records import Place, Writer
from hotsplit.ese.engine.split import Change, split
from hotsplit.ese.engine.versions import Bookmark, Version, check_conflict, largest, seen
from hotsplit.ese.format.basics import is_large
from hotsplit.ese.format.diff import make_diff
from hotsplit.ese.format.logrecord import SPACE_TREE, UNIQUE, VERSIONED
from hotsplit.ese.format.page import Node, NodeFlag, PageFlag
from hotsplit.ese.recovery.core import DELTA, FLAG_DELETE, INSERT, REPLACE

if TYPE_CHECKING:
    from hotsplit.ese.engine.database import OpenDatabase
    from hotsplit.ese.engine.session import Session
    from hotsplit.ese.engine.space import Space
    from hotsplit.ese.engine.versions import Transaction

_kernel = _native.load("tree")
_LEAF = int(PageFlag.LEAF)
_DELETED, _VERSION = int(NodeFlag.DELETED), int(NodeFlag.VERSION)
_NOT_COMPRESSED = ~int(NodeFlag.COMPRESSED)
_DEEPEST = 16  # levels; a tree of 2^31 pages has fewer
_DIFF_WORTH = 16  # a diff must save at least so many bytes
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


class Tree:
    """One tree of a database.

    kind: page flags that all its pages share. versions: chains of versions by bookmark.
    open_replaces: changes of data among them that are not committed. dropped: by which transaction.
    """

    def __init__(
        self, database: OpenDatabase, root: int, objid: int, kind: int, *, unique: bool = True
    ) -> None:
        self.database, self.root, self.objid = database, root, objid
        self.kind = int(kind | PageFlag.NEW_RECORD)
        self.unique = unique
        self.is_space = bool(kind & PageFlag.SPACE_TREE)
        flags = (UNIQUE if unique else 0) | (SPACE_TREE if self.is_space else 0)
        self.place = Place(database.dbid, root, objid, flags)
        self.versioned = Place(database.dbid, root, objid, flags | VERSIONED)
        self._resident, self._dbid = database.context.core.page, database.dbid
        self.versions = Chains()
        self.open_replaces = 0
        self.dropped: Transaction | None = None

    @functools.cached_property
    def space(self) -> Space:
        """The pages that the tree owns."""
        from hotsplit.ese.engine.space import Space

        return Space(self)

    # Search

    def page(self, pgno: int) -> bytearray:
        """Return a page. Raises PageDamaged, FileTruncated."""
        found = self._resident(self._dbid, pgno)
        return found if found is not None else self.database.context.cache.load(self._dbid, pgno)

    def find(self, key: bytes, data: bytes = b"") -> Found:
        """Find the node of a bookmark, or where it would be inserted."""
        mark = key if self.unique else key + data
        pgno = self.root
        page = self.page(pgno)
        try:
            for _ in range(_DEEPEST):
                if page[36] & _LEAF:
                    line, exact = _kernel.find(page, key, None if self.unique else data)
                    return Found(pgno, page, line, exact)
                _, pgno = _kernel.child(page, mark)
                page = self.page(pgno)
        except ValueError as error:
            raise self.damaged(str(error), pgno) from error
        raise self.damaged(_NO_END, pgno)

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
        """Raise ObjectNotFound if the session sees that the tree was dropped."""
        if self.dropped is not None and session.sees(self.dropped):
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

    # Changes

    def _times(self, page: bytearray) -> tuple[int, int]:
        return self.database.tick(), int.from_bytes(page[8:16], "little")

    def _apply(self, record: bytes, pgno: int) -> None:
        self.database.context.journal.apply(record, self._dbid, pgno)

    def insert(self, session: Session, key: bytes, data: bytes) -> None:
        """Insert a node. Raises KeyDuplicate, WriteConflict, InvalidUse (-1026)."""
        rceid = self.place_node(session, key, data)
        if rceid:
            session.remember(self, self.bookmark(key, data), INSERT, rceid)

    def place_node(self, session: Session, key: bytes, data: bytes) -> int:
        """Insert a node; return the number of the version that is to be remembered, 0 for none.

        Raises as `insert`.
        """
        session.prepare()
        context = self.database.context
        rceid = 0 if self.is_space else context.next_rceid()
        place = self.place if self.is_space else self.versioned

        def in_split(pgno: int, dbtime: int, line: int) -> bytes:
            times = dbtime, records.IN_MACRO
            return records.insert(session, place, pgno, times, line, rceid, key, 0, data)

        while True:
            found = self.find(key, data)
            if found.exact:
                self._insert_again(session, found, key, data)
                return 0
            pgno, page, line, _ = found
            shared = _kernel.shared(page, key)
            if has_room(self, page, len(key) - shared + len(data) + (8 if shared else 6)):
                times = self._times(page)
                record = records.insert(session, place, pgno, times, line, rceid, key, shared, data)
                self._apply(record, pgno)
                break
            if append(self, session, found, key, data, in_split):
                break
            node = Node(key, data, place.flags & VERSIONED)
            if split(self, session, Change(node, None, in_split)):
                break
        return rceid

    def _insert_again(self, session: Session, found: Found, key: bytes, data: bytes) -> None:
        """Insert where a node flagged as deleted is still there."""
        bookmark = self.bookmark(key, data)
        if not self.is_space:
            check_conflict(session.current, self.versions.get(bookmark), INSERT)
        old = self.node(found)
        if not old.is_deleted:
            raise KeyDuplicate("There is a row with this key")
        context = self.database.context
        place = self.place if self.is_space else self.versioned
        rceid = 0 if self.is_space else context.next_rceid()
        if old.data == data:
            pgno, page, line, _ = found
            times = self._times(page)
            record = records.flag_insert(session, place, pgno, times, line, rceid, key, data)
            self._apply(record, pgno)
        else:
            rceid_replace = 0 if self.is_space else context.next_rceid()

            def build(pgno: int, times: tuple[int, int], line: int) -> bytes:
                return records.flag_insert_replace(
                    session, place, pgno, times, line, rceid, rceid_replace, key, data
                )

            self._change(session, Node(key, data, place.flags & VERSIONED), old, build, again=True)
        if self.is_space:
            return
        session.remember(self, bookmark, INSERT, rceid)
        if old.data != data:
            self._remember_replace(session, bookmark, rceid_replace, old.data, len(data))

    def _change(
        self,
        session: Session,
        node: Node,
        old: Node,
        build: Callable[[int, tuple[int, int], int], bytes],
        *,
        again: bool = False,
    ) -> None:
        """Give a node new data, on its page or in a split. build: makes the record of the change.

        again: the node was flagged as deleted.
        """
        need, before = len(node.data) - len(old.data), largest(self.versions.get((node.key, b"")))
        reserve = _reserve(len(old.data), len(node.data), before)
        change = Change(
            node, old, lambda p, time, n: build(p, (time, records.IN_MACRO), n), again=again
        )
        while True:
            found = self.find(node.key, old.data)
            if has_room(self, found.page, need, reserve):
                record = build(found.pgno, self._times(found.page), found.line)
                self._apply(record, found.pgno)
                return
            if split(self, session, change):
                return

    def _remember_replace(
        self, session: Session, bookmark: Bookmark, rceid: int, old: bytes, size: int
    ) -> None:
        """Make the version of a replace, and keep the space that its undo needs (format 2.5)."""
        before = largest(self.versions.get(bookmark))
        version = session.remember(self, bookmark, REPLACE, rceid, old)
        version.largest = max(before or len(old), size)
        version.reserve = _reserve(len(old), size, before)
        if version.reserve:
            found = self.find(*bookmark)
            keep(found.page, version.reserve)

    def replace(self, session: Session, key: bytes, data: bytes, *, always: bool = False) -> None:
        """Give the node of a key new data (unique trees). Raises RecordNotFound, WriteConflict.

        always: even the same data, which keeps others from changing the node.
        """
        session.prepare()
        old = self._live(session, self.find(key), (key, b""), REPLACE)
        if old.data == data and not always:
            return
        rceid = 0 if self.is_space else self.database.context.next_rceid()
        place = self.place if self.is_space else self.versioned
        large = is_large(self.database.context.settings.page_size)
        diff = None if self.is_space else make_diff(old.data, data, large=large)
        if diff is not None and len(diff) + _DIFF_WORTH >= len(data):
            diff = None

        def build(pgno: int, times: tuple[int, int], line: int) -> bytes:
            if times[1] == records.IN_MACRO:  # in a split the old size is said to be the new one
                size = len(data)
                return records.replace(session, place, pgno, times, line, rceid, size, data)
            sizes = len(old.data), len(data)
            if diff is None:
                return records.replace(session, place, pgno, times, line, rceid, sizes[0], data)
            return records.replace_diff(
                session, place, pgno, times, line, rceid, sizes, diff, large=large
            )

        flags = old.flags & _NOT_COMPRESSED | place.flags & VERSIONED
        self._change(session, Node(key, data, flags), old, build)
        if not self.is_space:
            self._remember_replace(session, (key, b""), rceid, old.data, len(data))

    def _live(self, session: Session, found: Found, bookmark: Bookmark, operation: int) -> Node:
        """Return the node to be changed; nobody else may have changed it first."""
        if not found.exact:
            raise RecordNotFound("The row does not exist")
        node = self.node(found)
        if not self.is_space:
            check_conflict(session.current, self.versions.get(bookmark), operation)
        if node.is_deleted:
            raise RecordNotFound("The row is deleted", jet=Jet.errRecordDeleted)
        return node

    def delete(self, session: Session, key: bytes, data: bytes = b"") -> None:
        """Flag a node as deleted. Raises RecordNotFound, WriteConflict."""
        session.prepare()
        found = self.find(key, data)
        bookmark = self.bookmark(key, data)
        self._live(session, found, bookmark, FLAG_DELETE)
        rceid = self.database.context.next_rceid()
        record = records.flag_delete(
            session, self.versioned, found.pgno, self._times(found.page), found.line, rceid
        )
        self._apply(record, found.pgno)
        session.remember(self, bookmark, FLAG_DELETE, rceid)

    def add(self, session: Session, key: bytes, value: int, offset: int) -> None:
        """Add to a 32-bit number in a node's data; such changes go together (unique trees)."""
        session.prepare()
        found = self.find(key)
        self._live(session, found, (key, b""), DELTA)
        rceid = self.database.context.next_rceid()
        record = records.delta(
            session, self.versioned, found.pgno, self._times(found.page), found.line, rceid,
            key, b"", value, offset,
        )  # fmt: skip
        self._apply(record, found.pgno)
        version = session.remember(self, (key, b""), DELTA, rceid)
        version.delta, version.offset = value, offset

    def flag(self, session: Session, key: bytes, data: bytes = b"") -> None:
        """Flag a node as deleted without a version: for trees that have none."""
        found = self.find(key, data)
        record = records.flag_delete(
            session, self.place, found.pgno, self._times(found.page), found.line, 0
        )
        self._apply(record, found.pgno)

    def remove(self, session: Session, key: bytes, data: bytes = b"") -> None:
        """Take a node off its page for good; no view may hold it. The page stays, even empty."""
        session.prepare()
        found = self.find(key, data)
        if not found.exact:
            raise RecordNotFound("The node does not exist")
        record = records.delete(
            session, self.place, found.pgno, self._times(found.page), found.line
        )
        self._apply(record, found.pgno)

    def set_external(self, session: Session, data: bytes) -> None:
        """Give the root page a new external header."""
        session.prepare()
        page = self.page(self.root)
        record = records.external_header(session, self.place, self.root, self._times(page), data)
        self._apply(record, self.root)

    def undo(self, session: Session, version: Version) -> None:
        """Take a change back, as recovery would (log specification 6.6)."""
        key, data = version.bookmark
        found = self.find(key, data)
        if not found.exact:
            raise InvalidUse("A change to be undone is not there", jet=Jet.errRollbackError)
        if version.operation in (REPLACE, FLAG_DELETE):
            # The page of the change may be newer on disk than the one of its undo (after a split).
            self.log_before_image(session, version, found)
        record = records.undo(
            session, self.place, found.pgno, self._times(found.page), found.line, version.rceid,
            version.operation, version.level, key, data,
        )  # fmt: skip
        self._apply(record, found.pgno)
        if version.reserve:
            keep(found.page, -version.reserve)

    def log_before_image(self, writer: Writer, version: Version, found: Found) -> None:
        """Log what a change of a node needs to be undone, once (log specification 6.5)."""
        if version.undo_logged:
            return
        key, data = version.bookmark
        image = version.image if version.operation == REPLACE else b""
        record = records.undo_info(
            writer, self.place, found.pgno, version.level, version.rceid, version.operation,
            (version.largest, version.reserve), key, data, image,
        )  # fmt: skip
        self.database.context.journal.note(record)
        version.undo_logged = True


def _reserve(old: int, new: int, before: int) -> int:
    """Return by how many bytes a change of a node's size changes what its undo may want back.

    before: most bytes that the node had in open changes, 0 without any.
    """
    return old - min(new, before or old)
