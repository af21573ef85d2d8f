"""Long values of a damaged table: whole again, with as many references as there are.

A missing chunk becomes zeros; a value whose end is missing is cut there; one of which nothing is
left becomes empty, so that the rest of its row stays readable. All of it is reported.

Source: format specification 8.1, 8.2.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from hotsplit.errors import HotsplitError
from hotsplit.ese.format.compression import decompress
from hotsplit.ese.format.longvalue import (
    BEING_DELETED,
    LongValueRoot,
    chunk_key,
    root_key,
    split_key,
)
from hotsplit.ese.format.page import Node
from hotsplit.ese.rebuild.builder import Batch


class LostValue(NamedTuple):
    """A long value that is not whole. size: bytes it has now; lost: bytes gone, None if unknown."""

    lid: int
    size: int
    lost: int | None


class _Piece(NamedTuple):
    """One node. is_last: no other node of its long value follows."""

    lid: int
    offset: int | None
    node: Node
    is_last: bool


@dataclass
class _State:
    """What is there of one long value. end: behind the last chunk; gap: where the first one is.

    claimed: the size that its root node gives, where the last chunk has another one.
    """

    root: LongValueRoot | None = None
    end: int = 0
    missing: int = 0
    gap: int | None = None
    claimed: int | None = None
    last: Node | None = None


class LongValueMender:
    """Mends the long values of one table.

    chunk: bytes of a full chunk. room: bytes of zeros that may be put in the place of missing
    chunks. strict: chunks are decompressed, to find those that are damaged. dropped: long values
    without references, which are not carried over.
    """

    def __init__(self, chunk: int, room: int, *, strict: bool = False) -> None:
        self._chunk, self._room, self._strict = chunk, room, strict
        self._references: list[int] | None = None
        self._sizes: dict[int, int] = {}
        self._lost: dict[int, LostValue] = {}
        self.dropped = self.bad_nodes = 0

    @property
    def lost(self) -> list[LostValue]:
        """The long values that are not whole."""
        return list(self._lost.values())

    # What there is

    def survey(self, batches: Iterable[Batch]) -> bool:
        """Find the long values that are not whole; True if there are none and no stray nodes."""
        for lid, pieces in groupby(self._pieces(batches), key=lambda piece: piece.lid):
            state = self._state(pieces)
            whole = state.root is not None and not state.missing and state.claimed is None
            if not whole or state.root is None or state.end < state.root.size:
                self._decide(lid, state)
        return not self._lost and not self.bad_nodes

    def _pieces(self, batches: Iterable[Batch]) -> Iterator[_Piece]:
        before: tuple[int, int | None, Node] | None = None
        for piece in self._split(batches):
            if before is not None:
                yield _Piece(*before, before[0] != piece[0])
            before = piece
        if before is not None:
            yield _Piece(*before, True)

    def _split(self, batches: Iterable[Batch]) -> Iterator[tuple[int, int | None, Node]]:
        for _, nodes in batches:
            for node in nodes:
                try:
                    lid, offset = split_key(node.key)
                except ValueError:
                    self.bad_nodes += 1
                    continue
                yield lid, offset, node

    def _state(self, pieces: Iterable[_Piece]) -> _State:
        state = _State()
        for _, offset, node, is_last in pieces:
            if offset is None:
                state.root = _root_of(node)
            elif self._fits(state, offset, node.data, is_last):
                if offset > state.end:
                    state.gap = state.end if state.gap is None else state.gap
                    state.missing += offset - state.end
                state.end, state.last = offset + self._chunk, node
            elif state.root is not None and self._is_last(state, offset, node.data):
                size = offset + self._plain_size(node.data)
                state.root, state.claimed = state.root._replace(size=size), state.root.size
                state.end, state.last = offset + self._chunk, node
        return state

    def _is_last(self, state: _State, offset: int, data: bytes) -> bool:
        """True for the last chunk of a long value of another size than its root node says."""
        size = state.root.size if state.root is not None else 0
        behind = offset == state.end and offset % self._chunk == 0
        return (
            self._strict
            and behind
            and offset < size <= offset + self._chunk
            and len(data) <= self._chunk
        )

    def _fits(self, state: _State, offset: int, data: bytes, is_last: bool) -> bool:
        """True for a chunk that can be read where it is.

        Without a root node it is not known how large the last one is, so it can be of any size.
        """
        size = state.root.size if state.root is not None else BEING_DELETED
        if offset % self._chunk or not state.end <= offset < size:
            return False
        if not self._strict or (state.root is not None and state.root.is_encrypted):
            return True
        if state.root is None and is_last:
            return len(data) <= self._chunk
        return self._is_whole(data, min(self._chunk, size - offset))

    def _is_whole(self, data: bytes, expected: int) -> bool:
        if len(data) >= expected:
            return len(data) == expected
        try:
            return len(decompress(data, expected)) == expected
        except HotsplitError:
            return False

    def _decide(self, lid: int, state: _State) -> None:
        """Choose the size of a long value that is not whole."""
        size = state.end if state.root is None else min(state.end, state.root.size)
        if state.root is None and state.last is not None:
            size = state.end - self._chunk + self._plain_size(state.last.data)
        lost: int | None = None
        if state.root is not None:
            lost = max(0, (state.claimed or state.root.size) - size) + state.missing
        if state.missing > self._room and state.gap is not None:
            size = state.gap
            lost = None if state.root is None else state.root.size - size
        else:
            self._room -= state.missing
        self._sizes[lid] = size
        self._lost[lid] = LostValue(lid, size, lost)

    def _plain_size(self, data: bytes) -> int:
        """Return the size of a last chunk of which it is not known whether it is compressed."""
        if len(data) >= self._chunk:
            return self._chunk
        try:
            return len(decompress(data, self._chunk)) or len(data)
        except HotsplitError:
            return len(data)

    # What comes of it

    def batches(
        self, batches: Iterable[Batch], kind: int, references: array[int] | None
    ) -> Iterator[Batch]:
        """Yield the nodes of all long values; `batches` are the same as in `survey`.

        references: an id for each reference of a record, None if they are not known.
        """
        self.bad_nodes = 0
        self._references = None if references is None else sorted(references)
        yield Batch(kind, self._mended(batches))

    def _mended(self, batches: Iterable[Batch]) -> Iterator[Node]:
        wanted = self._counted()
        due = next(wanted, None)
        for lid, pieces in groupby(self._pieces(batches), key=lambda piece: piece.lid):
            while due is not None and due[0] < lid:
                yield self._empty(*due)
                due = next(wanted, None)
            count: int | None = None
            if self._references is not None:
                count = due[1] if due is not None and due[0] == lid else 0
                due = next(wanted, None) if count else due
            if count == 0:
                self.dropped += 1
                self._lost.pop(lid, None)
            else:
                yield from self._one(lid, pieces, count)
        while due is not None:
            yield self._empty(*due)
            due = next(wanted, None)

    def _counted(self) -> Iterator[tuple[int, int]]:
        for lid, group in groupby(self._references or ()):
            yield lid, sum(1 for _ in group)

    def _empty(self, lid: int, count: int) -> Node:
        self._lost[lid] = LostValue(lid, 0, None)
        return Node(root_key(lid), LongValueRoot(count, 0).pack())

    def _one(self, lid: int, pieces: Iterable[_Piece], count: int | None) -> Iterator[Node]:
        """Yield root and chunks of one long value."""
        state, begun = _State(), False
        size = self._sizes.get(lid)
        for _, offset, node, is_last in pieces:
            root = _root_of(node) if offset is None else None
            if not begun:
                begun = True
                state.root = self._new_root(root, size, count)
                yield Node(root_key(lid), state.root.pack())
            if offset is None or not self._fits(state, offset, node.data, is_last):
                continue
            for at in range(state.end, offset, self._chunk):
                yield Node(chunk_key(lid, at), bytes(self._chunk))
            state.end = offset + self._chunk
            yield node

    @staticmethod
    def _new_root(root: LongValueRoot | None, size: int | None, count: int | None) -> LongValueRoot:
        root = root or LongValueRoot(1, 0)
        root = root if size is None else root._replace(size=size)
        return root if count is None else root._replace(references=count)


def _root_of(node: Node) -> LongValueRoot | None:
    try:
        return LongValueRoot.unpack(node.data)
    except ValueError:
        return None
