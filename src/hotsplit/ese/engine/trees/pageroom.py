"""Room on a page: what fits beside the bytes that an undo may want back.

A change that makes a node shorter keeps the difference free until its transaction is over. The page
counts these bytes; what is kept for transactions that are over is found out when room gets short.

Source: format specification 2.5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hotsplit.ese.engine.trees.versions import largest
from hotsplit.ese.format.page import Lines, Node, Page

if TYPE_CHECKING:
    from hotsplit.ese.engine.trees.tree import Tree

_MOST_TAGS = 0xFF0


def has_room(tree: Tree, page: bytearray, need: int, reserve: int = 0) -> bool:
    """Tell whether `need` more bytes fit, beside what an undo may want back.

    reserve: how many more bytes an undo may want back after the change, fewer if negative.
    """
    free = page[28] | page[29] << 8
    kept = page[30] | page[31] << 8
    if page[34] | (page[35] & 0xF) << 8 >= _MOST_TAGS:
        return False
    if need > free:
        return False
    if need + reserve <= free - kept:
        return True
    if not kept:
        return False
    kept = sum(kept_for_undo(tree, Page(page).nodes()))
    page[30:32] = min(kept, free).to_bytes(2, "little")
    return need + reserve <= free - kept


def keep(page: bytearray, change: int) -> None:
    """Add to the page's count of bytes kept for undo."""
    free, kept = page[28] | page[29] << 8, page[30] | page[31] << 8
    page[30:32] = max(0, min(kept + change, free)).to_bytes(2, "little")


def kept_for_undo(tree: Tree, lines: Lines | list[Node]) -> list[int]:
    """Return the bytes that must stay free for an undo of each line."""
    if not tree.open_replaces:
        return [0] * len(lines)  # nothing else leaves a node with less than its undo needs
    kept = []
    for node in lines:
        chain = tree.versions.get(tree.bookmark(node.key, node.data))
        kept.append(max(0, largest(chain) - len(node.data)))
    return kept
