"""Records of single nodes: the versions to undo them, and the change of the page.

The page may be None: then it has the change already, or must not get it, and only versions are
made. What does not fit raises ValueError.

Source: log specification 4.6 (records), 6.5 (versions), 6.6 (undo).
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from hotsplit._native import page_py as pages
from hotsplit._native.diff_py import after_image
from hotsplit._native.nodeedit_py import NodeEditor, undo_on_node
from hotsplit._native.sessions_py import (
    DELTA,
    DELTA64,
    FLAG_DELETE,
    INSERT,
    PENDING,
    REPLACE,
    Session,
    Version,
)

VERSIONED, UNIQUE = 0x01, 0x04
HEAD = struct.Struct("<BHBIQQIBHBIII")  # what all records of a node begin with, 44 bytes

_INSERT, _FLAG_INSERT, _FLAG_INSERT_AND_REPLACE, _FLAG_DELETE = 29, 30, 31, 32
_REPLACE, _REPLACE_DIFF, _DELETE, _UNDO_INFO, _DELTA = 33, 34, 35, 36, 37
_SET_EXTERNAL_HEADER, _UNDO, _DELTA64 = 38, 39, 93


class NodeRedo:
    """Carries out one record of a node. page_size: the most bytes that data can have."""

    def __init__(
        self, session: Session, record: bytes, page: bytearray | None, page_size: int
    ) -> None:
        head = HEAD.unpack_from(record)
        self._kind, _, self._dbid = head[:3]
        self._level, iline, flags, self._rceid, self._fdp, self._objid = head[7:]
        self._versioned, self._unique = flags & VERSIONED, bool(flags & UNIQUE)
        self._session, self._record, self._page = session, record, page
        self._page_size = page_size
        self._node: NodeEditor | None = None
        if page is not None and self._kind not in (_SET_EXTERNAL_HEADER, _UNDO_INFO):
            self._node = NodeEditor(page, iline & 0x7FFF, fresh=self._kind == _INSERT)

    def carry_out(self) -> None:
        """Make versions, change the page. Raises ValueError."""
        _CARRY_OUT[self._kind](self)

    def _remember(
        self, operation: int, key: bytes = b"", data: bytes = b"", image: bytes = b"",
        *, number: int | None = None, delta: int = 0, offset: int = 0,
    ) -> None:  # fmt: skip
        """Add a version if the record is versioned; number: its own if not the record's."""
        if not self._versioned:
            return
        self._session.add(
            Version(
                operation, self._level, self._dbid, self._fdp, self._objid,
                self._rceid if number is None else number, self._unique,
                key, b"" if self._unique else data, image, delta, offset,
            )
        )  # fmt: skip

    def _numbers(self, form: str, at: int = 44) -> tuple[int, ...]:
        return struct.unpack_from(form, self._record, at)

    def _bookmark(self, start: int) -> tuple[bytes, bytes]:
        """Return (key, data) of a record whose bookmark begins at `start`."""
        (size,) = self._numbers("<H")
        return self._record[start : start + size], self._record[start + size :]

    def _insert(self) -> None:
        suffix, prefix = self._numbers("<HH")
        end = 50 + prefix + suffix
        key, data = self._record[50:end], self._record[end:]
        self._remember(INSERT, key, data)
        if self._node:
            self._node.insert(key, prefix, data, self._versioned)

    def _flag_insert(self) -> None:
        self._remember(INSERT, *self._bookmark(48))
        if self._node:
            self._node.expect(deleted=True)
            self._node.set_flags(self._node.flags & ~2 | self._versioned)

    def _flag_insert_and_replace(self) -> None:
        key, data = self._bookmark(52)
        (number,) = self._numbers("<I", 48)
        self._remember(INSERT, key, data)
        node = self._node
        if node is None:
            self._remember(PENDING, number=number)
            return
        node.expect(deleted=True)
        self._remember(REPLACE, node.key, image=node.data, number=number)
        node.set_data(data)
        node.set_flags(node.flags & ~2 | self._versioned)

    def _replace(self) -> None:
        size, old, new = self._numbers("<HHH")
        node = self._node
        if node is None:
            self._remember(PENDING)
            return
        if len(node.data) != old:
            raise ValueError(f"the node holds {len(node.data)} bytes, the record says {old}")
        data = self._record[50:]
        if self._kind == _REPLACE_DIFF:
            data = after_image(node.data, data, bool(size & 0x8000), self._page_size)
        if len(data) != new:
            raise ValueError(f"{len(data)} new bytes, the record says {new}")
        self._remember(REPLACE, node.key, image=node.data)
        node.set_data(data)
        node.set_flags(node.flags | self._versioned)

    def _flag_delete(self) -> None:
        node = self._node
        if node is None:
            self._remember(PENDING)
            return
        self._remember(FLAG_DELETE, node.key, node.data)
        node.set_flags(node.flags | 2 | self._versioned)

    def _delete(self) -> None:
        if self._node:
            self._node.delete()

    def _delta(self) -> None:
        wide = self._kind == _DELTA64
        delta, offset = self._numbers("<qH" if wide else "<iH", 48)
        operation = DELTA64 if wide else DELTA
        self._remember(operation, *self._bookmark(58 if wide else 54), delta=delta, offset=offset)
        if self._node:
            self._node.add(delta, offset, 8 if wide else 4)
            self._node.set_flags(self._node.flags | self._versioned)

    def _set_external_header(self) -> None:
        if self._page is None:
            return
        change = pages.replace if pages._count(self._page) else pages.insert
        change(self._page, 0, self._record[46:], 0)

    def _undo(self) -> None:
        """Redo a rollback: the inverse of a version, which is then gone (6.6)."""
        size, _, operation = self._numbers("<HHH")
        i = self._session.find(self._rceid)
        version = self._session.versions[i] if i >= 0 else None
        if self._node:
            if self._node.key != self._record[51 : 51 + size]:
                raise ValueError("the node to be undone has another key")
            undo_on_node(self._node, operation, version)
        if i >= 0:
            del self._session.versions[i]

    def _undo_info(self) -> None:
        """The before image of a change that a page got before the log was replayed."""
        key_size, data_size, operation, _, _, image_size = self._numbers("<HHHhhH")
        if operation not in (REPLACE, FLAG_DELETE):
            raise ValueError("a before image of no operation that has one")
        key, rest = self._record[56 : 56 + key_size], self._record[56 + key_size :]
        image = rest[data_size : data_size + image_size] if operation == REPLACE else b""
        self._session.add(
            Version(
                operation, self._level, self._dbid, self._fdp, self._objid, self._rceid,
                self._unique, key, rest[:data_size], image, 0, 0,
            )
        )  # fmt: skip


_CARRY_OUT: dict[int, Callable[[NodeRedo], None]] = {
    _INSERT: NodeRedo._insert,
    _FLAG_INSERT: NodeRedo._flag_insert,
    _FLAG_INSERT_AND_REPLACE: NodeRedo._flag_insert_and_replace,
    _FLAG_DELETE: NodeRedo._flag_delete,
    _REPLACE: NodeRedo._replace,
    _REPLACE_DIFF: NodeRedo._replace,
    _DELETE: NodeRedo._delete,
    _UNDO_INFO: NodeRedo._undo_info,
    _DELTA: NodeRedo._delta,
    _SET_EXTERNAL_HEADER: NodeRedo._set_external_header,
    _UNDO: NodeRedo._undo,
    _DELTA64: NodeRedo._delta,
}
NODE_RECORDS = frozenset(_CARRY_OUT)
