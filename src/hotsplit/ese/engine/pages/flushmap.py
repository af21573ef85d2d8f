"""The flush map of a database in use: which of its three flush types each page was written with.

A page that is read with another flush type is not the one written last: the disk lost a write. The
map is read page by page when it is asked, so that to open a database costs the same whatever its
size. It is written beside the database with each move of the checkpoint, when the pages that it
speaks of are durable; so after a crash every page that differs from it is one that the logs from
its least generation on change.

Its header and that of the database know each other by two signatures. Each write of one of the
files changes one of them, so that the other one still matches whenever the machine stops.

Source: format specification 11.3; log specification 5.1 (the checkpoint stays behind the map).
"""

from __future__ import annotations

import contextlib
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


class _Part:
    """One page of the map. types: flush type by page; dbtime: the highest that is known of."""

    def __init__(self, types: bytearray, dbtime: int) -> None:
        self.types, self.dbtime = types, dbtime


class FlushMap:
    """See the module. stamp: gives the signature of a header that is about to be written."""

    def __init__(self, env: Env, database: str, stamp: Callable[[], Signature]) -> None:
        self._env, self.path, self._stamp = env, flush_map_path(database), stamp
        self._parts: dict[int, _Part] = {}
        self._stored = 0  # pages of the map in the file that was adopted
        self._changed: set[int] = set()
        self._file: File | None = None
        self._lock: Lock | None = None
        self.header = FlushMapHeader(bytes(PAGE_SIZE))

    # What is known of pages

    def note(self, pgno: int, page: bytes | bytearray) -> None:
        """A page was written."""
        number, at = divmod(pgno, PER_PAGE)
        part = self._part(number)
        part.types[at] = _flush_type(page)
        part.dbtime = max(part.dbtime, int.from_bytes(page[8:16], "little"))
        self._changed.add(number)

    def check(self, pgno: int, page: bytes | bytearray) -> None:
        """Compare a page that was read. Raises PageDamaged (-1119)."""
        found = _flush_type(page)
        expected = self._part(pgno // PER_PAGE).types[pgno % PER_PAGE]
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
        first, at = divmod(last + 1, PER_PAGE)
        for number in range(first, max(self._stored, *self._parts, 0) + 1):
            types = self._part(number).types
            if any(types[at:]):
                types[at:] = bytes(PER_PAGE - at)
                self._changed.add(number)
            at = 0

    def _part(self, number: int) -> _Part:
        """Return a page of the map; one that cannot be read knows nothing."""
        part = self._parts.get(number)
        if part is None:
            part = self._parts[number] = self._read(number) or _Part(bytearray(PER_PAGE), 0)
        return part

    def _read(self, number: int) -> _Part | None:
        if self._file is None or number >= self._stored:
            return None
        try:
            data = self._file.pread(PAGE_SIZE, (number + 1) * PAGE_SIZE)
        except HotsplitError:
            return None
        page = FlushMapPage.unpack(data, number)
        return None if page is None else _Part(bytearray(page.flush_types()), page.dbtime_max)

    # The file

    def begin(self, database: DatabaseHeader, generation: int, now: LogTime) -> None:
        """Open the map of a database that is being attached, or make it.

        generation: of the log that the database is attached in. Raises IoFailed, DiskFull,
        AccessDenied if another database has a map of this name.
        """
        exists = self._env.exists(self.path)
        self._file = self._env.open(self.path, "write" if exists else "create")
        self._lock = self._env.lock(self.path)
        with contextlib.suppress(HotsplitError):
            self._adopt(database)
        if not self._stored:
            self.header = FlushMapHeader(bytes(PAGE_SIZE))
            self.header.version, self.header.file_type = VERSION, FILE_TYPE
            self.header.create_time = now
            self._file.truncate(0)
            self._part(0)
            self._changed.add(0)
        self.header.attach_time = now
        self._write(database, generation, now)
        if not exists:
            self._env.sync_dir(self.path.rpartition("/")[0])

    def _adopt(self, database: DatabaseHeader) -> None:
        """Take over the map that the database was closed with."""
        with FlushMapFile.open(self._env, self.path) as file:
            if file.header.is_clean and file.header.belongs_to(database):
                self.header, self._stored = file.header, file.page_count

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
        if self._changed:
            file.sync()
        self._changed.clear()
        if generation:
            header.flags &= ~CLEAN
        header.gen_min_required, header.full_flush_completed = generation, now
        header.header_flush_signature = database.header_flush_signature
        header.flush_map_signature = database.flush_map_signature = self._stamp()
        file.pwrite(header.sealed(), 0)
        file.sync()

    def _page(self, number: int) -> bytes:
        page, part = FlushMapPage(bytes(PAGE_SIZE)), self._parts[number]
        page.number, page.dbtime_max = number, part.dbtime
        page.set_flush_types(part.types)
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
