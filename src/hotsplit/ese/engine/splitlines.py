"""The arithmetic of a split: what fits a page, where to cut, which prefix, what the log carries.

Source: format specification 2.5, 3.2, 4.2; log specification 4.2 (before images), 4.9.
"""

from __future__ import annotations

from hotsplit import _native
from hotsplit.ese.format.basics import page_header_size
from hotsplit.ese.format.beforeimage import COMPRESSED, DEHYDRATED, dehydrate
from hotsplit.ese.format.compression import compress_xpress
from hotsplit.ese.format.page import Node, Page, common_prefix

_kernel = _native.load("tree")
_TAG = 4
_HEAD = 2
_NONE = -1


def room(size: int) -> int:
    """Return the bytes for lines and tags on a page of `size`, its external header's tag aside."""
    return size - page_header_size(size) - _TAG


def _cost(node: Node) -> int:
    return _TAG + _HEAD + len(node.key) + len(node.data)


def used(lines: list[Node], prefix: bytes) -> int:
    """Return the bytes that nodes take on a page with this prefix, which is counted, too."""
    saved = _saved(lines, prefix) if prefix else 0
    return sum(map(_cost, lines)) - saved + len(prefix)


def _saved(lines: list[Node], prefix: bytes) -> int:
    """Return the bytes of keys that a prefix stands for, less those that say so."""
    saved: int = _kernel.saved([node.key for node in lines], prefix)
    return saved


def fits(size: int, lines: list[Node], kept: int = 0) -> bool:
    """Tell whether the nodes fit a page that is not a root, with the prefix it would get.

    kept: bytes that must stay free for an undo.
    """
    line = best_prefix(lines)
    prefix = lines[line].key if line != _NONE else b""
    return used(lines, prefix) + kept <= room(size)


def best_prefix(lines: list[Node]) -> int:
    """Return the line whose key serves best as the page's prefix, -1 where none saves anything.

    Of all lines only the middle one is tried: keys are in order, so its neighbours share most.
    """
    if len(lines) < 2:
        return _NONE
    line = len(lines) // 2
    prefix = lines[line].key
    return line if _saved(lines, prefix) > len(prefix) else _NONE


def point(size: int, lines: list[Node], kept: list[int], changed: int) -> int:
    """Return the first line of the right page, 0 if there is no way to divide the lines.

    kept: bytes that must stay free for an undo of each line. About half of the bytes are to lie on
    each side; where both do not fit so, the cut is next to the line that changes.
    """
    costs = [_cost(node) + more for node, more in zip(lines, kept, strict=True)]
    total, left = sum(costs), 0
    best, best_distance = len(lines) - 1, total
    for cut in range(1, len(lines)):
        left += costs[cut - 1]
        distance = abs(2 * left - total)
        if distance < best_distance:
            best, best_distance = cut, distance
    for cut in (best, changed, changed + 1):
        if (
            0 < cut < len(lines)
            and fits(size, lines[:cut], sum(kept[:cut]))
            and fits(size, lines[cut:], sum(kept[cut:]))
        ):
            return cut
    return 0


def separator(left: Node, right: Node, *, unique: bool) -> bytes:
    """Return the shortest key above the last bookmark at the left and not above the right one."""
    below = left.key if unique else left.key + left.data
    above = right.key if unique else right.key + right.data
    return above[: common_prefix(below, above) + 1]


def image_of(page: Page, dbtime: int) -> tuple[int, bytes]:
    """Return (flags, before image) of a page for a record of `dbtime`."""
    data = bytes(page.data)
    data = data[:8] + dbtime.to_bytes(8, "little") + data[16:]
    packed = compress_xpress(data)
    if packed is not None:
        return COMPRESSED, packed
    return DEHYDRATED, dehydrate(data)
