"""The arithmetic of a split: what fits a page, where to cut, which prefix, what the log carries.

Source: format specification 2.5, 3.2, 4.2; log specification 4.2 (before images), 4.9.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hotsplit.ese.engine.versions import reserved
from hotsplit.ese.format.beforeimage import COMPRESSED, DEHYDRATED, dehydrate
from hotsplit.ese.format.compression import compress_xpress
from hotsplit.ese.format.page import Node, Page, common_prefix

if TYPE_CHECKING:
    from hotsplit.ese.engine.tree import Tree

_TAG = 4
_HEAD = 2
_NONE = -1
_SMALL_MAX = 8192


def _room(size: int) -> int:
    """Bytes for lines and tags on a page of `size`, its external header's tag aside."""
    return size - (40 if size <= _SMALL_MAX else 80) - _TAG


def _cost(node: Node, prefix: bytes = b"") -> int:
    shared = common_prefix(node.key, prefix) if prefix else 0
    saved = shared - _HEAD if shared > _HEAD else 0
    return _TAG + _HEAD + len(node.key) + len(node.data) - saved


def fits(size: int, lines: list[Node]) -> bool:
    """Tell whether the nodes fit a page that is not a root, with the prefix it would get."""
    line = best_prefix(size, lines)
    prefix = lines[line].key if line != _NONE else b""
    return sum(_cost(node, prefix) for node in lines) + len(prefix) <= _room(size)


def best_prefix(size: int, lines: list[Node]) -> int:
    """Return the line whose key serves best as the page's prefix, -1 where none saves anything.

    Of all lines only the middle one is tried: keys are in order, so its neighbours share most.
    """
    if len(lines) < 2:
        return _NONE
    line = len(lines) // 2
    prefix = lines[line].key
    saved = sum(max(0, common_prefix(node.key, prefix) - _HEAD) for node in lines)
    return line if saved > len(prefix) else _NONE


def point(size: int, lines: list[Node], changed: int) -> int:
    """Return the first line of the right page: about half of the bytes on each side.

    Both sides must fit; then the change, at line `changed`, stands on one of them.
    """
    costs = [_cost(node) for node in lines]
    total, left = sum(costs), 0
    best, best_distance = len(lines) - 1, total
    for cut in range(1, len(lines)):
        left += costs[cut - 1]
        distance = abs(2 * left - total)
        if distance < best_distance:
            best, best_distance = cut, distance
    room = _room(size)
    if _side(costs[:best]) <= room and _side(costs[best:]) <= room:
        return best
    for cut in (changed, changed + 1):
        if 0 < cut < len(lines) and fits(size, lines[:cut]) and fits(size, lines[cut:]):
            return cut
    return best


def _side(costs: list[int]) -> int:
    return sum(costs)


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


class Layout:
    """The lines of a page and where they go."""

    def __init__(self, page: Page, lines: list[Node], cut: int, *, vertical: bool) -> None:
        self._lines, self._cut, self._vertical = lines, cut, vertical
        self._leaf = page.is_leaf

    def reserves(self, tree: Tree) -> tuple[int, int]:
        """Return the bytes kept for undo on the (split, new) page."""
        if not self._leaf or not tree.open_versions:
            return 0, 0
        kept = [0, 0]
        for i, node in enumerate(self._lines):
            chain = tree.versions.get(tree.bookmark(node.key, node.data))
            if chain:
                kept[self._vertical or i >= self._cut] += reserved(chain, len(node.data))[1]
        return kept[0], kept[1]
