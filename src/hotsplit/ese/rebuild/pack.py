"""Packing nodes into one page, keys sharing what they have in common with the page's prefix.

Source: format specification 2.4, 2.5 (lines and their cost), 3.1, 3.2 (nodes, prefix).
"""

from __future__ import annotations

from hotsplit.ese.format.page import Node, common_prefix

TAG = 4
_LENGTH = 2  # of a key's suffix, and of its shared part
_WORTH = 2  # a shared part must be longer than its own length field


def shared_size(prefix: bytes, key: bytes) -> int:
    """Return how many bytes of `key` the prefix stands for, 0 where that is not worth it."""
    size = len(prefix)
    if key[:size] != prefix:
        size = common_prefix(prefix, key)
    return size if size > _WORTH else 0


def node_size(key: bytes, data: bytes, prefix: bytes = b"") -> int:
    """Return the bytes that a node takes on a page with this prefix, its tag included."""
    size = TAG + _LENGTH + len(key) + len(data)
    shared = shared_size(prefix, key) if prefix else 0
    return size + _LENGTH - shared if shared else size


class PageBuilder:
    """The nodes of one page, taken in order until it is full.

    room: bytes of the page behind its header. reserve: bytes that stay free for later changes; a
    node that would not fit into them is taken all the same.

    The prefix is what the first two keys have in common: as keys ascend, no later key shares more
    with the first one.
    """

    def __init__(self, room: int, reserve: int) -> None:
        self._room, self._reserve = room, reserve
        self.nodes: list[Node] = []
        self.prefix = b""
        self._used = TAG

    def add(self, key: bytes, data: bytes) -> bool:
        """Take a node; False, and nothing changed, if the page is full."""
        if len(self.nodes) == 1:
            self._choose_prefix(key)
        size = node_size(key, data, self.prefix)
        limit = self._room - (self._reserve if size <= self._reserve else 0)
        if self._used + size > (limit if self.nodes else self._room):
            return False
        self.nodes.append(Node(key, data))
        self._used += size
        return True

    def _choose_prefix(self, second: bytes) -> None:
        first, data, _ = self.nodes[0]
        self.prefix = first[: shared_size(first, second)]
        self._used = TAG + len(self.prefix) + node_size(first, data, self.prefix)

    def plain_size(self) -> int:
        """Return the bytes of all nodes without prefix, as on the root page of a tree."""
        return sum(node_size(key, data) for key, data, _ in self.nodes)
