"""Where a database's pages lie during recovery: a work copy that is changed."""

from __future__ import annotations

import os.path
from typing import Protocol, Self

from hotsplit.errors import TargetExists
from hotsplit.ese.check.owned import last_owned_page
from hotsplit.ese.files.database import DatabaseFile
from hotsplit.ese.files.env import Env
from hotsplit.ese.files.opened import closed_on_error
from hotsplit.ese.format.checksum import stamp
from hotsplit.ese.format.header import Choice, DatabaseHeader
from hotsplit.ese.format.page import Page, PageFlag

_FLUSH_SHIFT, _FLUSH_TYPE = 15, int(PageFlag.FLUSH_TYPE)
_NEW_CHECKSUM = int(PageFlag.NEW_CHECKSUM)
_NEW_CHECKSUM_FROM = 0xB  # update-major of the first format with ECC checksums
_ZERO_BLOCK = 1 << 20
UNNAMED = ".hotsplit-new"
"""What follows the name of a database that has no header yet."""


class Store(Protocol):
    """A database under recovery. Page numbers start at 1; a page has `page_size` bytes."""

    path: str
    header: DatabaseHeader
    page_size: int

    @property
    def page_count(self) -> int:
        """Number of numbered pages."""
        ...

    def read_page(self, pgno: int) -> bytes:
        """Return a verified page. Raises PageDamaged (-1018, -1019), FileTruncated (-4001)."""
        ...

    def read_raw(self, pgno: int, count: int = 1) -> bytes:
        """Return the bytes of pages as they are; fewer at the end."""
        ...

    def write_page(self, pgno: int, data: bytearray) -> None:
        """Write a page, stamping its checksum; the database grows if need be."""
        ...

    def zero(self, first: int, count: int) -> None:
        """Make pages that exist all zero."""
        ...

    def extend(self, last: int) -> None:
        """Grow to hold page `last`; never shrinks."""
        ...

    def shrink(self, last: int) -> None:
        """Cut off what lies behind page `last`."""
        ...

    def write_header(self, header: DatabaseHeader) -> None:
        """Make all pages durable, then the header."""
        ...

    def sync(self) -> None:
        """Make everything durable."""
        ...

    def close(self) -> None:
        """Let the files go."""
        ...


def seal_page(data: bytearray, pgno: int, header: DatabaseHeader) -> None:
    """Give a page that is to be written its next flush type (format 2.2) and its checksum."""
    page = Page(data, pgno)
    flags = page.flags
    flags = flags & ~_FLUSH_TYPE | ((flags >> _FLUSH_SHIFT & 3) % 3 + 1) << _FLUSH_SHIFT
    if header.update_major >= _NEW_CHECKSUM_FROM:
        flags |= _NEW_CHECKSUM
    page.flags = flags
    stamp(data, pgno)


_MOST_GROWTH = 16  # a file cut to a sixteenth gets its length back; no hostile one fills a disk


def fit_size(store: Store) -> None:
    """Give the file the length that the database owns, as the engine does when recovery ends.

    What lies behind is nobody's; what is missing is empty. A damaged space tree changes nothing,
    and none makes the file more than `_MOST_GROWTH` times as long.
    """
    owned, count = last_owned_page(store), store.page_count
    if owned is None or owned > _MOST_GROWTH * count:
        return
    if owned < count:
        store.shrink(owned)
    elif owned > count:
        store.extend(owned)


class WorkStore(DatabaseFile):
    """A database file of ours, opened for writing."""

    @classmethod
    def open_work(cls, env: Env, path: str) -> Self:
        """Open a work copy. Raises what `DatabaseFile` raises."""
        file = env.open(path, "write")
        with closed_on_error(file):
            return cls(file)

    @classmethod
    def create(cls, env: Env, path: str, header: DatabaseHeader) -> Self:
        """Make a new database of a header alone. Raises TargetExists and what the Env raises.

        It gets its name when the header is durable: no file under that name is without one.
        """
        if env.exists(path):
            raise TargetExists("The database is there already", file=path)
        unnamed = path + UNNAMED
        if env.exists(unnamed):
            env.remove(unnamed)
        file = env.open(unnamed, "create")
        try:
            file.pwrite(header.sealed() * 2, 0)
            file.sync()
        except BaseException:
            file.close()
            env.remove(unnamed)
            raise
        file.close()
        env.rename(unnamed, path)
        try:
            env.sync_dir(os.path.dirname(os.path.abspath(path)))  # noqa: PTH100, PTH120
            return cls.open_work(env, path)
        except BaseException:
            env.remove(path)
            raise

    def read_raw(self, pgno: int, count: int = 1) -> bytes:
        """See `DatabaseFile`. Room that was never written is not read: logs fill it often."""
        size, offset = self.page_size * count, (pgno + 1) * self.page_size
        if self.file.has_data(offset, size):
            return self.file.pread(size, offset)
        return bytes(max(0, min(size, self.file.size() - offset)))

    def write_page(self, pgno: int, data: bytearray) -> None:
        """See `Store`."""
        seal_page(data, pgno, self.header)
        self.file.pwrite(data, (pgno + 1) * self.page_size)

    def zero(self, first: int, count: int) -> None:
        """See `Store`."""
        end = min(first + count, self.page_count + 1)
        start, size = (first + 1) * self.page_size, max(0, end - first) * self.page_size
        for offset in range(0, size, _ZERO_BLOCK):
            self.file.pwrite(bytes(min(_ZERO_BLOCK, size - offset)), start + offset)

    def extend(self, last: int) -> None:
        """See `Store`. What a cut file has of its last page does not become a page."""
        size, now = (last + 2) * self.page_size, self.file.size()
        if size > now:
            if now % self.page_size:
                self.file.truncate(now - now % self.page_size)
            self._grow(size)

    def _grow(self, size: int) -> None:
        self.file.truncate(size)

    def shrink(self, last: int) -> None:
        """See `Store`."""
        size = (last + 2) * self.page_size
        if size < self.file.size():
            self.file.truncate(size)

    def sync(self) -> None:
        """See `Store`."""
        self.file.sync()

    def write_header(self, header: DatabaseHeader) -> None:
        """Write both copies, each durable before the next, after all pages (format 1.2).

        A copy that is damaged comes first: a crash that tears the other one finds this one whole.
        """
        block, places = header.sealed(), [0, self.page_size]
        if self.choice.copy == "primary" and not self.choice.other_is_good:
            places.reverse()
        self.file.sync()
        for place in places:
            self.file.pwrite(block, place)
            self.file.sync()
        self.choice = Choice(header, "primary", True, True)
