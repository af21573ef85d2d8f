"""The file of a database in use: lost writes are noticed, wrong bits are put right on disk.

What should be durable and may not be is not tried again: where a sync has failed, the system takes
the pages for written, and the next sync succeeds without them. So whoever has the file is told.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from hotsplit.errors import HotsplitError, Jet, PageDamaged
from hotsplit.ese.engine.pages.flushmap import FlushMap
from hotsplit.ese.format.header import DatabaseHeader
from hotsplit.ese.recovery.events import EventId, NoWatch, Watch
from hotsplit.ese.recovery.store import WorkStore

_EVENTS = {
    Jet.errReadLostFlushVerifyFailure: EventId.WRITE_LOST,
    Jet.errDiskIO: EventId.READ_FAILED,
}


class LiveStore(WorkStore):
    """See the module. flush_map: None where none is kept. Findings go to `reporter`.

    watch: is told what goes wrong. is_frozen: tells whether nothing may be written now.
    on_failure: called with the error when the header, the size or a sync failed.
    """

    flush_map: FlushMap | None = None
    watch: Watch = NoWatch()
    is_frozen: Callable[[], bool] = staticmethod(lambda: False)
    on_failure: Callable[[BaseException], None] = staticmethod(lambda error: None)
    _is_closed = False
    _blank = range(0)  # pages at the end that were made here and never written

    def read_page(self, pgno: int) -> bytes:
        """Return a page, a wrong bit corrected here and on disk.

        Raises FileTruncated (-4001), PageDamaged (-1018, -1019, -1118, -1119), IoFailed (-1022).
        """
        try:
            data = super().read_page(pgno)
            if self.flush_map is not None:
                self.flush_map.check(pgno, data)
        except HotsplitError as error:
            error.at(file=self.path, position=f"page {pgno}")
            if error.jet != Jet.errPageNotInitialized:  # of free pages: nothing is wrong
                self._tell(error, pgno)
            raise
        return data

    def is_blank(self, pgno: int) -> bool:
        """Tell whether a page holds nothing for certain: it need not be read to be made anew."""
        return pgno in self._blank

    def _tell(self, error: HotsplitError, pgno: int) -> None:
        default = EventId.PAGE_DAMAGED if isinstance(error, PageDamaged) else EventId.READ_FAILED
        number = _EVENTS.get(error.jet, default)
        self.watch.event(number, str(error), self.path, str(pgno), str(int(error.jet)))

    def mended(self, pgno: int, data: bytes) -> None:
        """Write a page whose wrong bit was corrected, as it was: no tear can make it worse."""
        text = f"A wrong bit of page {pgno} was corrected"
        if self.is_frozen():
            self.watch.event(EventId.PAGE_CORRECTED, text, self.path, str(pgno))
            return
        try:
            self.file.pwrite(data, (pgno + 1) * self.page_size)
        except HotsplitError as error:
            text += f", but not on disk: {error.message}"
            self._report("page-not-rewritten", text, f"page {pgno}")
        self.watch.event(EventId.PAGE_CORRECTED, text, self.path, str(pgno))

    def write_page(self, pgno: int, data: bytearray) -> None:
        """Write a page and note its flush type."""
        super().write_page(pgno, data)
        if pgno in self._blank:
            self._blank = range(pgno + 1, self._blank.stop)
        if self.flush_map is not None:
            self.flush_map.note(pgno, data)

    def _grow(self, size: int) -> None:
        """Grow with the space that pages will need: a full disk then stops no write of a page."""
        before = self.page_count
        self.file.allocate(size)
        first = self._blank.start if self._blank.stop == before + 1 else before + 1
        self._blank = range(first, self.page_count + 1)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Tell of an error, unless it is that somebody has closed the file meanwhile."""
        try:
            yield
        except BaseException as error:
            if not self._is_closed:
                self.on_failure(error)
            raise

    def sync(self) -> None:
        """Make everything durable."""
        with self._told():
            super().sync()

    def write_header(self, header: DatabaseHeader) -> None:
        """Make all pages durable, then the header."""
        with self._told():
            super().write_header(header)

    def shrink(self, last: int) -> None:
        """Cut off what lies behind page `last`."""
        with self._told():
            super().shrink(last)
        self._blank = range(self._blank.start, min(self._blank.stop, last + 1))
        if self.flush_map is not None:
            self.flush_map.cut(last)

    def drop_flush_map(self, error: HotsplitError) -> None:
        """Go on without a flush map: it cannot be written."""
        if self.flush_map is not None:
            self.flush_map.abandon()
            self.flush_map = None
            self._report("flush-map", f"No flush map any more: {error.message}", "header")

    def close(self) -> None:
        """Close the file and that of the flush map."""
        self._is_closed = True
        if self.flush_map is not None:
            self.flush_map.abandon()
        super().close()
