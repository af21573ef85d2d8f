"""Search in the pages of a tree: the readable reference of the ``tree`` kernel.

A page is a bytearray. Nodes are counted from 0. Functions raise ValueError where a node does not
hold together.

Source: format specification 3.1, 3.2 (nodes), 4.2, 4.3 (seek).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hotsplit._native import page_py as pages

Buffer = bytearray | memoryview
_COMPRESSED = 4
_LENGTH = 0x1FFF
_COST = 6  # bytes of a node beside its key and data
_WORTH = 2  # a shared prefix must be longer than its own length field


def _first(page: bytearray) -> int:
    return max(1, page[35] >> 4 & 7)


def count(page: bytearray) -> int:
    """Return the number of nodes."""
    return max(0, (page[34] | (page[35] & 0xF) << 8) - _first(page))


def _prefix(page: bytearray) -> bytes:
    flags = int.from_bytes(page[36:40], "little")
    if (flags & 1 and not flags & 0x20) or not page[34] | page[35] & 0xF:
        return b""
    start, length, _ = pages.locate(page, 0)
    external = bytes(page[start : start + length])
    return external[16:] if flags & 1 else external


def node(page: bytearray, i: int) -> tuple[bytes, bytes, int]:
    """Return (key, data, flags) of node `i`."""
    start, length, flags = pages.locate(page, i + _first(page))
    line, prefix = bytes(page[start : start + length]), _prefix(page)
    at = shared_size = 0
    if flags & _COMPRESSED:
        at, shared_size = 2, int.from_bytes(line[:2], "little") & _LENGTH
    end = at + 2 + (int.from_bytes(line[at : at + 2], "little") & _LENGTH)
    if len(line) < at + 2 or end > length or shared_size > len(prefix):
        raise ValueError("a node does not fit its line")
    return prefix[:shared_size] + line[at + 2 : end], line[end:], flags


def fill(
    page: Buffer, external: bytes, nodes: Iterable[tuple[bytes, bytes, int]], compress: bool
) -> None:
    """Replace all lines of a page by an external header and nodes, packed together.

    compress: keys share what they have in common with the page's prefix. A failed call leaves the
    page as it was.
    """
    prefix = external if compress else b""
    if page[36] & 1:
        prefix = prefix[16:]
    lines, flags = [external], [0]
    for key, data, flag in nodes:
        line, shared_size = b"", _shared(prefix, key)
        if shared_size:
            line = shared_size.to_bytes(2, "little")
        line += (len(key) - shared_size).to_bytes(2, "little") + key[shared_size:] + data
        lines.append(line)
        flags.append(flag & 3 | (_COMPRESSED if shared_size else 0))
    pages.fill(page, lines, flags)


def fill_from(
    page: Buffer,
    external: bytes,
    source: Buffer | bytes,
    first: int,
    last: int,
    at: int,
    node: tuple[bytes, bytes, int] | None,
    replaces: bool,
    compress: bool,
) -> None:
    """Do as `fill` with lines `first` to `last` - 1 of `source`, which may be the page itself.

    node: one that is inserted as number `at` before, or takes the place of that one.
    """
    origin = bytearray(source)
    lines: list[tuple[bytes, bytes, int]] = []
    for i in range(first, last):
        if node is not None and i == at:
            lines.append(node)
        else:
            inserted = node is not None and not replaces
            lines.append(_node_of(origin, i - (inserted and i > at)))
    fill(page, external, lines, compress)


_node_of = node


def costs(page: bytearray) -> list[int]:
    """Return the bytes that each node takes with its whole key, tag included."""
    return [_COST + len(key) + len(data) for key, data, _ in nodes(page, 0, count(page))]


def saved_on(page: bytearray, first: int, last: int, prefix: bytes) -> int:
    """Return what `saved` does for the keys of nodes `first` to `last` - 1."""
    return saved([key for key, _, _ in nodes(page, first, last)], prefix)


def nodes(page: bytearray, first: int, last: int, kind: type = tuple) -> list[Any]:
    """Return (key, data, flags) of nodes `first` to `last` - 1. kind: what type of tuple."""
    if not issubclass(kind, tuple) or kind.__basicsize__ != tuple.__basicsize__:
        raise TypeError(f"{kind} is not made like a tuple")
    return [tuple.__new__(kind, node(page, i)) for i in range(first, last)]


def find(page: bytearray, key: bytes, data: bytes | None) -> tuple[int, bool]:
    """Return the first node that is not below (key, data), and whether it is that very one.

    data: None where keys alone are in order (unique trees).
    """
    low, high, exact = 0, count(page), False
    while low < high:
        middle = (low + high) // 2
        found, content, _ = node(page, middle)
        here = (found, content if data is not None else b"")
        if here < (key, data or b""):
            low = middle + 1
        else:
            high = middle
            exact = exact or here == (key, data or b"")
    return low, exact


def child(page: bytearray, mark: bytes) -> tuple[int, int]:
    """Return (node, page number) of the child below which a bookmark belongs."""
    low, high = 0, count(page) - 1
    if high < 0:
        raise ValueError("an internal page has no children")
    while low < high:
        middle = (low + high) // 2
        separator = node(page, middle)[0]
        if separator and separator <= mark:
            low = middle + 1
        else:
            high = middle
    data = node(page, low)[1]
    if len(data) != 4:
        raise ValueError("a child pointer is not 4 bytes long")
    return low, int.from_bytes(data, "little")


def shared(page: bytearray, key: bytes) -> int:
    """Return how many bytes of `key` the page's prefix stands for: 0 where it is not worth it."""
    return _shared(_prefix(page), key)


def _shared(prefix: bytes, key: bytes) -> int:
    limit = min(len(key), len(prefix))
    same = next((i for i in range(limit) if key[i] != prefix[i]), limit)
    return same if same > _WORTH else 0


def saved(keys: list[bytes], prefix: bytes) -> int:
    """Return the bytes that keys take less on a page with this prefix; its own do not count."""
    shared_sizes = [_shared(prefix, key) for key in keys]
    return sum(size - _WORTH for size in shared_sizes if size)
