"""Pages that our engine kept beside the logs while they went into a database: tears are mended.

An engine of ours makes each batch of pages durable in one file before its first page goes to the
database; the next batch waits until those are durable in turn. So after a crash every torn page
lies whole in this file. Other engines have no such file.

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
from collections.abc import Callable, Iterator, Sequence

from hotsplit.ese.files.env import Env
from hotsplit.ese.format.checksum import State, page_state
from hotsplit.ese.format.header import PAGE_SIZES, DatabaseHeader
from hotsplit.ese.format.page import Page
from hotsplit.ese.recovery.store import Store

_MAGIC = b"HSPSAFE3"
_HEAD = struct.Struct("<8sIIIHI")  # magic, CRC of what follows, its size, page size, path, pages
_STATE = struct.Struct("<I")
_PER_PAGE = 4
_LARGEST = 16 << 20  # more than any batch
_USABLE = (State.GOOD, State.CORRECTABLE)


def kept_path(folder: str, base: str) -> str:
    """Return the path of the file of a log stream."""
    return f"{folder}/{base}.hotsplit-pages"


def room_for(pages: int, page_size: int, longest_path: int) -> int:
    """Return the bytes that a batch takes at most."""
    return _HEAD.size + longest_path + pages * (page_size + _PER_PAGE)


def pack(path: bytes, header: DatabaseHeader, pages: Sequence[tuple[int, bytearray]]) -> bytes:
    """Return a batch as the file holds it. path: of the database, as its reader will want it."""
    numbers = [pgno for pgno, _ in pages]
    content = b"".join((
        path, _identity(header), struct.pack(f"<{len(numbers)}I", *numbers),
        *[page for _, page in pages],
    ))  # fmt: skip
    head = _HEAD.pack(
        _MAGIC, zlib.crc32(content), len(content), header.page_size, len(path), len(pages)
    )
    return head + content


def _identity(header: DatabaseHeader) -> bytes:
    """Return what tells a database, with the header that it has now, from all others."""
    signatures = header.db_signature.pack(), header.header_flush_signature.pack()
    return b"".join(signatures) + _STATE.pack(header.state)


_IDENTITY = len(_identity(DatabaseHeader.empty(PAGE_SIZES[0])))


class KeptPages:
    """A batch that was kept. path: of its database, as it was given to `pack`."""

    def __init__(self, page_size: int, path: bytes, content: bytes, count: int) -> None:
        self._page_size, self.path = page_size, path
        self._content, self._count = content, count

    @classmethod
    def read(cls, env: Env, path: str) -> KeptPages | None:
        """Read the file; None if it is not there or not whole: no page was written then."""
        if not env.exists(path):
            return None
        file = env.open(path, "read")
        try:
            data = file.pread(min(file.size(), _LARGEST), 0)
        finally:
            file.close()
        if len(data) < _HEAD.size:
            return None
        magic, crc, size, page_size, length, count = _HEAD.unpack_from(data)
        content = data[_HEAD.size : _HEAD.size + size]
        whole = size == length + _IDENTITY + count * (_PER_PAGE + page_size)
        if magic != _MAGIC or not whole or zlib.crc32(content) != crc:
            return None
        return cls(page_size, content[:length], content[length:], count)

    def mend(self, store: Store, put: Callable[[int, bytearray], None]) -> int:
        """Hand pages of a database that may be torn to `put`, as they were kept.

        Returns how many: 0 for another database, or another state of it.
        """
        identity, put_right = _identity(store.header), 0
        if not self._content.startswith(identity) or store.page_size != self._page_size:
            return 0
        for pgno, kept in self._pages(len(identity)):
            found = store.read_raw(pgno)
            if len(found) < self._page_size:
                continue  # the file has not grown yet: replay makes the page
            newer = Page(found, pgno).dbtime > Page(kept, pgno).dbtime
            if found != kept and not (newer and page_state(found, pgno).state in _USABLE):
                put(pgno, bytearray(kept))
                put_right += 1
        return put_right

    def _pages(self, at: int) -> Iterator[tuple[int, bytes]]:
        numbers = struct.unpack_from(f"<{self._count}I", self._content, at)
        at += _PER_PAGE * self._count
        for number in numbers:
            yield number, self._content[at : at + self._page_size]
            at += self._page_size
