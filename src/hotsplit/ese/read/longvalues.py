"""Reading long values that lie apart from their records.

Source: format specification 8.1 (tree), 8.2 (chunks), 8.3 (reader).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

from hotsplit import _native
from hotsplit.errors import DataDamaged, HotsplitError, Jet
from hotsplit.ese.format.checksum import RUN_GOOD
from hotsplit.ese.format.compression import decompress
from hotsplit.ese.format.longvalue import (
    BEING_DELETED,
    MOST_BYTES,
    LongValueRoot,
    root_key,
    split_key,
)
from hotsplit.ese.read.btree import BTree
from hotsplit.ese.read.pages import PageRun, RunReader

_kernel = _native.load("batch")
_BUDGET = 1 << 24


class LongValues:
    """The long-value tree of one table. chunk: bytes of a full chunk."""

    def __init__(self, tree: BTree, chunk: int) -> None:
        self.tree = tree
        self.chunk = chunk
        self._reader = RunReader(tree.pages.source)
        self._run = PageRun(0, b"", b"")

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
        self.collect(gather)
        return {
            lid: size if state == _kernel.TOO_LARGE else data
            for lid, (state, size, data) in zip(wanted, gather.results(), strict=True)
            if state != _kernel.HARD
        }

    def collect(self, gather: Any) -> None:
        """Let a kernel's gather have all leaves that it wants.

        What cannot be had is given up: the gather says so, `read` says why.
        """
        while (key := gather.wanted) is not None:
            with contextlib.suppress(HotsplitError):
                self._follow(gather, self.tree.leaf_for(key))
            if gather.wanted == key:
                gather.miss()  # it is not where it belongs

    def _follow(self, gather: Any, pgno: int) -> None:
        """Take leaves from `pgno` on, as long as a value goes on behind them."""
        reason = _kernel.OUTSIDE
        while reason in (_kernel.OUTSIDE, _kernel.REFUSED):
            if reason == _kernel.REFUSED:
                page = self.tree.leaf(pgno)
                self._run = PageRun.single(pgno, bytes(page.data))
            elif pgno not in self._run:
                self._run = self._reader.read(pgno)
            refused = reason == _kernel.REFUSED
            reason, pgno = self._walk(gather, pgno)
            if refused and reason == _kernel.REFUSED:
                return

    def _walk(self, gather: Any, pgno: int) -> tuple[int, int]:
        run = self._run
        how = run.first, self.tree.pages.page_size, self.tree.objid, pgno
        result: tuple[int, int] = gather.walk(run.data, run.states, RUN_GOOD, *how)
        return result

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
