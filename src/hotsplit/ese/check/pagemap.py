"""Who owns each page and what for: the map that space and trees are held against.

Pages come in runs: what is said of a million pages in one extent costs no more than of one. Memory
is a byte a page where uses change within 4096 pages, and four more where owners do; else nothing.
Source: format specification 5.1 (ownership is hierarchical and disjoint).
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from typing import Literal, NamedTuple

NOBODY = 0
_CHUNK = 4096  # pages that share one number, or have one each
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


class _Numbers:
    """A number for each page, in 1 or 4 bytes."""

    def __init__(self, last: int, width: Literal[1, 4]) -> None:
        self._chunks: list[int | bytearray] = [0] * (last // _CHUNK + 1)
        self._width = width
        self._format: Literal["B", "I"] = "B" if width == 1 else "I"

    def _bytes(self, number: int, count: int) -> bytes:
        return number.to_bytes(self._width, "little") * count

    def _pieces(self, first: int, count: int) -> Iterator[tuple[int, int, int]]:
        """Yield (number of the chunk, first page in it, number of pages)."""
        while count:
            chunk, at = divmod(first, _CHUNK)
            here = min(count, _CHUNK - at)
            yield chunk, at, here
            first, count = first + here, count - here

    def are(self, first: int, count: int, number: int) -> bool:
        """True if all pages have this number."""
        width = self._width
        for which, at, here in self._pieces(first, count):
            chunk = self._chunks[which]
            if isinstance(chunk, int):
                if chunk != number:
                    return False
            elif chunk[width * at : width * (at + here)] != self._bytes(number, here):
                return False
        return True

    def set(self, first: int, count: int, number: int) -> None:
        """Give pages a number."""
        width = self._width
        for which, at, here in self._pieces(first, count):
            chunk = self._chunks[which]
            if here == _CHUNK or chunk == number:
                self._chunks[which] = number
                continue
            if isinstance(chunk, int):
                chunk = bytearray(self._bytes(chunk, _CHUNK))
                self._chunks[which] = chunk
            chunk[width * at : width * (at + here)] = self._bytes(number, here)

    def runs(self, first: int, count: int) -> Iterator[_Run]:
        """Yield runs of pages with one number; a run ends with its chunk at the latest."""
        for which, at, here in self._pieces(first, count):
            chunk, page = self._chunks[which], which * _CHUNK + at
            if isinstance(chunk, int):
                yield page, here, chunk
                continue
            numbers = memoryview(chunk).cast(self._format)[at : at + here].tolist()
            start = 0
            for i in range(1, here + 1):
                if i == here or numbers[i] != numbers[start]:
                    yield page + start, i - start, numbers[start]
                    start = i


class PageMap:
    """Pages 1 to `last` of one database. Owners are object ids."""

    def __init__(self, last: int) -> None:
        self.last = last
        self._owners = _Numbers(last, 4)
        self._uses = _Numbers(last, 1)

    def _troubles(self, first: int, count: int, owner: int) -> list[tuple[Trouble, bool]]:
        """Return the pages that have another owner or a use, and whether they are contested."""
        if self._uses.are(first, count, Use.NONE) and self._owners.are(first, count, owner):
            return []
        return [
            (Trouble(page, here, found, Use(use & ~_CONTESTED)), bool(use & _CONTESTED))
            for start, length, found in self._owners.runs(first, count)
            for page, here, use in self._uses.runs(start, length)
            if use or found != owner
        ]

    def claim(self, first: int, count: int, parent: int, child: int) -> list[Trouble]:
        """Give pages of `parent` to `child`; return those that were not the parent's, or in use.

        These become contested: nothing else will be said of their owner.
        """
        found = [t for t, contested in self._troubles(first, count, parent) if not contested]
        self._owners.set(first, count, child)
        for trouble in found:
            self._uses.set(trouble.page, trouble.length, _CONTESTED)
        return _joined(found)

    def reserve(self, first: int, count: int, owner: int, use: Use) -> list[Trouble]:
        """Enter that pages of `owner` are available, or kept for splits; return those that cannot.

        Their use stays as it was.
        """
        troubles = self._troubles(first, count, owner)
        self._uses.set(first, count, use)
        for trouble, contested in troubles:
            use_so_far = trouble.use | (_CONTESTED if contested else 0)
            self._uses.set(trouble.page, trouble.length, use_so_far)
        return _joined([trouble for trouble, contested in troubles if not contested])

    def visit(self, first: int, count: int, owner: int) -> list[Trouble]:
        """Enter that pages were met in a tree of `owner`; return those that do not belong there.

        Pages that were met before have use TREE in the result.
        """
        troubles = self._troubles(first, count, owner)
        self._uses.set(first, count, Use.TREE)
        for trouble, contested in troubles:
            if contested:
                self._uses.set(trouble.page, trouble.length, Use.TREE | _CONTESTED)
        return [t for t, contested in troubles if t.use == Use.TREE or not contested]

    def visit_freely(self, first: int, count: int) -> list[Trouble]:
        """As `visit`, for a tree of which it is not known what it owns: only circles count."""
        troubles = self.visit(first, count, NOBODY)
        self._uses.set(first, count, Use.TREE | _CONTESTED)
        return [trouble for trouble in troubles if trouble.use == Use.TREE]

    def unused(self, last: int) -> Iterator[_Run]:
        """Yield (first page, number, owner) of runs up to `last` that have an owner, but no use."""
        for start, length, owner in self._owners.runs(1, max(0, min(last, self.last))):
            if owner == NOBODY:
                continue
            for page, count, use in self._uses.runs(start, length):
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
