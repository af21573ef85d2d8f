"""The file in which our engine writes down what a recovery in place is about to write.

The file lies beside the logs while a recovery in place is under way, and only then. Complete, it
holds every page that may be torn; incomplete, no database has changed yet. It is for databases with
a header that they had at its begin or got from it: one with any other was put in the place of what
was recovered, or has been recovered by somebody else.

    magic | per database: head, path, header before, under way, at the end, pages | end with CRC-32
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from hotsplit.errors import DataDamaged
from hotsplit.ese.files.env import Env, File
from hotsplit.ese.format.header import PAGE_SIZES, DatabaseHeader
from hotsplit.ese.recovery.overlay import OverlayStore
from hotsplit.ese.recovery.store import Store

MAGIC = b"HSPJOUR4"
_DATABASE = struct.Struct("<IIII?")
"""Bytes of path, page size, pages that follow, pages of the file, whether recovery makes it."""

_HEADERS = range(3)  # of each: before, under way, at the end
_PAGE = struct.Struct("<I")
_END = struct.Struct("<8sI")
_DONE = b"COMPLETE"
_CHUNK = 1 << 20
_GIVE_UP = "Delete it; the databases are then as the interrupted recovery left them."


class Written(NamedTuple):
    """A database that is to be written. before: the header that it has, None if recovery makes it.

    under_way: the header that it has meanwhile. That says that the database is dirty and needs all
    logs up to the current one, so a copy of the files that is taken in the middle can be recovered
    by anybody, who has no journal.
    """

    store: OverlayStore
    before: DatabaseHeader | None
    under_way: DatabaseHeader


class Part(NamedTuple):
    """One database in the journal; `offset` is where its pages begin. is_new: recovery makes it."""

    path: bytes
    is_new: bool
    before: bytes
    under_way: bytes
    header: bytes
    pages: int
    page_count: int
    offset: int


def journal_path(folder: str, base: str) -> str:
    """Return the path of the file of a log stream."""
    return f"{folder}/{base}.hotsplit-journal"


def blocks(path: bytes, written: Written) -> Iterator[bytes]:
    """Yield what the file holds of a database. path: as its reader will want it."""
    store, before, under_way = written
    changed, is_new = store.changed_pages, before is None
    yield _DATABASE.pack(len(path), store.page_size, len(changed), store.page_count, is_new)
    yield path
    yield bytes(store.page_size) if before is None else before.sealed()
    yield under_way.sealed()
    yield store.header.sealed()
    for pgno in changed:
        yield _PAGE.pack(pgno) + store.read_raw(pgno)


def end(crc: int) -> bytes:
    """Return what makes the file complete. crc: of all before it."""
    return _END.pack(_DONE, crc)


def is_complete(file: File) -> bool:
    """Tell whether everything is in the file."""
    size = file.size() - _END.size
    if size < len(MAGIC) or file.pread(len(MAGIC), 0) != MAGIC:
        return False
    done, wanted = _END.unpack(file.pread(_END.size, size))
    crc = 0
    for offset in range(0, size, _CHUNK):
        crc = zlib.crc32(file.pread(min(_CHUNK, size - offset), offset), crc)
    return bool(done == _DONE and crc == wanted)


def parts(file: File) -> Iterator[Part]:
    """Yield the databases of a complete journal. Raises DataDamaged if it is no journal of ours."""
    offset, behind = len(MAGIC), file.size() - _END.size
    while offset < behind:
        head = file.pread(_DATABASE.size, offset)
        length, page_size, pages, count, is_new = _DATABASE.unpack(head)
        offset += _DATABASE.size
        size = length + len(_HEADERS) * page_size + pages * (_PAGE.size + page_size)
        if page_size not in PAGE_SIZES or pages > count or offset + size > behind:
            raise DataDamaged("The journal makes no sense", file=file.path, hint=_GIVE_UP)
        path = file.pread(length, offset)
        offset += length
        headers = (file.pread(page_size, offset + n * page_size) for n in _HEADERS)
        before, under_way, header = headers
        offset += len(_HEADERS) * page_size
        yield Part(path, is_new, before, under_way, header, pages, count, offset)
        offset += pages * (_PAGE.size + page_size)


def pages_of(file: File, part: Part) -> Iterator[tuple[int, bytes]]:
    """Yield (number, content) of the pages of a database."""
    entry = _PAGE.size + len(part.header)
    for number in range(part.pages):
        data = file.pread(entry, part.offset + number * entry)
        yield _PAGE.unpack_from(data)[0], data[_PAGE.size :]


def mend(env: Env, path: str, stores: Sequence[Store]) -> Iterator[tuple[Store, int]]:
    """Write pages of databases whose recovery in place was interrupted, as the journal has them.

    path: of the journal. Yields each such database with the number of its pages; there is none
    where nothing was written yet.
    """
    if not env.exists(path):
        return
    file = env.open(path, "read")
    try:
        for part in parts(file) if is_complete(file) else ():
            for store in [s for s in stores if s.header.sealed() == part.under_way]:
                store.extend(part.page_count)
                for pgno, page in pages_of(file, part):
                    store.write_page(pgno, bytearray(page))
                yield store, part.pages
    finally:
        file.close()
