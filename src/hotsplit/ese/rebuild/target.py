"""The file of a new database: pages in, a name for it only when everything is complete and durable.

Source: format specification 1.1 (layout), 2.2 (flags), 14.1 and 14.2 (what a writer sees to).
"""

from __future__ import annotations

import contextlib
import os
from types import TracebackType
from typing import Any, Self

from hotsplit.errors import HotsplitError, Jet, TargetExists
from hotsplit.ese.files.env import Env, File
from hotsplit.ese.files.workplace import SUFFIX, keep
from hotsplit.ese.format.basics import NO_SIGNATURE, BackupInfo, LogPosition, LogTime, Signature
from hotsplit.ese.format.checksum import stamp
from hotsplit.ese.format.header import DatabaseHeader, DbState
from hotsplit.ese.format.page import Page, PageFlag
from hotsplit.ese.rebuild.source import OnPage, no_progress

FIRST_DBTIME = 0x40
_FIRST_FLUSH = 0x8000
_NEW_CHECKSUM_FROM = 0xB  # update-major of the first format with ECC checksums
_LAST_PAGE = 0x7FEFFFFF
_MOST = 0xFFFFFFFF
_BLOCK = 1 << 20
_KEPT_FLAGS = 0x01 | 0x03000000  # catalog without shadow; the kind of engine


class NewDatabase:
    """A database that is being written to a file beside `path`.

    like: header of the database that it is made from; page size, format revision, versions and
    object ids are those. Pages that were written can be read, as from any source. on_page: is told
    of each. Used as a context manager: on an error nothing is left behind.
    """

    def __init__(self, env: Env, path: str, like: DatabaseHeader, first_page: int) -> None:
        if env.exists(path):
            raise TargetExists("The result is there already", file=path,
                               hint="Choose a new name with --into.")  # fmt: skip
        self._env, self.path = env, path
        self._work = path + SUFFIX
        if env.exists(self._work):  # left behind by a run that was killed
            keep(env, self._work, path).release()
            env.remove(self._work)
        self.file: File = env.open(self._work, "create")
        self._lock = keep(env, self._work, path)
        self.header = like
        self.page_size: int = like.page_size
        self.next = first_page
        self.dbtime = FIRST_DBTIME
        self._checksums = like.update_major >= _NEW_CHECKSUM_FROM
        self._block = bytearray()
        self._block_first = 0
        self.on_page: OnPage = no_progress

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.file.close()
        if error is not None:
            with contextlib.suppress(HotsplitError):
                self._env.remove(self._work)
        self._lock.release()

    @property
    def last(self) -> int:
        """The highest page number in use."""
        return self.next - 1

    def take(self) -> int:
        """Return the number of a new page at the end."""
        if self.next > _LAST_PAGE:
            raise HotsplitError("The database would be too large", jet=Jet.errOutOfDatabaseSpace)
        number, self.next = self.next, self.next + 1
        return number

    def write(self, page: Page) -> None:
        """Write a page, with a dbtime and a checksum of its own."""
        self.dbtime += 1
        page.dbtime = self.dbtime
        page.flags = page.flags & ~PageFlag.FLUSH_TYPE | _FIRST_FLUSH
        self.put(page)

    def put(self, page: Page) -> None:
        """Write a page as it is but for its checksum. Adjacent pages are written at once."""
        if self._checksums:
            page.flags |= PageFlag.NEW_CHECKSUM
        data = bytearray(page.data)
        stamp(data, page.number)
        expected = self._block_first + len(self._block) // self.page_size
        if page.number != expected or len(self._block) >= _BLOCK:
            self.flush()
            self._block_first = page.number
        self._block += data
        self.on_page(1)

    def flush(self) -> None:
        """Hand all pages to the file, so that they can be read."""
        if self._block:
            self.file.pwrite(self._block, (self._block_first + 1) * self.page_size)
            self._block = bytearray()

    def read_page(self, pgno: int) -> bytes:
        """Return a page that was written."""
        self.flush()
        return self.file.pread(self.page_size, (pgno + 1) * self.page_size)

    def finish(self, header: DatabaseHeader) -> None:
        """Make the pages durable, then both headers, and give the file its name."""
        self.flush()
        self.file.truncate((self.last + 2) * self.page_size)
        self.file.sync()
        block = header.sealed()
        for offset in (0, self.page_size):
            self.file.pwrite(block, offset)
            self.file.sync()
        if self._env.exists(self.path):
            raise TargetExists("The result is there already", file=self.path)
        self._env.rename(self._work, self.path)
        self._env.sync_dir(os.path.dirname(os.path.abspath(self.path)))  # noqa: PTH100, PTH120

    def new_header(self) -> DatabaseHeader:
        """Return the header: a clean database with a signature of its own, of no log stream."""
        header = clean_header(self.header, self._env)
        header.dbtime = self.dbtime
        header.dbtime_last_scrub, header.scrub_time = 0, LogTime()
        header.repair_count_old = (header.repair_count_old + header.repair_count) & _MOST
        header.repair_count, header.repair_time = 0, LogTime()
        for old, new in (("ecc_fix_success_old", "ecc_fix_success"),
                         ("ecc_fix_fail_old", "ecc_fix_fail"),
                         ("bad_checksum_old", "bad_checksum")):  # fmt: skip
            setattr(header, old, (getattr(header, old) + getattr(header, new)) & _MOST)
            setattr(header, new, 0)
        return header


def clean_header(like: DatabaseHeader, env: Env) -> DatabaseHeader:
    """Return a copy of a header for a database of another signature that no log belongs to.

    Old logs can then not be replayed on it (14.1).
    """
    header: Any = DatabaseHeader(like.raw)
    now = LogTime.from_datetime(env.now())
    header.db_signature = Signature(_number(env), now)
    header.log_signature = header.flush_map_signature = header.rbs_header_signature = NO_SIGNATURE
    header.header_flush_signature = Signature(_number(env), now)
    header.set_clean(LogPosition(), now)
    header.state, header.dbid = DbState.CLEAN_SHUTDOWN, 1
    header.attach = header.last_reattach = header.last_resize = LogPosition()
    header.attach_time, header.last_reattach_time = now, LogTime()
    for name in ("full_previous", "incremental_previous", "full_current", "snapshot_current",
                 "copy_previous", "differential_previous"):  # fmt: skip
        setattr(header, f"backup_{name}", BackupInfo())
    header.flags = header.flags & _KEPT_FLAGS
    header.scan_highest = header.scan_highest_continuous = 0
    header.scan_previous_time = header.scan_start_time = LogTime()
    return DatabaseHeader(header.raw)


def _number(env: Env) -> int:
    return int.from_bytes(env.random(4), "little") or 1
