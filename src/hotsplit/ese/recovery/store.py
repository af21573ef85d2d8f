"""The work copy of a database: pages read, verified, changed and written back during recovery."""

from __future__ import annotations

from hotsplit.ese.files.database import DatabaseFile
from hotsplit.ese.files.env import Env
from hotsplit.ese.format.checksum import stamp
from hotsplit.ese.format.header import DatabaseHeader
from hotsplit.ese.format.page import Page, PageFlag

_FLUSH_SHIFT = 15


class WorkStore(DatabaseFile):
    """A database file of ours, opened for writing."""

    @classmethod
    def open_work(cls, env: Env, path: str) -> WorkStore:
        """Open a work copy. Raises what `DatabaseFile` raises."""
        file = env.open(path, "write")
        try:
            return cls(file)
        except BaseException:
            file.close()
            raise

    def write_page(self, pgno: int, data: bytearray) -> None:
        """Write a page with a fresh checksum and the next flush type (format 2.2)."""
        page = Page(data, pgno)
        kind = page.flags >> _FLUSH_SHIFT & 3
        page.flags = page.flags & ~PageFlag.FLUSH_TYPE | (kind % 3 + 1) << _FLUSH_SHIFT
        if self.header.update_major >= 0xB:
            page.flags |= PageFlag.NEW_CHECKSUM
        stamp(data, pgno)
        self.file.pwrite(data, (pgno + 1) * self.page_size)

    def extend(self, last: int) -> None:
        """Grow the file to hold page `last`; it never shrinks here."""
        size = (last + 2) * self.page_size
        if size > self.file.size():
            self.file.truncate(size)

    def write_header(self, header: DatabaseHeader) -> None:
        """Write both copies, each durable before the next, after all pages (format 1.2)."""
        block = header.sealed()
        self.file.sync()
        self.file.pwrite(block, 0)
        self.file.sync()
        self.file.pwrite(block, self.page_size)
        self.file.sync()
