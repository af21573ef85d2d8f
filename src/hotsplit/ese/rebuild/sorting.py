"""Sorting more entries than fit into memory: sorted runs in an unnamed file, then merged."""

from __future__ import annotations

import heapq
import struct
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice

from hotsplit.ese.files.env import Env, File
from hotsplit.ese.format.page import Node

_RUN = 200_000  # entries
_READ = 1 << 18
_SIZES = struct.Struct("<II")


def first_of_each(
    nodes: Iterable[Node], repeated: Callable[[Node], None] | None = None
) -> Iterator[Node]:
    """Yield the first node of each key of sorted nodes; `repeated` is told of the others."""
    last: bytes | None = None
    for node in nodes:
        if node.key != last:
            yield node
        elif repeated is not None:
            repeated(node)
        last = node.key


def begun(nodes: Iterator[Node]) -> Iterator[Node]:
    """Go as far as the first of some nodes: of sorted ones all have then been taken in."""
    first = list(islice(nodes, 1))
    return chain(first, nodes)


class EntrySorter:
    """Sorts nodes by key and data. path: where the file of runs is for a moment."""

    def __init__(self, env: Env, path: str, run: int = _RUN) -> None:
        self._env, self._path, self._most = env, path, run
        self._file: File | None = None

    def sorted(self, nodes: Iterable[Node]) -> Iterator[Node]:
        """Yield the nodes in order."""
        run: list[Node] = []
        runs: list[tuple[int, int]] = []
        end = 0
        try:
            for node in nodes:
                run.append(node)
                if len(run) >= self._most:
                    start, end = end, self._spill(sorted(run), end)
                    runs.append((start, end))
                    run = []
            yield from heapq.merge(sorted(run), *(self._read(*place) for place in runs))
        finally:
            if self._file is not None:
                self._file.close()

    def _spill(self, run: list[Node], offset: int) -> int:
        if self._file is None:
            if self._env.exists(self._path):  # left behind by a run that was killed
                self._env.remove(self._path)
            self._file = self._env.open(self._path, "create")
            self._env.remove(self._path)
        data = b"".join(
            _SIZES.pack(len(node.key), len(node.data)) + node.key + node.data for node in run
        )
        self._file.pwrite(data, offset)
        return offset + len(data)

    def _read(self, start: int, end: int) -> Iterator[Node]:
        assert self._file is not None
        data, at = b"", 0
        while start < end or at < len(data):
            if len(data) - at < _READ // 2 and start < end:
                more = self._file.pread(min(_READ, end - start), start)
                start += len(more)
                data, at = data[at:] + more, 0
            key, rest = _SIZES.unpack_from(data, at)
            at += _SIZES.size
            yield Node(data[at : at + key], data[at + key : at + key + rest])
            at += key + rest
