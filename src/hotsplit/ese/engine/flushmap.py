"""The flush map of a database in use: which of its three flush types each page was written with.

A page that is read with another flush type is not the one written last: the disk lost a write. The
map is kept in memory and written beside the database with each move of the checkpoint, when the
pages that it speaks of are durable; so after a crash every page that differs from it is one that
the logs from its least generation on change.

Its header and that of the database know each other by two signatures. Each write of one of the
files changes one of them, so that the other one still matches whenever the machine stops.

Source: format specification 11.3; log specification 5.1 (the checkpoint stays behind the map).
"""

from __future__ import annotations

from collections.abc import Callable

from hotsplit.errors import HotsplitError, Jet, PageDamaged
from hotsplit.ese.files.env import Env, File, Lock
from hotsplit.ese.files.flushmapfile import FlushMapFile, flush_map_path
from hotsplit.ese.format.basics import LogTime, Signature
from hotsplit.ese.format.flushmap import (
    CLEAN,
    FILE_TYPE,
    PAGE_SIZE,
    PER_PAGE,
    VERSION,
    FlushMapHeader,
    FlushMapPage,
)
from hotsplit.ese.format.header import DatabaseHeader

_UNKNOWN = 0


class FlushMap:
    """See the module. stamp: gives the signature of a header that is about to be written."""

    def __init__(self, env: Env, database: str, stamp: Callable[[], Signature]) -> None:
        self._env, self.path, self._stamp = env, flush_map_path(database), stamp
        self._types = bytearray()
        self._times: list[int] = []
        self._changed: set[int] = set()
        self._file: File | None = None
        self._lock: Lock | None = None
        self.header = FlushMapHeader(bytes(PAGE_SIZE))

    # What is known of pages

    def note(self, pgno: int, page: bytes | bytearray) -> None:
        """A page was written."""
        self._grow(pgno)
        number = pgno // PER_PAGE
        self._types[pgno] = _flush_type(page)
        self._times[number] = max(self._times[number], int.from_bytes(page[8:16], "little"))
        self._changed.add(number)

    def check(self, pgno: int, page: bytes | bytearray) -> None:
        """Compare a page that was read. Raises PageDamaged (-1119)."""
        found = _flush_type(page)
        expected = self._types[pgno] if pgno < len(self._types) else _UNKNOWN
        if expected == _UNKNOWN:
            self.note(pgno, page)
        elif found not in (_UNKNOWN, expected):
            raise PageDamaged(
                f"The page is not as last written: flush type {found}, the flush map says"
                f" {expected}; a write was lost",
                jet=Jet.errReadLostFlushVerifyFailure,
                position=f"page {pgno}",
            )

    def cut(self, last: int) -> None:
        """Pages behind `last` are no more."""
        for pgno in range(last + 1, len(self._types)):
            self._types[pgno] = _UNKNOWN
            self._changed.add(pgno // PER_PAGE)

    def _grow(self, pgno: int) -> None:
        more = pgno // PER_PAGE + 1 - len(self._times)
        if more > 0:
            self._types += bytes(more * PER_PAGE)
            self._times += [0] * more

    # The file

    def begin(self, database: DatabaseHeader, generation: int, now: LogTime) -> None:
        """Open the map of a database that is being attached, or make it.

        generation: of the log that the database is attached in. Raises IoFailed, DiskFull,
        AccessDenied if another database has a map of this name.
        """
        exists = self._env.exists(self.path)
        self._file = self._env.open(self.path, "write" if exists else "create")
        self._lock = self._env.lock(self.path)
        try:
            self._load(database)
        except HotsplitError:
            self._types, self._times = bytearray(), []
        if not self._times:
            self.header = FlushMapHeader(bytes(PAGE_SIZE))
            self.header.version, self.header.file_type = VERSION, FILE_TYPE
            self.header.create_time = now
            self._grow(0)
            self._file.truncate(0)
            self._changed.update(range(len(self._times)))
        self.header.attach_time = now
        self._write(database, generation, now)
        if not exists:
            self._env.sync_dir(self.path.rpartition("/")[0])

    def _load(self, database: DatabaseHeader) -> None:
        """Take over the map that the database was closed with."""
        with FlushMapFile.open(self._env, self.path) as file:
            if not (file.header.is_clean and file.header.belongs_to(database)):
                return
            self.header = file.header
            for number in range(file.page_count):
                self._grow(number * PER_PAGE)
                first = number * PER_PAGE
                self._types[first : first + PER_PAGE] = file.flush_types(first, PER_PAGE)
                self._times[number] = file.dbtime_max(number)

    def write(self, database: DatabaseHeader, generation: int, now: LogTime) -> None:
        """Write what changed; all pages of the database must be durable as noted.

        generation: from this log on pages may have been changed that the map does not know.
        """
        self.header.full_flush_started = now
        self._write(database, generation, now)

    def close(self, database: DatabaseHeader, now: LogTime) -> None:
        """Write the map as that of a database that was closed normally; its header is next."""
        self.header.flags |= CLEAN
        self.header.detach_time = self.header.full_flush_started = now
        self._write(database, 0, now)
        self.abandon()

    def _write(self, database: DatabaseHeader, generation: int, now: LogTime) -> None:
        file, header = self._file, self.header
        if file is None:
            return
        for number in sorted(self._changed):
            file.pwrite(self._page(number), (number + 1) * PAGE_SIZE)
        self._changed.clear()
        file.sync()
        if generation:
            header.flags &= ~CLEAN
        header.gen_min_required, header.full_flush_completed = generation, now
        header.header_flush_signature = database.header_flush_signature
        header.flush_map_signature = database.flush_map_signature = self._stamp()
        file.pwrite(header.sealed(), 0)
        file.sync()

    def _page(self, number: int) -> bytes:
        page = FlushMapPage(bytes(PAGE_SIZE))
        page.number, page.dbtime_max = number, self._times[number]
        page.set_flush_types(self._types[number * PER_PAGE : (number + 1) * PER_PAGE])
        return page.sealed()

    def abandon(self) -> None:
        """Let the file go as it is."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None
        if self._file is not None:
            self._file.close()
            self._file = None


def _flush_type(page: bytes | bytearray) -> int:
    return (page[37] >> 7) | (page[38] & 1) << 1
