"""The pages in memory, and the rules under which they may go to disk.

Write-ahead: a page is written only when the log is durable up to its last change, and when the
before images of its uncommitted changes are in the log. Replay carries out only transactions whose
begin it sees, so a dirty page holds the checkpoint back to where the oldest of those transactions
began that changed it.

Source: log specification 5.1, 6.5, 7.2.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable

from hotsplit.ese.engine.counters import PageWrites, Reason
from hotsplit.ese.engine.log.writer import LogWriter
from hotsplit.ese.engine.pages.livestore import LiveStore
from hotsplit.ese.engine.pages.pagesafe import BATCH, PageSafe
from hotsplit.ese.format.page import Page
from hotsplit.ese.recovery.core import Core
from hotsplit.ese.recovery.pages import PageAccess
from hotsplit.ese.recovery.store import seal_page

_NEVER = 1 << 64
_NEAR = 7  # pages beside a due one


class Cache(PageAccess):
    """Pages of all databases of the instance.

    position: where the transaction began whose records are being applied.
    before_write: logs the before images of uncommitted changes in trees with these object ids.
    safe: where pages are kept while they are written, None if tears need no care.
    writes, reads: counts of pages written and read.
    writing: held while pages go to a file: who holds it reads no page that is half written.
    """

    def __init__(self, core: Core, page_size: int, budget: int, log: LogWriter) -> None:
        super().__init__(core, page_size, budget)
        self._log = log
        self._dirty: dict[int, dict[int, int]] = {}
        self.position = 0
        self.safe: PageSafe | None = None
        self.writes = PageWrites()
        self.reads = 0
        self.writing = threading.Lock()
        self.before_write: Callable[[int, set[int]], None] = lambda dbid, objids: None

    def load(self, dbid: int, pgno: int) -> bytearray:
        """See `PageAccess`."""
        if self.core.page(dbid, pgno) is None:
            self.reads += 1
        return super().load(dbid, pgno)

    # What is dirty

    def touch(self, dbid: int, pgno: int) -> None:
        """Note that a page changes."""
        dirty = self._dirty[dbid]
        if dirty.get(pgno, _NEVER) > self.position:
            dirty[pgno] = self.position

    def changed(self, dbid: int, page: Page, dbtime: int) -> None:
        """Stamp a page that a record has changed."""
        super().changed(dbid, page, dbtime)
        self.touch(dbid, page.number)

    def for_new(self, dbid: int, pgno: int, dbtime: int, objid: int, flags: int) -> Page | None:
        """Return an empty page; what it held before does not matter."""
        self._load_blank(dbid, pgno)
        page = super().for_new(dbid, pgno, dbtime, objid, flags)
        self.touch(dbid, pgno)
        return page

    def missing_new(self, dbid: int, pgno: int) -> None:
        """See `PageAccess`."""
        self._load_blank(dbid, pgno)
        if self.core.page(dbid, pgno) is None:
            super().missing_new(dbid, pgno)

    def _load_blank(self, dbid: int, pgno: int) -> None:
        """Make a page without reading it where that is certain to find nothing."""
        store = self.stores[dbid]
        blank = isinstance(store, LiveStore) and store.is_blank(pgno)
        if blank and self.core.page(dbid, pgno) is None:
            self.core.load(dbid, pgno, bytes(self.page_size))

    def attach(self, dbid: int) -> None:
        """Begin to keep pages of a database."""
        self._dirty[dbid] = {}

    def adopt_dirty(self, dbid: int, position: int) -> None:
        """Pages that redo made dirty are so since `position`."""
        self._dirty[dbid] |= dict.fromkeys(self.core.dirty_pages(dbid), position)

    def forget(self, dbid: int) -> None:
        """Drop all pages of a database, which are all on disk or of no use."""
        if self.safe is not None and dbid in self.stores:
            self.safe.forget(self.stores[dbid])
        self.core.forget(dbid, 0, 0xFFFFFFFF)
        self._dirty.pop(dbid, None)
        self.writes.leave(dbid)

    def drop(self, dbid: int, first: int, last: int) -> None:
        """Forget pages first..last, changed or not: they are no more."""
        super().drop(dbid, first, last)
        dirty = self._dirty[dbid]
        for pgno in [pgno for pgno in dirty if first <= pgno <= last]:
            del dirty[pgno]

    def oldest(self) -> int | None:
        """Return from where on changes are not on disk yet, None if all are."""
        firsts = (min(dirty.values(), default=None) for dirty in self._dirty.values())
        return min((first for first in firsts if first is not None), default=None)

    def dirty_count(self) -> int:
        """Return the number of dirty pages."""
        return sum(map(len, self._dirty.values()))

    # Writing

    def make_room(self) -> None:
        """Do nothing in the middle of an operation; see `trim`."""

    def trim(self) -> None:
        """Keep to the budget. To be called between operations: pages may go."""
        if self.core.resident() <= self._budget:
            return
        for dbid, dirty in self._dirty.items():
            self.write_out(dbid, list(dirty), Reason.ANOMALOUS)
        for _ in self.core.evict(self._budget * 3 // 4):
            pass  # clean now
        self.writes.keep(lambda dbid, pgno: self.core.page(dbid, pgno) is not None)

    def clean_below(self, position: int, reason: Reason, most: int = BATCH) -> bool:
        """Write the oldest dirty pages, at most `most`, if older than `position`; tell if any.

        Dirty pages beside them in the file go with them: that saves the disk a way later.
        """
        found = False
        for dbid, dirty in self._dirty.items():
            due: list[int] = []
            for pgno, first in dirty.items():
                if len(due) == most:
                    break
                if first < position:
                    due.append(pgno)
            if due:
                self.write_out(dbid, due, reason, _beside(due, dirty))
                found = True
        return found

    def flush(self, dbid: int) -> None:
        """Write all changed pages of a database."""
        self.write_out(dbid, list(self._dirty[dbid]), Reason.NORMAL)

    def write_out(
        self, dbid: int, due: Iterable[int], reason: Reason, opportune: Collection[int] = ()
    ) -> None:
        """Write pages, in order of their numbers. They stay in memory, clean.

        due: those that `reason` is for. opportune: those that go with them.
        """
        pages: list[tuple[int, bytearray]] = []
        for pgno in sorted((*due, *opportune)):
            page = self.core.page(dbid, pgno)
            if page is not None:
                pages.append((pgno, page))
        self.before_write(dbid, {int.from_bytes(page[24:28], "little") for _, page in pages})
        self._log.flush()
        with self._log.stopped_by_errors():
            for start in range(0, len(pages), BATCH):
                self._write(dbid, pages[start : start + BATCH])
        for pgno, _ in pages:
            self.writes.count(Reason.OPPORTUNE if pgno in opportune else reason, dbid, pgno)

    def _write(self, dbid: int, pages: list[tuple[int, bytearray]]) -> None:
        dirty, store = self._dirty[dbid], self.stores[dbid]
        if self.safe is not None:
            sealed = [(pgno, bytearray(page)) for pgno, page in pages]
            for pgno, page in sealed:
                seal_page(page, pgno, store.header)
            self.safe.keep(store, sealed)
        with self.writing:
            for pgno, page in pages:
                store.write_page(pgno, page)
                self.core.clean(dbid, pgno)
                dirty.pop(pgno, None)


def _beside(due: Collection[int], dirty: Collection[int]) -> set[int]:
    """Return the dirty pages next to those that are due, a few on each side."""
    found: set[int] = set()
    for pgno in due:
        for step in (-1, 1):
            for near in range(pgno + step, pgno + step * (_NEAR + 1), step):
                if near not in dirty:
                    break
                found.add(near)
    return found.difference(due)
