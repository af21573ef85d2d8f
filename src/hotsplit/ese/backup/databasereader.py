"""One database as a stream of bytes, read while it is in use.

The stream is a file as hard recovery wants it: the header as it was at the beginning, twice; all
pages, each as it was when its turn came; and the trailer page, which says up to which log changes
may have come behind the reader. Replay of these logs makes the pages one.

Source: log specification 8.1 (Open, Read), 8.2 (trailer page).
"""

from __future__ import annotations

from collections.abc import Iterator

from hotsplit.errors import FileTruncated, InvalidUse, IoFailed, Jet, PageDamaged
from hotsplit.ese.engine.database import OpenDatabase
from hotsplit.ese.format.basics import NO_SIGNATURE, BackupInfo
from hotsplit.ese.format.checksum import RUN_GOOD, RUN_SUSPECT, State, page_state, scan_pages
from hotsplit.ese.format.header import DatabaseHeader
from hotsplit.ese.format.patch import Trailer
from hotsplit.ese.recovery.events import EventId, Watch
from hotsplit.report import Finding, Reporter, Severity

BATCH = 64 << 10
"""Bytes of one read."""

_TRIES = 4
_PAGE_HEADER = 40


class DatabaseReader:
    """One database being backed up. complete: its stream was read to the end.

    info: mark, time and lowest log of the backup. size: bytes of the stream, fixed from the start:
    what the database grows by later lies in the logs. Corrected pages are told to `reporter`.
    """

    def __init__(
        self, database: OpenDatabase, info: BackupInfo, reporter: Reporter, watch: Watch
    ) -> None:
        self.database, self.info, self._watch = database, info, watch
        self._context = database.context
        self._reporter = reporter
        with self._context.lock:
            self._context.check()
            self._header = DatabaseHeader(bytes(database.header.raw))
            self._last = database.store.page_count
        self._header.backup_full_current = info
        self._header.header_flush_signature = self._header.flush_map_signature = NO_SIGNATURE
        self._page_size = self._header.page_size
        self.complete = False
        self._begun = False

    @property
    def size(self) -> int:
        """Bytes of the whole stream."""
        return (self._last + 3) * self._page_size

    def chunks(self) -> Iterator[bytes]:
        """Yield the stream once, in order.

        Raises PageDamaged (-1018) at a page that cannot be corrected, IoFailed, FileTruncated,
        InstanceDown, InvalidUse (-521) for a second time.
        """
        if self._begun:
            raise InvalidUse("The database was read before", jet=Jet.errInvalidBackupSequence)
        self._begun = True
        path = self.database.path
        self._watch.event(EventId.BACKUP_FILE_OPENED, f"{path}: {self.size} bytes", path)
        yield self._header.sealed() * 2
        count = BATCH // self._page_size
        for first in range(1, self._last + 1, count):
            yield self._pages(first, min(count, self._last + 1 - first))
        yield self._trailer()
        self.complete = True
        self._watch.event(EventId.BACKUP_FILE_READ, f"{path} was read to its end", path)

    def _pages(self, first: int, count: int) -> bytes:
        """Return verified pages. A read that fails, or shows a bad page, is tried again."""
        for _ in range(_TRIES - 1):
            try:
                data, states = self._read(first, count)
            except IoFailed:
                continue
            if RUN_SUSPECT not in states:
                return data
        return self._corrected(first, *self._read(first, count))

    def _read(self, first: int, count: int) -> tuple[bytes, bytearray]:
        """Return pages and what their checksums say of each.

        Raises PageDamaged (-1119), FileTruncated (-4001) if somebody else has cut the file: the
        engine does not shrink it meanwhile.
        """
        size = self._page_size
        with self._context.cache.writing:  # a page is whole before or after it was written
            self._context.check()
            data = self.database.store.read_raw(first, count)
            if len(data) < count * size:
                raise self._cut(first + len(data) // size)
            states = scan_pages(data, size, first).states
            self._check_writes(first, data, states)
        return data, states

    def _cut(self, pgno: int) -> FileTruncated:
        return FileTruncated(
            f"Page {pgno} lies beyond the end", file=self.database.path, position=f"page {pgno}"
        )

    def _check_writes(self, first: int, data: bytes, states: bytearray) -> None:
        """Compare sound pages with the flush map: a write that was lost leaves a sound page."""
        kept = self.database.flush_map
        if kept is None:
            return
        for index, state in enumerate(states):
            if state == RUN_GOOD:
                at = index * self._page_size
                try:
                    kept.check(first + index, data[at : at + _PAGE_HEADER])
                except PageDamaged as error:
                    error.at(file=self.database.path)
                    raise

    def _corrected(self, first: int, data: bytes, states: bytearray) -> bytes:
        """Return pages with single wrong bits put right; what is worse stops the backup."""
        made, size = bytearray(data), self._page_size
        for index, state in enumerate(states):
            at, pgno = index * size, first + index
            if state == RUN_SUSPECT and page_state(data[at : at + size], pgno).state != State.GOOD:
                with self._context.lock, self._context.cache.writing:
                    made[at : at + size] = self._correct(pgno)
        return bytes(made)

    def _correct(self, pgno: int) -> bytes:
        page = self.database.store.read_page(pgno)
        self._reporter.report(
            Finding(
                "page-corrected", Severity.WARNING, "A wrong bit of the page was put right",
                self.database.path, f"page {pgno}", Jet.errReadVerifyFailure,
            )
        )  # fmt: skip
        return page

    def _trailer(self) -> bytes:
        header = self._header
        trailer = Trailer(bytes(self._page_size))
        with self._context.lock:
            self._context.check()
            high = self._context.log.generation
        trailer.backup = self.info._replace(high=high)
        trailer.db_signature, trailer.log_signature = header.db_signature, header.log_signature
        return trailer.sealed()
