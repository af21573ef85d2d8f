"""Gathering long values: the readable reference of the class Gather of the ``batch`` kernel.

Source: format specification 8.1 (tree), 8.2 (chunks), 8.3 (reader), 9 (compression).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from hotsplit._native import compress_py
from hotsplit._native.lookup_py import Node, lower_bound_in
from hotsplit._native.record_py import END, OUTSIDE, REFUSED, SEEK, OpenPage, Run

FOUND, HARD, TOO_LARGE = 1, 2, 3
"""What came of a long value. HARD: it is missing, damaged or of a rare kind, another reader must
tell. TOO_LARGE: it did not fit the budget; its size is known."""

_MOST = 0x7FFFFFFF
_DELETED = 2


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
        self._by_lid: dict[int, tuple[int, int, bytes | None]] = {}
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

    def walk(
        self,
        data: bytes,
        states: bytes | bytearray,
        good: int,
        first: int,
        page_size: int,
        objid: int,
        pgno: int,
    ) -> tuple[int, int]:
        """Take leaves by their links inside a run, as long as they have what is wanted.

        The run is that of `Builder.walk`. pgno: the leaf where the wanted node belongs, or the one
        that an earlier walk named. Returns why it stopped, and the leaf to go on with.
        """
        run = Run(data, states, good, first, page_size, objid)
        while True:
            before = self.wanted
            if before is None:
                return END, pgno
            if pgno not in run:
                return OUTSIDE, pgno
            page = run.leaf(pgno)
            if page is None:
                return REFUSED, pgno
            self._take(page)
            if self.wanted == before:
                if self.is_inside:
                    self.miss()
                return SEEK, pgno
            pgno = 0 if page.flags & 1 else page.next
            if self.wanted is None:
                return END, pgno
            if not self.is_inside and pgno not in run:
                return SEEK, pgno
            if not pgno:
                self.miss()
                return SEEK, pgno

    def _take(self, opened: OpenPage) -> None:
        """Take all wanted nodes of a leaf. What is looked for next lies behind the page then."""
        while (key := self.wanted) is not None:
            try:
                i = lower_bound_in(opened, key)
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
        result = (state, 0 if state == HARD else self._size, data)
        self._by_lid[self._lids[len(self._results)]] = result
        self._results.append(result)
        self._parts.clear()
        self._size = 0
        self.is_inside = False

    def find(self, lid: int) -> tuple[int, int, bytes | None]:
        """Return what came of one value, as `results` does."""
        return self._by_lid.get(lid, (HARD, 0, None))

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
