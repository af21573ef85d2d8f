"""Reading long values that lie apart from their records.

Source: format specification 8.1 (tree), 8.2 (chunks), 8.3 (reader).
"""

from __future__ import annotations

from collections.abc import Iterator

from hotsplit.errors import DataDamaged, HotsplitError, Jet
from hotsplit.ese.format.compression import decompress
from hotsplit.ese.format.longvalue import (
    BEING_DELETED,
    MOST_BYTES,
    LongValueRoot,
    root_key,
    split_key,
)
from hotsplit.ese.read.btree import BTree


class LongValues:
    """The long-value tree of one table. chunk: bytes of a full chunk."""

    def __init__(self, tree: BTree, chunk: int) -> None:
        self.tree = tree
        self.chunk = chunk

    def read(self, lid: int) -> bytes:
        """Return a long value. Raises HotsplitError."""
        return b"".join(self.stream(lid))

    def stream(self, lid: int) -> Iterator[bytes]:
        """Yield a long value chunk by chunk; memory stays bounded by one chunk.

        Raises DataDamaged, after all sound chunks in front, if it is not complete.
        """
        nodes = self.tree.nodes_from(root_key(lid))
        root = self._root(lid, next(nodes, None))
        done = 0
        while done < root.size:
            node = next(nodes, None)
            if node is None or self._split(lid, node.key) != (lid, done):
                raise self._damaged(lid, f"the chunk at {done} of {root.size} bytes is missing")
            expected = min(self.chunk, root.size - done)
            yield self._plain(lid, done, node.data, expected)
            done += expected

    def _root(self, lid: int, node: tuple[bytes, bytes, int] | None) -> LongValueRoot:
        if node is None or node[0] != root_key(lid):
            raise self._damaged(lid, "it does not exist")
        try:
            root = LongValueRoot.unpack(node[1])
        except ValueError as error:
            raise self._damaged(lid, str(error)) from error
        if root.is_encrypted:
            raise self._damaged(lid, "it is encrypted")
        if root.references == BEING_DELETED:
            raise self._damaged(lid, "it is partly deleted")
        if root.size > MOST_BYTES:
            raise self._damaged(lid, f"its size is said to be {root.size} bytes")
        return root

    def _split(self, lid: int, key: bytes) -> tuple[int, int | None]:
        try:
            return split_key(key)
        except ValueError as error:
            raise self._damaged(lid, str(error)) from error

    def _plain(self, lid: int, offset: int, data: bytes, expected: int) -> bytes:
        """Return the bytes of one chunk. Stored shorter than expected means compressed."""
        if len(data) < expected:
            try:
                data = decompress(data, expected)
            except HotsplitError as error:
                raise self._damaged(lid, f"chunk at {offset}: {error.message}") from error
        if len(data) != expected:
            raise self._damaged(lid, f"the chunk at {offset} has {len(data)} bytes, not {expected}")
        return data

    def _damaged(self, lid: int, why: str) -> DataDamaged:
        return DataDamaged(
            f"long value {lid:#x}: {why}", jet=Jet.errLVCorrupted, position=f"{self.tree.name}"
        )
