"""Trees whose pages are in memory: the readable reference of what the ``redo`` kernel does to them.

Nothing is changed here, nor read from a file: where a page is not in memory or does not hold
together, the caller finds out which and why.

Source: format specification 4.2, 4.3 (seek).
"""

from __future__ import annotations

from typing import NamedTuple

from hotsplit._native import insert_py as insert
from hotsplit._native import tree_py as tree

_LEAF, _DEEPEST, _MOST = 2, 16, 32768
_MOST_PLANNED = 256


class _Place(NamedTuple):
    pgno: int
    page: bytearray
    line: int
    exact: bool
    bound: bytes | None


class Seek:
    """Pages by (dbid, number), and the trees in them."""

    def __init__(self) -> None:
        self._pages: dict[tuple[int, int], bytearray] = {}

    def descend(
        self, dbid: int, root: int, key: bytes, data: bytes | None
    ) -> tuple[int, bytearray, int, bool] | None:
        """Return (page number, page, line, whether it is there) of a node's place on a leaf.

        data: None where keys alone are in order. None: a page is not in memory, or damaged.
        """
        place = self._seek(dbid, root, key, data)
        return None if place is None else place[:4]

    def plan(
        self, root: int, keys: list[bytes], datas: list[bytes], first: int, fields: insert.Fields
    ) -> tuple[bytes, list[int], list[int]]:
        """Return the Insert records of nodes of a tree, where each ends, and the leaves they go to.

        Of the nodes from number `first` on those are taken that ascend, are not there and fit
        their leaves, up to the first other one, or the first one whose leaf is not in memory or
        damaged; of many only some. Numbers count up as in `insert_py.plan`.
        """
        if first < 0 or len(datas) < len(keys):
            raise ValueError("a node without a key or data")
        keys = keys[: first + _MOST_PLANNED]
        _, dbid, dbtime, _, _, flags, rceid, _, _ = fields
        unique = bool(flags & insert.UNIQUE)
        log, ends, leaves = bytearray(), list[int](), list[int]()
        while first + len(ends) < len(keys):
            done, at = len(ends), first + len(ends)
            place = self._seek(dbid, root, keys[at], None if unique else datas[at])
            if place is None or place.pgno in leaves:
                break
            number = rceid + 2 * done & 0xFFFFFFFF if rceid else 0
            now = (*fields[:2], dbtime + done, *fields[3:6], number, *fields[7:])
            try:
                made, made_ends = insert.plan(
                    place.page, keys, datas, at, place.bound, place.pgno, now
                )
            except ValueError:
                break
            if not made_ends:
                break
            ends += [len(log) + end for end in made_ends]
            log += made
            leaves.append(place.pgno)
            at = first + len(ends)
            if place.bound is None or at == len(keys):
                break
            if (keys[at] if unique else keys[at] + datas[at]) < place.bound:
                break
        return bytes(log), ends, leaves

    def _seek(self, dbid: int, root: int, key: bytes, data: bytes | None) -> _Place | None:
        mark = key if data is None else key + data
        pgno, bound = root, None
        if len(mark) > _MOST:
            return None
        try:
            for _ in range(_DEEPEST):
                page = self._pages.get((dbid, pgno))
                if page is None:
                    return None
                if page[36] & _LEAF:
                    return _Place(pgno, page, *tree.find(page, key, data), bound)
                line, pgno = tree.child(page, mark)
                bound = _bound(page, line) or bound
        except ValueError:
            pass
        return None


def _bound(page: bytearray, line: int) -> bytes:
    """Return the separator behind a child, empty for none. Raises ValueError."""
    if line + 1 >= tree.count(page):
        return b""
    separator = tree.node(page, line)[0]
    if len(separator) > _MOST:
        raise ValueError("a separator that cannot be")
    return separator
