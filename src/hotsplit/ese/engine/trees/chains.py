"""The versions of one tree's nodes; inserts of many nodes at a time are kept as one.

A chain holds the versions of a node, oldest first. A run is what `Tree.insert_sorted` leaves for
the nodes of a leaf: one object that counts for a version of each. Whoever asks for the chain of one
of its nodes gets a chain with a version made for it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from hotsplit.ese.engine.trees.versions import Bookmark, Transaction, Version
from hotsplit.ese.recovery.core import INSERT

if TYPE_CHECKING:
    from hotsplit.ese.engine.trees.tree import Tree

_MOST_RUNS = 64
"""Runs of a tree that are looked through for a node; with more, the oldest ones are taken apart."""


class InsertRun:
    """Inserts of new nodes of one tree by one transaction, in order of their bookmarks.

    marks: keys, or bookmarks where keys are not unique. rceid: number of the first version; each
    next one is 2 higher. made: versions that were asked for, by place.
    """

    operation = INSERT

    def __init__(
        self,
        transaction: Transaction,
        tree: Tree,
        marks: list[bytes] | list[Bookmark],
        rceid: int,
        level: int,
    ) -> None:
        self.transaction, self.tree, self.rceid = transaction, tree, rceid
        self.marks: list[Any] = list(marks)
        self._level = level
        self.made: dict[int, Version] = {}

    @property
    def count(self) -> int:
        """How many versions it stands for."""
        return len(self.marks)

    @property
    def level(self) -> int:
        """Nesting depth of the transaction that made it."""
        return self._level

    @level.setter
    def level(self, level: int) -> None:
        self._level = level
        for version in self.made.values():
            version.level = level

    def grow(self, other: InsertRun) -> bool:
        """Take another run in if it goes on where this one ends; tell whether it does."""
        follows = (
            self.tree is other.tree
            and self._level == other._level
            and other.rceid == self.rceid + 2 * len(self.marks)
            and self.marks[-1] < other.marks[0]
        )
        if follows:
            self.marks += other.marks
        return follows

    def place(self, bookmark: Bookmark) -> int:
        """Return which of the nodes it is, -1 for none of them."""
        mark = bookmark[0] if self.tree.unique else bookmark
        if not self.marks[0] <= mark <= self.marks[-1]:
            return -1
        found = bisect_left(self.marks, mark)
        return found if self.marks[found] == mark else -1

    def bookmark(self, place: int) -> Bookmark:
        """Return the bookmark of one node."""
        mark = self.marks[place]
        return (mark, b"") if self.tree.unique else mark

    def version(self, place: int) -> Version:
        """Return the version of one node, always the same one."""
        found = self.made.get(place)
        if found is None:
            rceid = self.rceid + 2 * place & 0xFFFFFFFF
            mark = self.bookmark(place)
            found = Version(self.transaction, self.tree, mark, INSERT, rceid, self._level)
            self.made[place] = found
        return found


class Chains:
    """See the module."""

    def __init__(self) -> None:
        self._chains: dict[Bookmark, list[Version]] = {}
        self._runs: list[InsertRun] = []

    def __bool__(self) -> bool:
        return bool(self._chains) or bool(self._runs)

    def __contains__(self, bookmark: Bookmark) -> bool:
        return bool(self.get(bookmark))

    def get(self, bookmark: Bookmark) -> Sequence[Version]:
        """Return the chain of a node, empty if it has no versions."""
        found = self._chains.get(bookmark)
        if found is None and self._runs:
            found = self._from_runs(bookmark)
        return found or ()

    def _from_runs(self, bookmark: Bookmark) -> list[Version] | None:
        """Make the chain of a node of a run: a node that a run inserted had no older version."""
        for run in reversed(self._runs):
            place = run.place(bookmark)
            if place >= 0 and place not in run.made:
                chain = self._chains[bookmark] = [run.version(place)]
                return chain
        return None

    def all(self) -> Iterator[Sequence[Version | InsertRun]]:
        """Yield all chains, and each run as one."""
        yield from self._chains.values()
        for run in self._runs:
            yield [run]

    def add(self, version: Version) -> None:
        """Enter the newest version of a node."""
        bookmark = version.bookmark
        chain = self._chains.get(bookmark)
        if chain is None and self._runs:
            chain = self._from_runs(bookmark)
        if chain is None:
            self._chains[bookmark] = [version]
        else:
            chain.append(version)

    def add_run(self, run: InsertRun) -> None:
        """Enter versions of nodes that were not there before."""
        if len(self._runs) == _MOST_RUNS:
            oldest = self._runs.pop(0)
            for place in range(oldest.count):
                if place not in oldest.made:
                    self._chains[oldest.bookmark(place)] = [oldest.version(place)]
        self._runs.append(run)

    def take_apart(self, run: InsertRun) -> list[Version]:
        """Return the versions of a run, which is one no more."""
        versions = []
        for place in range(run.count):
            if place not in run.made:
                self._chains[run.bookmark(place)] = [run.version(place)]
            versions.append(run.made[place])
        self._forget(run)
        return versions

    def _forget(self, run: InsertRun) -> None:
        if run in self._runs:
            self._runs.remove(run)

    def drop(self, version: Version | InsertRun) -> None:
        """Take a version out of its chain."""
        if isinstance(version, InsertRun):
            for made in version.made.values():
                self._drop(made)
            self._forget(version)
        else:
            self._drop(version)

    def _drop(self, version: Version) -> None:
        chain = self._chains.get(version.bookmark)
        if chain is None:
            return
        if chain[-1] is version:  # as it is with each that is taken back
            chain.pop()
        elif version in chain:
            chain.remove(version)
        if not chain:
            del self._chains[version.bookmark]
