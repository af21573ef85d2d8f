"""Searching pages of trees, and gathering long values: the readable reference of ``lookup``.

Keys are byte strings compared byte by byte, a shorter one being smaller than one that it begins.
ValueError says that a page does not hold together.

Source: format specification 3.1 (nodes), 3.3 (internal nodes), 4.2 (separators), 4.3 (seek),
8.1 to 8.3 (long values).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from hotsplit._native import compress_py
from hotsplit._native.record_py import OpenPage

FOUND, HARD, TOO_LARGE = 1, 2, 3
"""What came of a long value. HARD: it is missing, damaged or of a rare kind, another reader must
tell. TOO_LARGE: it did not fit the budget; its size is known."""

_WANTED = 0
_PAGE_SIZES = (2048, 4096, 8192, 16384, 32768)
_MOST = 0x7FFFFFFF
_DELETED = 2

Node = tuple[bytes, bytes, int]


def _open(page: bytes) -> OpenPage:
    if len(page) not in _PAGE_SIZES:
        raise ValueError(f"a page of {len(page)} bytes")
    return OpenPage(bytes(page))


def _node(page: OpenPage, i: int) -> Node:
    node = page.node(i)
    if node is None:
        raise ValueError("a node does not fit its line")
    return node


def _child(page: OpenPage, i: int) -> int:
    data = _node(page, i)[1]
    if len(data) != 4:
        raise ValueError("a child pointer is not 4 bytes long")
    return int.from_bytes(data, "little")


def children(page: bytes) -> list[int]:
    """Return the pages that an internal page points to, in order."""
    opened = _open(page)
    return [_child(opened, i) for i in range(opened.node_count)]


def child_for(page: bytes, key: bytes) -> tuple[int, int]:
    """Return (number, page) of the child below which `key` belongs: its separator is greater."""
    opened = _open(page)
    low, high = 0, opened.node_count - 1  # the last child takes everything else
    if high < 0:
        raise ValueError("an internal page has no children")
    while low < high:
        middle = (low + high) // 2
        separator = _node(opened, middle)[0]
        if separator and separator <= key:
            low = middle + 1
        else:
            high = middle
    return low, _child(opened, low)


def lower_bound(page: bytes, key: bytes) -> int:
    """Return the number of the first node with a key >= `key`, or that of nodes without one."""
    return _lower_bound(_open(page), key)


def _lower_bound(page: OpenPage, key: bytes) -> int:
    low, high = 0, page.node_count
    while low < high:
        middle = (low + high) // 2
        if _node(page, middle)[0] < key:
            low = middle + 1
        else:
            high = middle
    return low


def nodes(page: bytes, start: int = 0) -> list[Node | None]:
    """Return (key, data, flags) of the nodes from `start` on; None where one does not fit."""
    opened = _open(page)
    return [opened.node(i) for i in range(start, opened.node_count)]


class Gather:
    """Reads many long values in one pass over their tree.

    lids: ids of those wanted, in order of their keys. chunk: bytes of a full chunk. budget: bytes
    that all of them may have together.
    """

    def __init__(self, lids: Sequence[int], chunk: int, budget: int) -> None:
        if not chunk:
            raise ValueError("chunks of 0 bytes")
        self._lids, self._chunk, self._left = list(lids), chunk, budget
        self._results: list[tuple[int, int, bytes | None]] = []
        self._parts: list[bytes] = []
        self._size = self._done = 0
        self.is_inside = False

    @property
    def wanted(self) -> bytes | None:
        """The key of the node that is looked for next; None when all values were dealt with."""
        if len(self._results) == len(self._lids):
            return None
        lid = self._lids[len(self._results)]
        key = lid.to_bytes(8 if lid >> 63 else 4, "big")
        return key + self._done.to_bytes(4, "big") if self.is_inside else key

    def take(self, page: bytes) -> None:
        """Take all wanted nodes of a leaf. What is looked for next lies behind the page then."""
        opened = _open(page)
        while (key := self.wanted) is not None:
            try:
                i = _lower_bound(opened, key)
            except ValueError:
                self.miss()
                continue
            node = self._live(opened, i)
            if node is None:
                return
            if node[0] != key:
                self.miss()
            elif self.is_inside:
                self._take_chunk(node[1])
            else:
                self._take_root(node[1])

    @staticmethod
    def _live(page: OpenPage, start: int) -> Node | None:
        """Return the first live node; one that does not fit has no key that is wanted."""
        for i in range(start, page.node_count):
            node = page.node(i)
            if node is None:
                return b"", b"", 0
            if not node[2] & _DELETED:
                return node
        return None

    def _take_root(self, data: bytes) -> None:
        encrypted = len(data) == 9 and data[8] & 1
        if len(data) not in (8, 9) or encrypted:
            self.miss()
            return
        references, self._size = struct.unpack_from("<II", data)
        if references == 0xFFFFFFFF or self._size > _MOST:
            self.miss()
        elif self._size > self._left:
            self._leave(TOO_LARGE)
        else:
            self.is_inside, self._done = True, 0
            self._finish_if_complete()

    def _take_chunk(self, data: bytes) -> None:
        expected = min(self._chunk, self._size - self._done)
        plain = data if len(data) == expected else _undo(data, expected)
        if len(data) > expected or plain is None:
            self.miss()
            return
        self._parts.append(plain)
        self._done += expected
        self._finish_if_complete()

    def _finish_if_complete(self) -> None:
        if self._done == self._size:
            self._left -= self._size
            self._leave(FOUND, b"".join(self._parts))

    def miss(self) -> None:
        """Give up what is looked for next."""
        if len(self._results) < len(self._lids):
            self._leave(HARD)

    def _leave(self, state: int, data: bytes | None = None) -> None:
        self._results.append((state, 0 if state == HARD else self._size, data))
        self._parts.clear()
        self._size = 0
        self.is_inside = False

    def results(self) -> list[tuple[int, int, bytes | None]]:
        """Return (what came of it, size in bytes, data if found) of each value dealt with."""
        return list(self._results)


def _undo(data: bytes, size: int) -> bytes | None:
    """Return the `size` bytes of a compressed chunk, None where that is not to be had here."""
    scheme = data[0] >> 3 if data else 0
    if scheme in (1, 2):
        count = ((len(data) - 2) * 8 + (data[0] & 7) + 1) // 7 if len(data) > 1 else -1
        if count << (scheme == 2) != size:
            return None
        return compress_py.seven_bit_decode(data[1:], count, scheme == 2)
    if scheme != 3 or len(data) < 3 or struct.unpack_from("<H", data, 1)[0] != size:
        return None
    if len(data) - 3 == size:
        return data[3:]
    try:
        return compress_py.xpress_decode(data[3:], size)
    except ValueError:
        return None
