"""Sorting more entries than fit into memory: sorted runs in an unnamed file, then merged.

A run is bytes: of each entry the lengths of key and data as 32-bit numbers, key and data; so does
the kernel hand entries out.
"""

from __future__ import annotations

import heapq
import struct
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice

from hotsplit.ese.files.env import Env, File
from hotsplit.ese.format.page import Node

RUN_BYTES = 16 << 20
"""About what the entries of a run have; in memory they take several times as much."""

_OVERHEAD = 240  # bytes of a node in memory beside its own
_READ_ALL = 32 << 20  # bytes that all runs together are read ahead
_LEAST_READ, _MOST_READ = 1 << 17, 1 << 18  # more than two of the largest nodes
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
    """Sorts nodes by key and data. path: where the file of runs is for a moment.

    run: bytes of nodes in memory that make a run.
    """

    def __init__(self, env: Env, path: str, run: int = 2 * RUN_BYTES) -> None:
        self._env, self._path, self._most = env, path, run
        self._file: File | None = None

    def sorted(self, nodes: Iterable[Node]) -> Iterator[Node]:
        """Yield the nodes in order."""
        return self.merged(self._runs(nodes))

    def _runs(self, nodes: Iterable[Node]) -> Iterator[bytes]:
        run: list[Node] = []
        size = 0
        for node in nodes:
            run.append(node)
            size += len(node.key) + len(node.data) + _OVERHEAD
            if size >= self._most:
                yield _packed(run)
                size = 0
        yield _packed(run)

    def merged(self, runs: Iterable[bytes]) -> Iterator[Node]:
        """Yield the nodes of sorted runs in order."""
        places: list[tuple[int, int]] = []
        end, last = 0, b""
        try:
            for run in runs:
                if last:
                    self._spill(last, end)
                    places.append((end, end + len(last)))
                    end += len(last)
                last = run
            size = max(_LEAST_READ, min(_MOST_READ, _READ_ALL // (len(places) or 1)))
            spilled = (self._read(*place, size) for place in places)
            yield from heapq.merge(_nodes(last), *spilled)
        finally:
            if self._file is not None:
                self._file.close()
                self._file = None

    def _spill(self, run: bytes, offset: int) -> None:
        if self._file is None:
            if self._env.exists(self._path):  # left behind by a run that was killed
                self._env.remove(self._path)
            self._file = self._env.open(self._path, "create")
            self._env.remove(self._path)
        self._file.pwrite(run, offset)

    def _read(self, start: int, end: int, size: int) -> Iterator[Node]:
        """Yield the nodes of a spilled run. None of them has half of `size` bytes."""
        assert self._file is not None
        data, at = b"", 0
        while start < end or at < len(data):
            if len(data) - at < size // 2 and start < end:
                more = self._file.pread(min(size, end - start), start)
                start += len(more)
                data, at = data[at:] + more, 0
            key, rest = _SIZES.unpack_from(data, at)
            at += _SIZES.size
            yield Node(data[at : at + key], data[at + key : at + key + rest])
            at += key + rest


def _packed(run: list[Node]) -> bytes:
    """Return the run of some nodes, and forget them."""
    run.sort()
    data = b"".join(
        _SIZES.pack(len(node.key), len(node.data)) + node.key + node.data for node in run
    )
    run.clear()
    return data


def _nodes(data: bytes) -> Iterator[Node]:
    at = 0
    while at < len(data):
        key, rest = _SIZES.unpack_from(data, at)
        at += _SIZES.size
        yield Node(data[at : at + key], data[at + key : at + key + rest])
        at += key + rest
