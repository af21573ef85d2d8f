"""One node of a page, changed as records and undo change it. Source: log specification 4.6, 6.6."""

from __future__ import annotations

import struct

from hotsplit._native import page_py as pages
from hotsplit._native.sessions_py import DELTA, FLAG_DELETE, INSERT, REPLACE, Version


def undo_on_node(node: NodeEditor, operation: int, version: Version | None) -> None:
    """Carry out the inverse of `operation` (6.6). Raises ValueError without a before image."""
    if operation == INSERT:
        node.set_flags(node.flags | 2)
    elif operation == FLAG_DELETE:
        node.set_flags(node.flags & ~2)
    elif version is None or version.operation != operation:
        raise ValueError("there is no before image for an operation to be undone")
    elif operation == REPLACE:
        node.set_data(version.image)
    else:
        node.add(-version.delta, version.offset, 4 if operation == DELTA else 8)


class NodeEditor:
    """One node of a page, taken apart; changes go to the page at once.

    fresh: the node is yet to be inserted; the one that now has its place does not matter.
    Raises ValueError for a node that is not there or does not fit its line.
    """

    def __init__(self, page: bytearray, iline: int, *, fresh: bool = False) -> None:
        self._page = page
        self._line = iline + max(1, page[35] >> 4 & 7)
        self.key = self.data = b""
        self.flags = 0
        if not fresh:
            self._read()

    def _read(self) -> None:
        start, length, self.flags = pages.locate(self._page, self._line)
        line = bytes(self._page[start : start + length])
        at = shared = 0
        if self.flags & 4:
            at, shared = 2, int.from_bytes(line[:2], "little") & 0x1FFF
        head, end = (
            line[at : at + 2],
            at + 2 + (int.from_bytes(line[at : at + 2], "little") & 0x1FFF),
        )
        prefix = self._prefix()
        if len(head) < 2 or end > length or shared > len(prefix):
            raise ValueError("a node does not fit its line")
        self._key_part = line[:end]
        self.key, self.data = prefix[:shared] + line[at + 2 : end], line[end:]

    def _prefix(self) -> bytes:
        flags = int.from_bytes(self._page[36:40], "little")
        if (flags & 1 and not flags & 0x20) or not pages._count(self._page):
            return b""
        start, length, _ = pages.locate(self._page, 0)
        external = bytes(self._page[start : start + length])
        return external[16:] if flags & 1 else external

    def expect(self, *, deleted: bool) -> None:
        if bool(self.flags & 2) != deleted:
            raise ValueError("the node is not flagged as deleted")

    def set_data(self, data: bytes) -> None:
        if len(data) == len(self.data):
            start, length, _ = pages.locate(self._page, self._line)
            self._page[start + length - len(data) : start + length] = data
        else:
            pages.replace(self._page, self._line, self._key_part + data, self.flags)
        self.data = data

    def set_flags(self, flags: int) -> None:
        pages.set_flags(self._page, self._line, flags)
        self.flags = flags

    def add(self, delta: int, offset: int, width: int) -> None:
        if offset + width > len(self.data):
            raise ValueError("a delta beyond the node's data")
        value = int.from_bytes(self.data[offset : offset + width], "little") + delta
        part = (value & (1 << 8 * width) - 1).to_bytes(width, "little")
        self.set_data(self.data[:offset] + part + self.data[offset + width :])

    def delete(self) -> None:
        pages.delete(self._page, self._line)

    def insert(self, key: bytes, shared: int, data: bytes, flags: int) -> None:
        head, prefix = b"", self._prefix()
        if shared:
            if shared > len(prefix) or key[:shared] != prefix[:shared]:
                raise ValueError("the record's key prefix is not the page's")
            head, flags = struct.pack("<H", shared), flags | 4
        line = head + struct.pack("<H", len(key) - shared) + key[shared:] + data
        pages.insert(self._page, self._line, line, flags)
