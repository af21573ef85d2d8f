"""Pages on their way into databases in place, written down first: a torn write can be repeated.

A page torn between two sectors can pass for one with a single wrong bit: the checksum cannot tell
an odd number of flips of the same bit of a word from one flip. So recovery in place never
overwrites a page that does not lie complete and durable in this journal.

The file lies beside the logs while a recovery in place is under way, and only then. Complete, it is
carried out again by whoever finds it; incomplete, no database has changed yet. It is for databases
with a header that they had at its begin or got from it: one with any other was put in the place of
what was recovered, or has been recovered by somebody else, and is left alone.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from hotsplit.errors import FileMissing
from hotsplit.ese.engine.pages.loggedpaths import Noted, check_meant
from hotsplit.ese.files.env import Env, File
from hotsplit.ese.format.header import DatabaseHeader
from hotsplit.ese.recovery.overlay import OverlayStore
from hotsplit.ese.recovery.store import WorkStore

_MAGIC = b"HSPJOUR4"
_DATABASE = struct.Struct("<IIII?")
"""Bytes of path, page size, pages that follow, pages of the file, whether recovery makes it."""

_HEADERS = range(3)  # of each: before, under way, at the end
_PAGE = struct.Struct("<I")
_END = struct.Struct("<8sI")
_DONE = b"COMPLETE"
_CHUNK = 1 << 20


class Written(NamedTuple):
    """A database that is to be written. before: the header that it has, None if recovery makes it.

    under_way: the header that it has meanwhile. That says that the database is dirty and needs all
    logs up to the current one, so a copy of the files that is taken in the middle can be recovered
    by anybody, who has no journal.
    """

    store: OverlayStore
    before: DatabaseHeader | None
    under_way: DatabaseHeader


class _Part(NamedTuple):
    """One database in the journal; `offset` is where its pages begin. is_new: recovery makes it."""

    path: bytes
    is_new: bool
    before: bytes
    under_way: bytes
    header: bytes
    pages: int
    page_count: int
    offset: int


class PageJournal:
    """The journal of the stream `base` in `folder`. follow: see `Settings.follow_paths`."""

    def __init__(self, env: Env, folder: str, base: str, *, follow: bool = False) -> None:
        self._env, self.folder, self._follow = env, folder, follow
        self.path = f"{folder}/{base}.hotsplit-journal"

    @property
    def exists(self) -> bool:
        """A recovery in place was begun and not finished."""
        return self._env.exists(self.path)

    def begin(self) -> None:
        """Say that a recovery in place begins."""
        if self.exists:
            self._env.remove(self.path)
        self._env.open(self.path, "create").close()
        self._env.sync_dir(self.folder)

    def write(self, databases: Iterable[Written]) -> None:
        """Write down the changed pages and the headers of databases; durable on return."""
        file = self._env.open(self.path, "write")
        try:
            crc = size = 0
            for block in _blocks(self.folder, databases):
                file.pwrite(block, size)
                crc, size = zlib.crc32(block, crc), size + len(block)
            file.sync()
            file.pwrite(_END.pack(_DONE, crc), size)
            file.sync()
        finally:
            file.close()

    def carry_out(self) -> None:
        """Write all pages into their databases, headers last; does nothing if it is incomplete.

        Raises FileMissing for a database that is not there any more, DatabaseMismatch (-1216) if
        only the original of this folder has it.
        """
        file = self._env.open(self.path, "read")
        try:
            if _is_complete(file):
                places = [self._place(part) for part in _parts(file)]
                for part, path in zip(_parts(file), places, strict=True):
                    self._write_database(file, part, path)
        finally:
            file.close()

    def _place(self, part: _Part) -> str:
        noted, path = Noted.place(self._env, self.folder, part.path, follow=self._follow)
        check_meant(self._env, noted, path)
        return path

    def _write_database(self, file: File, part: _Part, path: str) -> None:
        under_way, header = DatabaseHeader(part.under_way), DatabaseHeader(part.header)
        if self._env.exists(path):
            store = WorkStore.open_work(self._env, path)
        elif part.is_new:
            store = WorkStore.create(self._env, path, under_way)
        else:  # the journal has not all of it
            raise FileMissing(
                "The database is gone, and its recovery was interrupted",
                file=path,
                hint=f"Put it back, or give it up: delete {self.path}.",
            )
        try:
            if store.header.sealed() not in (part.before, part.under_way, part.header):
                return
            store.write_header(under_way)
            store.extend(part.page_count)
            store.shrink(part.page_count)
            entry = _PAGE.size + len(part.header)
            for number in range(part.pages):
                data = file.pread(entry, part.offset + number * entry)
                (pgno,) = _PAGE.unpack_from(data)
                store.file.pwrite(data[_PAGE.size :], (pgno + 1) * store.page_size)
            store.write_header(header)
        finally:
            store.close()

    def remove(self) -> None:
        """Say that the recovery in place is finished."""
        self._env.remove(self.path)
        self._env.sync_dir(self.folder)


def _blocks(folder: str, databases: Iterable[Written]) -> Iterator[bytes]:
    yield _MAGIC
    for store, before, under_way in databases:
        path, changed = Noted.pack(folder, store.path), store.changed_pages
        is_new = before is None
        yield _DATABASE.pack(len(path), store.page_size, len(changed), store.page_count, is_new)
        yield path
        yield bytes(store.page_size) if before is None else before.sealed()
        yield under_way.sealed()
        yield store.header.sealed()
        for pgno in changed:
            yield _PAGE.pack(pgno) + store.read_raw(pgno)


def _is_complete(file: File) -> bool:
    size = file.size() - _END.size
    if size < len(_MAGIC) or file.pread(len(_MAGIC), 0) != _MAGIC:
        return False
    done, wanted = _END.unpack(file.pread(_END.size, size))
    crc = 0
    for offset in range(0, size, _CHUNK):
        crc = zlib.crc32(file.pread(min(_CHUNK, size - offset), offset), crc)
    return bool(done == _DONE and crc == wanted)


def _parts(file: File) -> Iterator[_Part]:
    """Yield the databases of a complete journal."""
    offset, end = len(_MAGIC), file.size() - _END.size
    while offset < end:
        head = file.pread(_DATABASE.size, offset)
        length, page_size, pages, count, is_new = _DATABASE.unpack(head)
        offset += _DATABASE.size
        path = file.pread(length, offset)
        offset += length
        headers = (file.pread(page_size, offset + n * page_size) for n in _HEADERS)
        before, under_way, header = headers
        offset += len(_HEADERS) * page_size
        yield _Part(path, is_new, before, under_way, header, pages, count, offset)
        offset += pages * (_PAGE.size + page_size)
