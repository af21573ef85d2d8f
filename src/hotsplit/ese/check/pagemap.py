"""Who owns each page and what for: the map that space and trees are held against.

Source: format specification 5.1 (ownership is hierarchical and disjoint). Five bytes a page.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

NOBODY = 0
_CONTESTED = 0x80  # claimed twice: that was reported, and nothing more about the page's owner is


class Use(IntEnum):
    """What a page is used for, as far as is known."""

    NONE = 0
    AVAILABLE = 1
    TREE = 2
    SPLIT = 3


class Trouble(NamedTuple):
    """A page that is not as it should be: its owner and use so far."""

    page: int
    owner: int
    use: Use


class PageMap:
    """Pages 1 to `last` of one database. Owners are object ids."""

    def __init__(self, last: int) -> None:
        self.last = last
        self._owners = bytearray(4 * (last + 1))
        self._uses = bytearray(last + 1)

    def owner(self, page: int) -> int:
        """Return the object id of the innermost owner, NOBODY without one."""
        return int.from_bytes(self._owners[4 * page : 4 * page + 4], "little")

    def _is_plain(self, first: int, count: int, owner: int) -> bool:
        """True if all pages have this owner and no use yet."""
        end = first + count
        return (
            self._uses.count(Use.NONE, first, end) == count
            and self._owners[4 * first : 4 * end] == owner.to_bytes(4, "little") * count
        )

    def _troubles(self, first: int, count: int, owner: int) -> Iterator[Trouble]:
        if self._is_plain(first, count, owner):
            return
        for page in range(first, first + count):
            if self._uses[page] or self.owner(page) != owner:
                yield Trouble(page, self.owner(page), Use(self._uses[page] & ~_CONTESTED))

    def claim(self, first: int, count: int, parent: int, child: int) -> list[Trouble]:
        """Give pages of `parent` to `child`; return those that were not the parent's, or in use.

        These become contested: nothing else will be said of their owner.
        """
        troubles = list(self._troubles(first, count, parent))
        end = first + count
        self._owners[4 * first : 4 * end] = child.to_bytes(4, "little") * count
        fresh = [trouble for trouble in troubles if not self._uses[trouble.page] & _CONTESTED]
        for trouble in fresh:
            self._uses[trouble.page] = _CONTESTED
        return fresh

    def reserve(self, first: int, count: int, owner: int, use: Use) -> list[Trouble]:
        """Enter that pages of `owner` are available, or kept for splits; return those that cannot.

        Their use stays as it was.
        """
        troubles = list(self._troubles(first, count, owner))
        if not troubles:
            self._uses[first : first + count] = bytes([use]) * count
            return troubles
        odd = {trouble.page for trouble in troubles}
        for page in range(first, first + count):
            if page not in odd:
                self._uses[page] = use
        return [trouble for trouble in troubles if not self._uses[trouble.page] & _CONTESTED]

    def visit(self, first: int, count: int, owner: int) -> list[Trouble]:
        """Enter that pages were met in a tree of `owner`; return those that do not belong there.

        A page that was met before has use TREE in the result.
        """
        troubles = list(self._troubles(first, count, owner))
        if not troubles:
            self._uses[first : first + count] = bytes([Use.TREE]) * count
            return troubles
        found = []
        for trouble in troubles:
            contested = self._uses[trouble.page] & _CONTESTED
            if trouble.use == Use.TREE or not contested:
                found.append(trouble)
        for page in range(first, first + count):
            self._uses[page] = Use.TREE | self._uses[page] & _CONTESTED
        return found

    def visit_freely(self, first: int, count: int) -> list[Trouble]:
        """As `visit`, for a tree of which it is not known what it owns: only circles count."""
        troubles = [t for t in self.visit(first, count, NOBODY) if t.use == Use.TREE]
        for page in range(first, first + count):
            self._uses[page] |= _CONTESTED
        return troubles

    def unused(self) -> Iterator[tuple[int, int]]:
        """Yield (page, owner) of owned pages without a use."""
        page = self._uses.find(Use.NONE, 1)
        while page >= 0:
            owner = self.owner(page)
            if owner != NOBODY:
                yield page, owner
            page = self._uses.find(Use.NONE, page + 1)
