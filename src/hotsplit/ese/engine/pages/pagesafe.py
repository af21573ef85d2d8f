"""Pages on their way into a database in use, kept until they have arrived: tears can be mended.

Each batch of pages is written to one file beside the logs and made durable there, before its first
page goes to the database; the next batch waits until those are durable in turn. So after a crash
every torn page lies whole in this file. (The published engine trusts that pages do not tear.)

A checksum cannot tell all tears: not one that passes for a wrong bit (see `pagejournal`), nor one
of a page of numbers that all changed alike, whose differences cancel out. So a page is replaced
unless it is newer than the one kept, which only another engine can have made it.

Whoever writes the header of a database has made all its pages durable before. So a batch is for the
database with the very header that it had then: what has another one does not need it, and may be
something else, such as an older state of the same database that was put in its place.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

from hotsplit.errors import DiskFull, Jet
from hotsplit.ese.engine.pages.loggedpaths import Noted
from hotsplit.ese.files.env import Env, File
from hotsplit.ese.format.checksum import State, page_state
from hotsplit.ese.format.page import Page
from hotsplit.ese.recovery.store import Store, WorkStore

_MAGIC = b"HSPSAFE2"
_HEAD = struct.Struct("<8sIIIHI")  # magic, CRC of what follows, its size, page size, path, pages
_LONGEST_PATHS = 2 * 4096
_PER_PAGE = 4
BATCH = 256
"""Most pages that are kept at a time."""

_USABLE = (State.GOOD, State.CORRECTABLE)


class PageSafe:
    """The safe of the stream `base` in `folder`. mended: pages put right by `mend`.

    follow: see `Settings.follow_paths`.
    """

    def __init__(self, env: Env, folder: str, base: str, *, follow: bool = False) -> None:
        self._env, self._folder, self._follow = env, folder, follow
        self.path = f"{folder}/{base}.hotsplit-pages"
        self.mended = 0
        self._file: File | None = None
        self._last: Store | None = None
        self._is_named = False  # durably

    def begin(self, page_size: int) -> None:
        """Make the file, with space for every batch: a full disk cannot stop a write of pages.

        Raises DiskFull (-529): it lies on the disk of the logs.
        """
        self._file = self._open()
        try:
            self._file.allocate(_HEAD.size + _LONGEST_PATHS + BATCH * (page_size + _PER_PAGE))
        except DiskFull as error:
            self.close()
            raise DiskFull(
                "There is no space for pages on their way into databases",
                jet=Jet.errLogDiskFull,
                file=self.path,
                hint="Free space on the disk of the logs, then open the instance again.",
            ) from error

    def keep(self, store: Store, pages: Sequence[tuple[int, bytearray]]) -> None:
        """Make pages durable that are about to be written; those before must have arrived."""
        assert self._file is not None
        if self._last is not None:
            self._last.sync()
        self._last = store
        self._file.pwrite(_pack(self._folder, store, pages), 0)
        self._file.sync()
        if not self._is_named:
            self._env.sync_dir(self._folder)
            self._is_named = True

    def _open(self) -> File:
        if self._env.exists(self.path):
            return self._env.open(self.path, "write")
        return self._env.open(self.path, "create")

    def forget(self, store: Store) -> None:
        """A database is complete on disk and will be closed."""
        if self._last is store:
            self._last = None

    def close(self) -> None:
        """Let the file go, as it is."""
        if self._file is not None:
            self._file.close()
            self._file = None
        self._last = None

    def mend(self) -> None:
        """Put pages right that a crash tore; then the file is of no more use."""
        if not self._env.exists(self.path):
            return
        file = self._env.open(self.path, "read")
        try:
            self._mend(file.pread(file.size(), 0))
        finally:
            file.close()

    def _mend(self, data: bytes) -> None:
        if len(data) < _HEAD.size:
            return
        magic, crc, size, page_size, length, count = _HEAD.unpack_from(data)
        content = data[_HEAD.size : _HEAD.size + size]
        if magic != _MAGIC or zlib.crc32(content) != crc:
            return  # no page of this batch was written
        _, path = Noted.place(self._env, self._folder, content[:length], follow=self._follow)
        if not self._env.exists(path):
            return
        store = WorkStore.open_work(self._env, path)
        try:
            meant = _state(store)
            at = length + len(meant)
            if content[length:at] != meant or store.page_size != page_size:
                return
            numbers = struct.unpack_from(f"<{count}I", content, at)
            at += 4 * count
            for i, pgno in enumerate(numbers):
                start = at + i * page_size
                self._mend_page(store, pgno, content[start : start + page_size])
            store.sync()
        finally:
            store.close()

    def _mend_page(self, store: WorkStore, pgno: int, kept: bytes) -> None:
        found = store.read_raw(pgno)
        if len(found) < store.page_size:
            return  # the file has not grown yet: replay makes the page
        newer = Page(found, pgno).dbtime > Page(kept, pgno).dbtime
        if found != kept and not (newer and page_state(found, pgno).state in _USABLE):
            store.file.pwrite(kept, (pgno + 1) * store.page_size)
            self.mended += 1

    def remove(self) -> None:
        """All pages have arrived for good."""
        self.close()
        if self._env.exists(self.path):
            self._env.remove(self.path)
            self._env.sync_dir(self._folder)


def _state(store: Store) -> bytes:
    """Return what tells a database, with the header that it has now, from all others."""
    header = store.header
    return header.db_signature.pack() + header.header_flush_signature.pack()


def _pack(folder: str, store: Store, pages: Sequence[tuple[int, bytearray]]) -> bytes:
    path = Noted.pack(folder, store.path)
    numbers = [pgno for pgno, _ in pages]
    content = b"".join((
        path, _state(store), struct.pack(f"<{len(numbers)}I", *numbers),
        *[page for _, page in pages],
    ))  # fmt: skip
    head = _HEAD.pack(
        _MAGIC, zlib.crc32(content), len(content), store.page_size, len(path), len(pages)
    )
    return head + content
