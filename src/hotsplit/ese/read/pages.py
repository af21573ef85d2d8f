"""Where readers get pages from: one at a time for seeks, many at a time for scans."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

from hotsplit.ese.format.checksum import RUN_GOOD, scan_pages

_CACHED = 128
_LEAST_RUN, _MOST_RUN = 4, 64  # pages
_RUN_BYTES = 1 << 18


class PageSource(Protocol):
    """Verified pages by number: a database file, or recovery's overlay of one."""

    @property
    def page_size(self) -> int:
        """Bytes of a page."""
        ...

    @property
    def header(self) -> Any:
        """The database header."""
        ...

    def read_page(self, pgno: int, /) -> bytes:
        """Return a page. Raises a HotsplitError if it cannot be had undamaged."""
        ...


@runtime_checkable
class RunSource(PageSource, Protocol):
    """A source that can give adjacent pages at once, as they are."""

    @property
    def page_count(self) -> int:
        """Number of pages."""
        ...

    def read_raw(self, pgno: int, count: int = 1, /) -> bytes:
        """Return the bytes of `count` pages, not verified; fewer at the end."""
        ...


class CountedPages:
    """A source that tells how many pages were read from it."""

    def __init__(self, source: PageSource, tick: Callable[[int], None]) -> None:
        self._source, self._tick = source, tick
        self.page_size, self.header = source.page_size, source.header
        self._runs = source if isinstance(source, RunSource) else None

    @property
    def page_count(self) -> int:
        """Number of pages; none of a source that gives single pages only."""
        return self._runs.page_count if self._runs else 0

    def read_page(self, pgno: int, /) -> bytes:
        """See `PageSource`."""
        self._tick(1)
        return self._source.read_page(pgno)

    def read_raw(self, pgno: int, count: int = 1, /) -> bytes:
        """See `RunSource`."""
        self._tick(count)
        return self._runs.read_raw(pgno, count) if self._runs else b""


class CachedPages:
    """The pages of a source, the latest used ones kept. For random reads, not for scans."""

    def __init__(self, source: PageSource, capacity: int = _CACHED) -> None:
        self.source = source
        self.page_size = source.page_size
        self._kept: OrderedDict[int, bytes] = OrderedDict()
        self._capacity = capacity

    def read_page(self, pgno: int) -> bytes:
        """Return a page. Raises a HotsplitError if it cannot be had undamaged."""
        page = self._kept.get(pgno)
        if page is None:
            page = self.source.read_page(pgno)
            self._kept[pgno] = page
            if len(self._kept) > self._capacity:
                self._kept.popitem(last=False)
        else:
            self._kept.move_to_end(pgno)
        return page


class PageRun(NamedTuple):
    """Adjacent pages: number of the first, their bytes, and what the checksum says of each.

    states: RUN_GOOD a page that can be used as it is.
    """

    first: int
    data: bytes
    states: bytes | bytearray

    @classmethod
    def single(cls, pgno: int, page: bytes) -> PageRun:
        """Return a run of one page that was verified."""
        return cls(pgno, page, bytes([RUN_GOOD]))

    def __contains__(self, pgno: object) -> bool:
        return isinstance(pgno, int) and 0 <= pgno - self.first < len(self.states)


class RunReader:
    """Reads ahead in a source: longer the more of what was read is used."""

    def __init__(self, source: PageSource) -> None:
        self._source = source
        self._runs = source if isinstance(source, RunSource) else None
        self._count = _LEAST_RUN
        self._most = max(1, min(_MOST_RUN, _RUN_BYTES // source.page_size))
        self._next = 0

    def read(self, pgno: int, *, reverse: bool = False) -> PageRun:
        """Return pages of which one is `pgno`.

        Raises a HotsplitError if the source gives single pages only, and not this one.
        """
        source = self._runs
        if source is None or not 0 < pgno <= source.page_count:
            return PageRun.single(pgno, self._source.read_page(pgno))
        going_on = pgno == self._next
        self._count = min(self._most, self._count * 2) if going_on else _LEAST_RUN
        first = max(1, pgno - self._count + 1) if reverse else pgno
        count = min(self._count, source.page_count - first + 1)
        self._next = first - 1 if reverse else first + count
        data = source.read_raw(first, count)
        data = data[: len(data) // source.page_size * source.page_size]
        if len(data) <= (pgno - first) * source.page_size:  # the file has become shorter
            return PageRun.single(pgno, source.read_page(pgno))
        return PageRun(first, data, scan_pages(data, source.page_size, first).states)


class PageSet:
    """A set of page numbers: one bit for each page that exists, and the few that could not be read.

    Only numbers of pages that were read may go to `add`, so its size is bounded by the file.
    """

    def __init__(self) -> None:
        self.bits = bytearray()
        self._bad: set[int] = set()

    def cover(self, pgno: int) -> None:
        """Make room for the bits of all pages up to one that exists."""
        at = pgno >> 3
        if at >= len(self.bits):
            self.bits.extend(bytes(at + 1 - len(self.bits) + len(self.bits) // 4))

    def add(self, pgno: int) -> None:
        """Enter a page that was read."""
        self.cover(pgno)
        self.bits[pgno >> 3] |= 1 << (pgno & 7)

    def add_bad(self, pgno: int) -> None:
        """Enter a page that could not be read."""
        self._bad.add(pgno)

    def same(self, other: PageSet) -> bool:
        """Say whether the other set has the same pages."""
        mine, others = self.bits.rstrip(b"\0"), other.bits.rstrip(b"\0")
        return mine == others and self._bad == other._bad

    def __contains__(self, pgno: int) -> bool:
        at = pgno >> 3
        known = at < len(self.bits) and self.bits[at] >> (pgno & 7) & 1
        return bool(known) or pgno in self._bad
