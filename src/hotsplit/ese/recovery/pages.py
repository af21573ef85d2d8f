"""Access to pages during replay: what is resident, what must be read, what a record may change.

Every change of a page by a record passes the same test (log specification 6.4): the page's dbtime
says whether it already holds the change. `for_redo` and `for_new` are that test for the records
that the replay kernel hands over; the kernel has its own for single nodes.
"""

from __future__ import annotations

from hotsplit.errors import DbtimeMismatch, FileTruncated, HotsplitError, Jet, PageDamaged
from hotsplit.ese.format.basics import LogPosition
from hotsplit.ese.format.logrecord import NO_DBTIME
from hotsplit.ese.format.page import Page, PageFlag
from hotsplit.ese.recovery.core import Core
from hotsplit.ese.recovery.store import Store

_NEW_RECORD = int(PageFlag.NEW_RECORD)
_NOT_SCRUBBED = ~int(PageFlag.SCRUBBED)
_DBTIME = slice(8, 16)


def position_of(value: int) -> LogPosition:
    """Turn the kernel's number into a position."""
    return LogPosition(value >> 32, value >> 16 & 0xFFFF, value & 0xFFFF)


def position_number(position: LogPosition) -> int:
    """Turn a position into the kernel's number; one in a log below 0, which cannot be, into 0."""
    if position.generation < 0:
        return 0
    return position.generation << 32 | position.sector << 16 | position.byte


class PageAccess:
    """Pages of all databases of a stream. `required` is each database's highest required log.

    touched: (path of the database, page) of all pages that records spoke of, kept only if it is set
    to a set. Numbers of databases are given anew while logs are replayed.
    """

    def __init__(self, core: Core, page_size: int, budget: int) -> None:
        self.core = core
        self.page_size = page_size
        self.stores: dict[int, Store] = {}
        self.required: dict[int, int] = {}
        self.pending: dict[tuple[int, int], HotsplitError] = {}
        self.touched: set[tuple[str, int]] | None = None
        self._budget = max(64, budget // page_size)

    # Loading

    def load(self, dbid: int, pgno: int) -> bytearray:
        """Return a page, reading it if it is not resident.

        Raises PageDamaged, FileTruncated, and the page's pending error when it is left alone.
        """
        page = self.core.page(dbid, pgno)
        if page is not None:
            return page
        if self.touched is not None:
            self.touched.add((self.stores[dbid].path, pgno))
        if (dbid, pgno) in self.pending:
            raise self.pending[dbid, pgno]
        data = self.stores[dbid].read_page(pgno)
        self.make_room()
        return self.core.load(dbid, pgno, data)

    def make_room(self) -> None:
        """Write out pages that were not used lately once there are too many."""
        if self.core.resident() < self._budget:
            return
        for dbid, pgno, data in self.core.evict(self._budget * 3 // 4):
            self.stores[dbid].write_page(pgno, data)

    def flush(self, dbid: int) -> None:
        """Write all changed pages of a database, in order."""
        for pgno in self.core.dirty_pages(dbid):
            page = self.core.page(dbid, pgno)
            assert page is not None
            self.stores[dbid].write_page(pgno, page)
            self.core.clean(dbid, pgno)

    def drop(self, dbid: int, first: int, last: int) -> None:
        """Forget pages first..last: they are cut off, or their database is closed."""
        self.core.forget(dbid, first, last)
        self.drop_pending(dbid, first, last)

    # Pages that cannot be changed now

    def drop_pending(self, dbid: int, first: int, last: int) -> None:
        """Nobody needs pages first..last any more, so it does not matter that they are unusable."""
        for key in [k for k in self.pending if k[0] == dbid and first <= k[1] <= last]:
            del self.pending[key]

    def set_aside(self, dbid: int, pgno: int, error: HotsplitError) -> None:
        """Leave a page alone for now.

        Within the required range its fate is open: a later record may create it anew or cut it off.
        `check_pending` raises if none does (the engine's redo maps, 6.7).
        """
        self.pending.setdefault((dbid, pgno), self._placed(error, dbid, pgno))
        self.core.skip(dbid, pgno)

    def may_set_aside(self, dbid: int, error: HotsplitError) -> bool:
        """Tell whether an unusable page may wait: in the required range, if it is not corrupt."""
        generation = self.core.position >> 32
        return generation <= self.required.get(dbid, 0) and error.jet != Jet.errReadVerifyFailure

    def check_pending(self, generation: int) -> None:
        """Raise the first error of a page left alone, once its database's range is passed."""
        for (dbid, _), error in self.pending.items():
            if generation >= self.required.get(dbid, 0):
                raise error

    def _placed(self, error: HotsplitError, dbid: int, pgno: int) -> HotsplitError:
        where = f"page {pgno}, log position {position_of(self.core.position)}"
        error.file = error.file or self.stores[dbid].path
        error.position = where
        return error

    def missing(self, dbid: int, pgno: int) -> None:
        """Answer the kernel's call for a page: load it or set it aside, or raise why not."""
        try:
            self.load(dbid, pgno)
        except (PageDamaged, FileTruncated) as error:
            if not self.may_set_aside(dbid, error):
                raise self._placed(error, dbid, pgno) from None
            self.set_aside(dbid, pgno, error)

    # The test

    def mismatch(self, dbid: int, pgno: int, now: int, dbtime: int, before: int) -> DbtimeMismatch:
        """Return the error for a page that is neither as before nor as after a record."""
        if now >= dbtime:
            jet, what = Jet.errDbTimeBeyondMaxRequired, "is newer than the required logs allow"
        elif now < before:
            jet, what = Jet.errDbTimeTooOld, "lacks an update: a write was lost or the page is old"
        else:
            jet, what = Jet.errDbTimeTooNew, "has an update that the logs do not have"
        message = f"The page {what} (dbtime {now:#x}, record {before:#x} to {dbtime:#x})"
        error = DbtimeMismatch(message, jet=jet)
        self._placed(error, dbid, pgno)
        return error

    def for_redo(self, dbid: int, pgno: int, dbtime: int, before: int = NO_DBTIME) -> Page | None:
        """Return the page if a record of `dbtime` must change it, else None.

        Raises DbtimeMismatch (-566, -567, -625), PageDamaged, FileTruncated.
        """
        if self.core.is_skipped(dbid, pgno):
            return None
        self.missing(dbid, pgno)
        data = self.core.page(dbid, pgno)
        if data is None:
            return None
        page = Page(data, pgno)
        now = page.dbtime
        if dbtime <= now:
            if self.core.position >> 32 > self.required.get(dbid, 0):
                raise self.mismatch(dbid, pgno, now, dbtime, before)
            return None
        if before in (NO_DBTIME, now):
            return page
        error = self.mismatch(dbid, pgno, now, dbtime, before)
        if now < before and self.may_set_aside(dbid, error):
            self.set_aside(dbid, pgno, error)
            return None
        raise error

    def for_new(self, dbid: int, pgno: int, dbtime: int, objid: int, flags: int) -> Page | None:
        """Return an empty page if a record of `dbtime` must create it, None if it is newer.

        What the page held before, even damage, does not matter.
        """
        data = self.core.page(dbid, pgno)
        if data is None and (dbid, pgno) not in self.pending:
            data = self._as_it_was(dbid, pgno)
        if data is not None and Page(data, pgno).dbtime >= dbtime and self._in_range(dbid):
            return None
        self.pending.pop((dbid, pgno), None)
        if data is None:
            self.make_room()
            data = self.core.load(dbid, pgno, bytes(self.page_size))
        page = Page(data, pgno)
        page.format(objid, dbtime, flags | _NEW_RECORD)
        self.core.dirty(dbid, pgno)
        return page

    def missing_new(self, dbid: int, pgno: int) -> None:
        """Answer the kernel's call for a page that a record at hand makes."""
        if self._as_it_was(dbid, pgno) is None:
            self.make_room()
            self.core.load(dbid, pgno, bytes(self.page_size))

    def _as_it_was(self, dbid: int, pgno: int) -> bytearray | None:
        """Return a page, None if it is of no use: most new pages were never written."""
        if not any(self.stores[dbid].read_raw(pgno)[_DBTIME]):
            if self.touched is not None:
                self.touched.add((self.stores[dbid].path, pgno))
            return None
        try:
            return self.load(dbid, pgno)
        except (PageDamaged, FileTruncated):
            return None

    def _in_range(self, dbid: int) -> bool:
        return self.core.position >> 32 <= self.required.get(dbid, 0)

    def changed(self, dbid: int, page: Page, dbtime: int) -> None:
        """Stamp a page that a record has changed; if it was scrubbed, it is so no more (4.6)."""
        page.dbtime = dbtime
        page.flags &= _NOT_SCRUBBED
        self.core.dirty(dbid, page.number)
