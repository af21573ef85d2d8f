"""Which leaves of a tree are put together, and how much of them moves.

Housekeeping joins a leaf that is left with little with a neighbour; defragmentation fills leaves
from the left. Nodes flagged as deleted are left behind, so a leaf with one that somebody still
needs stays as it is.

Source: log specification 4.10 (kinds of merges); format specification 2.5, 4.2, 4.4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from hotsplit.ese.engine.trees.pageroom import kept_for_undo
from hotsplit.ese.engine.trees.splitlines import room, separator, used
from hotsplit.ese.format.page import Node, Page
from hotsplit.ese.recovery.merge import FULL_LEFT, FULL_RIGHT, PARTIAL_LEFT

if TYPE_CHECKING:
    from hotsplit.ese.engine.trees.tree import Tree
    from hotsplit.ese.engine.trees.treeview import Step

_SPARSE = 4  # a leaf that is filled to less than this part is joined
FILLED = 7 / 8
"""How full defragmentation makes a leaf: updates in place go on to find room."""

_MOST_SIZE = 0xFFFF  # the log tells in two bytes how much moves, and counts whole keys
_AFTER_JOINING = 3 / 4  # what a join in normal work leaves, so that the next insert splits nothing


class Join(NamedTuple):
    """A merge of a leaf. kind: merge type of the log. line: where the nodes that move begin or end.

    key: separator of the two leaves afterwards, if both remain. size: bytes of the nodes that
    move, whole keys and tags counted. kept: bytes that must stay free on the other leaf for an
    undo.
    """

    kind: int
    line: int = 0
    key: bytes = b""
    size: int = 0
    kept: int = 0

    @property
    def is_partial(self) -> bool:
        """True if the leaf keeps some of its nodes."""
        return bool(self.key)


def join_if_sparse(tree: Tree, path: list[Step]) -> Join | None:
    """Return how the leaf at the end of `path` is best given up, None if it is full enough."""
    leaf = Page(path[-1].page, path[-1].pgno)
    if leaf.is_root or tree.is_space or room(leaf.size) - leaf.free > room(leaf.size) // _SPARSE:
        return None
    return whole(tree, path, _AFTER_JOINING)


def whole(tree: Tree, path: list[Step], filled: float) -> Join | None:
    """Return how all nodes of a leaf go to a neighbour, which is then filled to `filled` at most.

    To the left only where the parent is the same: else its separator would change in two places.
    """
    leaf = Page(path[-1].page, path[-1].pgno)
    nodes = leaf.nodes()
    if not _free_to_move(tree, nodes):
        return None
    live = [node for node in nodes if not node.is_deleted]
    if not live:
        return None
    if leaf.next:
        join = _into(tree, leaf.next, live, filled)
        if join is not None:
            return join._replace(kind=FULL_RIGHT)
    if path[-2].line:
        join = _into(tree, leaf.previous, live, filled)
        if join is not None:
            return join._replace(kind=FULL_LEFT, line=len(nodes) - 1)
    return None


def _into(tree: Tree, pgno: int, moving: list[Node], filled: float) -> Join | None:
    """Return the join with a neighbour, None if that has no room, or more moves than a log says."""
    size = used(moving, b"")
    if size > _MOST_SIZE:
        return None
    page = Page(tree.page(pgno), pgno)
    nodes = [*page.nodes(), *moving]
    kept = sum(kept_for_undo(tree, nodes))
    if used(nodes, page.prefix) + kept > room(page.size) * filled:
        return None
    return Join(FULL_RIGHT, size=size, kept=kept)


def part(tree: Tree, path: list[Step]) -> Join | None:
    """Return how the first nodes of a leaf fill the one at its left, which has the same parent."""
    leaf = Page(path[-1].page, path[-1].pgno)
    nodes = leaf.nodes()
    if not path[-2].line or len(nodes) < 2 or not _free_to_move(tree, nodes):
        return None
    left = Page(tree.page(leaf.previous), leaf.previous)
    there = left.nodes()
    if sum(kept_for_undo(tree, nodes)) or any(node.is_deleted for node in nodes):
        return None
    kept = sum(kept_for_undo(tree, there))
    space = int(room(left.size) * FILLED) - used(there, left.prefix) - kept
    count = size = 0
    while count < len(nodes) - 1:
        node = nodes[count : count + 1]
        space -= used(node, left.prefix) - len(left.prefix)
        more = size + used(node, b"")
        if space < 0 or more > _MOST_SIZE:
            break
        count, size = count + 1, more
    if size * _SPARSE < room(left.size):
        return None  # not worth what it would log
    key = separator(nodes[count - 1], nodes[count], unique=tree.unique)
    return Join(PARTIAL_LEFT, count - 1, key, size, kept)


def _free_to_move(tree: Tree, nodes: list[Node]) -> bool:
    """Tell whether nobody needs a node that is flagged as deleted."""
    if not tree.versions:
        return True
    return not any(
        node.is_deleted and tree.bookmark(node.key, node.data) in tree.versions for node in nodes
    )
