"""Searching pages of trees: the readable reference of the ``lookup`` kernel.

Keys are byte strings compared byte by byte, a shorter one being smaller than one that it begins.
ValueError says that a page does not hold together.

Source: format specification 3.1 (nodes), 3.3 (internal nodes), 4.2 (separators), 4.3 (seek).
"""

from __future__ import annotations

from hotsplit._native.record_py import OpenPage

_PAGE_SIZES = (2048, 4096, 8192, 16384, 32768)

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
    return lower_bound_in(_open(page), key)


def lower_bound_in(page: OpenPage, key: bytes) -> int:
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
