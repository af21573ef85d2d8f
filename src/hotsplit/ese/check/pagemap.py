"""Who owns each page and what for: the map that space and trees are held against.

Pages come in runs: what is said of a million pages in one extent costs no more than of one. Memory
is a byte a page, and four more only where owners of single pages change within a few megabytes.
Source: format specification 5.1 (ownership is hierarchical and disjoint).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

NOBODY = 0
_CHUNK = 4096  # pages that share one owner, or have one each
_CONTESTED = 0x80  # claimed twice: that was reported, and nothing more about the page's owner is


class Use(IntEnum):
    """What a page is used for, as far as is known."""

    NONE = 0
    AVAILABLE = 1
    TREE = 2
    SPLIT = 3


class Trouble(NamedTuple):
    """Adjacent pages that are not as they should be, with their owner and use so far."""

    page: int
    length: int
    owner: int
    use: Use

    @property
    def last(self) -> int:
        """The last of the pages."""
        return self.page + self.length - 1


_Run = tuple[int, int, int]
"""(first page, number of pages, what they have in common)"""


class _Owners:
    """The owner of each page."""

    def __init__(self, last: int) -> None:
        self._chunks: list[int | bytearray] = [NOBODY] * (last // _CHUNK + 1)

    def _pieces(self, first: int, count: int) -> Iterator[tuple[int, int, int]]:
        """Yield (number of the chunk, first page in it, number of pages)."""
        while count:
            chunk, at = divmod(first, _CHUNK)
            here = min(count, _CHUNK - at)
            yield chunk, at, here
            first, count = first + here, count - here

    def are(self, first: int, count: int, owner: int) -> bool:
        """True if all pages have this owner."""
        for number, at, here in self._pieces(first, count):
            chunk = self._chunks[number]
            if isinstance(chunk, int):
                if chunk != owner:
                    return False
            elif chunk[4 * at : 4 * (at + here)] != owner.to_bytes(4, "little") * here:
                return False
        return True

    def set(self, first: int, count: int, owner: int) -> None:
        """Give pages to an owner."""
        for number, at, here in self._pieces(first, count):
            chunk = self._chunks[number]
            if here == _CHUNK or chunk == owner:
                self._chunks[number] = owner
                continue
            if isinstance(chunk, int):
                chunk = bytearray(chunk.to_bytes(4, "little") * _CHUNK)
                self._chunks[number] = chunk
            chunk[4 * at : 4 * (at + here)] = owner.to_bytes(4, "little") * here

    def runs(self, first: int, count: int) -> Iterator[_Run]:
        """Yield runs of pages with one owner; a run ends with its chunk at the latest."""
        for number, at, here in self._pieces(first, count):
            chunk, page = self._chunks[number], number * _CHUNK + at
            if isinstance(chunk, int):
                yield page, here, chunk
                continue
            owners = memoryview(chunk).cast("I")[at : at + here].tolist()
            start = 0
            for i in range(1, here + 1):
                if i == here or owners[i] != owners[start]:
                    yield page + start, i - start, owners[start]
                    start = i


class PageMap:
    """Pages 1 to `last` of one database. Owners are object ids."""

    def __init__(self, last: int) -> None:
        self.last = last
        self._owners = _Owners(last)
        self._uses = bytearray(last + 1)

    def _use_runs(self, first: int, count: int) -> Iterator[_Run]:
        """Yield runs of pages with one use, contested or not."""
        end = first + count
        while first < end:
            use = self._uses[first]
            other = re.compile(b"[^" + re.escape(bytes([use])) + b"]", re.S)
            match = other.search(self._uses, first, end)
            following = match.start() if match else end
            yield first, following - first, use
            first = following

    def _troubles(self, first: int, count: int, owner: int) -> list[tuple[Trouble, bool]]:
        """Return the pages that have another owner or a use, and whether they are contested."""
        unused = self._uses.count(Use.NONE, first, first + count) == count
        if unused and self._owners.are(first, count, owner):
            return []
        return [
            (Trouble(page, here, found, Use(use & ~_CONTESTED)), bool(use & _CONTESTED))
            for start, length, found in self._owners.runs(first, count)
            for page, here, use in self._use_runs(start, length)
            if use or found != owner
        ]

    def _set_use(self, first: int, count: int, use: int) -> None:
        self._uses[first : first + count] = bytes([use]) * count

    def claim(self, first: int, count: int, parent: int, child: int) -> list[Trouble]:
        """Give pages of `parent` to `child`; return those that were not the parent's, or in use.

        These become contested: nothing else will be said of their owner.
        """
        found = [t for t, contested in self._troubles(first, count, parent) if not contested]
        self._owners.set(first, count, child)
        for trouble in found:
            self._set_use(trouble.page, trouble.length, _CONTESTED)
        return _joined(found)

    def reserve(self, first: int, count: int, owner: int, use: Use) -> list[Trouble]:
        """Enter that pages of `owner` are available, or kept for splits; return those that cannot.

        Their use stays as it was.
        """
        troubles = self._troubles(first, count, owner)
        kept = [(t, bytes(self._uses[t.page : t.page + t.length])) for t, _ in troubles]
        self._set_use(first, count, use)
        for trouble, uses in kept:
            self._uses[trouble.page : trouble.page + trouble.length] = uses
        return _joined([trouble for trouble, contested in troubles if not contested])

    def visit(self, first: int, count: int, owner: int) -> list[Trouble]:
        """Enter that pages were met in a tree of `owner`; return those that do not belong there.

        Pages that were met before have use TREE in the result.
        """
        troubles = self._troubles(first, count, owner)
        self._set_use(first, count, Use.TREE)
        for trouble, contested in troubles:
            if contested:
                self._set_use(trouble.page, trouble.length, Use.TREE | _CONTESTED)
        return [t for t, contested in troubles if t.use == Use.TREE or not contested]

    def visit_freely(self, first: int, count: int) -> list[Trouble]:
        """As `visit`, for a tree of which it is not known what it owns: only circles count."""
        troubles = self.visit(first, count, NOBODY)
        self._set_use(first, count, Use.TREE | _CONTESTED)
        return [trouble for trouble in troubles if trouble.use == Use.TREE]

    def unused(self, last: int) -> Iterator[_Run]:
        """Yield (first page, number, owner) of runs up to `last` that have an owner, but no use."""
        for start, length, owner in self._owners.runs(1, max(0, min(last, self.last))):
            if owner == NOBODY:
                continue
            for page, count, use in self._use_runs(start, length):
                if use == Use.NONE:
                    yield page, count, owner


def _joined(troubles: list[Trouble]) -> list[Trouble]:
    """Join adjacent pages with the same trouble."""
    found: list[Trouble] = []
    for trouble in troubles:
        before = found[-1] if found else None
        if before and (before.last + 1, before.owner, before.use) == (
            trouble.page,
            trouble.owner,
            trouble.use,
        ):
            found[-1] = before._replace(length=before.length + trouble.length)
        else:
            found.append(trouble)
    return found
