"""Reading long values that lie apart from their records.

Source: format specification 8.1 (tree), 8.2 (chunks), 8.3 (reader).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from hotsplit import _native
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

_kernel = _native.load("lookup")
_BUDGET = 1 << 24


class LongValues:
    """The long-value tree of one table. chunk: bytes of a full chunk."""

    def __init__(self, tree: BTree, chunk: int) -> None:
        self.tree = tree
        self.chunk = chunk

    def read(self, lid: int) -> bytes:
        """Return a long value. Raises HotsplitError."""
        return b"".join(self.stream(lid))

    def read_many(self, lids: Iterable[int], budget: int = _BUDGET) -> dict[int, bytes | int]:
        """Return long values by id, in one pass over the tree.

        A value that does not fit into `budget` bytes with those before it has its size instead.
        What is missing, damaged or of a rare kind is not in the result: `read` says why, or reads
        it.
        """
        wanted = sorted(set(lids), key=root_key)
        gather = _kernel.Gather(wanted, self.chunk, budget)
        while (key := gather.wanted) is not None:
            try:
                self._take_from(gather, key)
            except HotsplitError:
                gather.miss()
        return {
            lid: size if state == _kernel.TOO_LARGE else data
            for lid, (state, size, data) in zip(wanted, gather.results(), strict=True)
            if state != _kernel.HARD
        }

    def _take_from(self, gather: Any, key: bytes) -> None:
        """Take leaves from where `key` belongs on, as long as a value goes on behind them."""
        page = self.tree.find_leaf(key)
        while key is not None:
            try:
                gather.take(page.data if page.is_leaf else b"")
            except ValueError:
                gather.miss()
                return
            following = gather.wanted
            if following == key or not page.next or page.is_root:
                gather.miss()  # it is not where it belongs
                return
            if not gather.is_inside:
                return
            key, page = following, self.tree.page(page.next)

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
