"""The arithmetic of a split: what fits a page, where to cut, which prefix, what the log carries.

Source: format specification 2.5, 3.2, 4.2; log specification 4.2 (before images), 4.9.
"""

from __future__ import annotations

import itertools
import operator
from bisect import bisect_left

from hotsplit import _native
from hotsplit.ese.format.basics import page_header_size
from hotsplit.ese.format.beforeimage import COMPRESSED, DEHYDRATED, dehydrate
from hotsplit.ese.format.compression import compress_xpress
from hotsplit.ese.format.page import Lines, Node, Page, common_prefix

_kernel = _native.load("tree")
_TAG = 4
_HEAD = 2
_NONE = -1


def room(size: int) -> int:
    """Return the bytes for lines and tags on a page of `size`, its external header's tag aside."""
    return size - page_header_size(size) - _TAG


def _costs(lines: list[Node]) -> list[int]:
    return [_TAG + _HEAD + len(key) + len(data) for key, data, _ in lines]


def used(lines: list[Node], prefix: bytes) -> int:
    """Return the bytes that nodes take on a page with this prefix, which is counted, too."""
    saved = _saved(lines, prefix) if prefix else 0
    return sum(_costs(lines)) - saved + len(prefix)


def _saved(lines: list[Node], prefix: bytes) -> int:
    """Return the bytes of keys that a prefix stands for, less those that say so."""
    saved: int = _kernel.saved([node[0] for node in lines], prefix)
    return saved


def fits(size: int, lines: Lines, kept: int = 0) -> bool:
    """Tell whether the nodes fit a page that is not a root, with the prefix it would get.

    kept: bytes that must stay free for an undo.
    """
    return _fits(size, lines, 0, len(lines), sum(lines.costs()) + kept)


def _fits(size: int, lines: Lines, first: int, last: int, cost: int) -> bool:
    return cost - _best_prefix(lines, first, last)[1] <= room(size)


def best_prefix(lines: Lines, first: int, last: int) -> int:
    """Return the line whose key serves best as the prefix of a page of lines `first` to `last` - 1.

    It counts from `first` on; -1 where none saves anything. Of all lines two are tried: the middle
    one, as keys are in order and its neighbours share most, and the one that shares most with the
    prefix that the page has. That one saves as much as this prefix does, so any part of what a page
    holds fits a page.
    """
    return _best_prefix(lines, first, last)[0]


def _best_prefix(lines: Lines, first: int, last: int) -> tuple[int, int]:
    """Return the line of `best_prefix`, and the bytes that the prefix saves."""
    best, most = _NONE, 0
    if last - first > 1:
        for line in dict.fromkeys((first + (last - first) // 2, _like_prefix(lines, first, last))):
            prefix = lines[line].key
            gain = lines.saved(first, last, prefix) - len(prefix)
            if gain > most:
                best, most = line - first, gain
    return best, most


def _like_prefix(lines: Lines, first: int, last: int) -> int:
    """Return the line whose key shares most with the prefix that the page has."""
    prefix = lines.page.prefix
    if not prefix:
        return first + (last - first) // 2
    is_above = not lines.page.is_leaf  # the last key there is none: it stands behind all others

    def follows(line: int) -> bool:
        key = lines[line].key
        return key >= prefix or (is_above and not key)

    at = bisect_left(range(first, last), True, key=follows) + first
    beside = max(at - 1, first), min(at, last - 1)
    return max(beside, key=lambda line: common_prefix(lines[line].key, prefix))


def point(size: int, lines: Lines, kept: list[int], changed: int) -> int:
    """Return the first line of the right page, 0 if there is no way to divide the lines.

    kept: bytes that must stay free for an undo of each line. About half of the bytes are to lie on
    each side; where both do not fit so, the cut is next to the line that changes.
    """
    ends, count = list(itertools.accumulate(map(operator.add, lines.costs(), kept))), len(lines)
    total = ends[-1]
    half = bisect_left(ends, total / 2)
    best = min((half, half + 1), key=lambda cut: abs(2 * ends[max(cut, 1) - 1] - total))
    for cut in (min(max(best, 1), count - 1), changed, changed + 1):
        if (
            0 < cut < count
            and _fits(size, lines, 0, cut, ends[cut - 1])
            and _fits(size, lines, cut, count, total - ends[cut - 1])
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
