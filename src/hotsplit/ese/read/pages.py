"""Where readers get pages from."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Protocol

_CACHED = 128


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
