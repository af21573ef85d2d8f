"""B+ trees as they are changed: insert, replace, delete, undo.

A tree decides which record describes a change; the journal makes it. Structure changes are in
`split` and `merge`, the tree's pages in `space`.

Source: format specification 3, 4; log specification 4.6, 7.2.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

from hotsplit import _native
from hotsplit.errors import InvalidUse, Jet, KeyDuplicate, RecordNotFound
from hotsplit.ese.engine.trees import records
from hotsplit.ese.engine.trees.append import append
from hotsplit.ese.engine.trees.filling import fill
from hotsplit.ese.engine.trees.pageroom import has_room, keep
from hotsplit.ese.engine.trees.records import Writer
from hotsplit.ese.engine.trees.split import Change, split
from hotsplit.ese.engine.trees.treeview import Found, TreeView
from hotsplit.ese.engine.trees.versions import LOCK, Bookmark, Version, check_conflict, largest
from hotsplit.ese.format.basics import is_large
from hotsplit.ese.format.diff import make_diff
from hotsplit.ese.format.logrecord import VERSIONED
from hotsplit.ese.format.page import Node, NodeFlag
from hotsplit.ese.recovery.core import DELTA, FLAG_DELETE, INSERT, REPLACE

if TYPE_CHECKING:
    from hotsplit.ese.engine.session import Session
    from hotsplit.ese.engine.trees.space import Space

_kernel = _native.load("tree")
_NOT_COMPRESSED = ~int(NodeFlag.COMPRESSED)
_DIFF_WORTH = 16  # a diff must save at least so many bytes


class Tree(TreeView):
    """One tree of a database: see `TreeView` for what it is made of, and for reading it."""

    @functools.cached_property
    def space(self) -> Space:
        """The pages that the tree owns."""
        from hotsplit.ese.engine.trees.space import Space

        return Space(self)

    def _times(self, page: bytearray) -> tuple[int, int]:
        return self.database.tick(), int.from_bytes(page[8:16], "little")

    def _apply(self, record: bytes, pgno: int) -> None:
        self.database.context.journal.apply(record, self._dbid, pgno)

    def insert(self, session: Session, key: bytes, data: bytes) -> None:
        """Insert a node. Raises KeyDuplicate, WriteConflict, InvalidUse (-1026)."""
        rceid = self.database.context.following_rceid
        if self.is_space or not fill(self, session, [key], [data], 0):
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

    def replace(self, session: Session, key: bytes, data: bytes) -> None:
        """Give the node of a key new data (unique trees). Raises RecordNotFound, WriteConflict.

        The same data keeps others from changing the node, and changes nothing.
        """
        old = self._live(session, self.find(key), (key, b""), REPLACE)
        if old.data == data:
            self._keep_from_others(session, key)
            return
        session.prepare()
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

    def _keep_from_others(self, session: Session, key: bytes) -> None:
        """Let nobody else change a node, where no change of this transaction does so yet."""
        chain, mine = self.versions.get((key, b"")), session.current
        is_kept = any(v.transaction is mine and v.operation != DELTA for v in chain)
        if not self.is_space and not is_kept:
            session.remember(self, (key, b""), LOCK, 0)

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

    def addable(self, session: Session, key: bytes) -> bytes:
        """Return the data of a node to which the session may add: not what it sees, what there is.

        Raises RecordNotFound, WriteConflict.
        """
        return self._live(session, self.find(key), (key, b""), DELTA).data

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
        if version.operation == LOCK:
            return
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
