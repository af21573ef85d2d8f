"""A database under recovery whose file stays as it is: changed pages lie beside it.

What `assess` tries out and what a dirty database is read through. Changed pages go to a scratch
file that has no name any more once it is open, so nothing is left behind whatever happens.
"""

from __future__ import annotations

from hotsplit.errors import FileTruncated, PageDamaged
from hotsplit.errors.jet import Jet
from hotsplit.ese.files.database import DatabaseFile
from hotsplit.ese.files.env import Env, File
from hotsplit.ese.format.header import DatabaseHeader
from hotsplit.ese.recovery.store import seal_page

_IN_MEMORY = 64 << 20


class Scratch:
    """Blocks of one size: in memory while they are few, else in an unnamed file in `folder`."""

    def __init__(self, env: Env, folder: str, size: int, *, budget: int = _IN_MEMORY) -> None:
        self._env, self._folder, self._size = env, folder, size
        self._most = max(1, budget // size)
        self._memory: list[bytes] = []
        self._file: File | None = None

    def put(self, slot: int, data: bytes) -> None:
        """Keep a block; slots are numbered from 0 without holes."""
        if slot < self._most:
            if slot == len(self._memory):
                self._memory.append(data)
            else:
                self._memory[slot] = data
            return
        self._spill().pwrite(data, (slot - self._most) * self._size)

    def get(self, slot: int) -> bytes:
        """Return a block that was kept."""
        if slot < self._most:
            return self._memory[slot]
        return self._spill().pread(self._size, (slot - self._most) * self._size)

    def close(self) -> None:
        """Let all blocks go."""
        self._memory.clear()
        if self._file is not None:
            self._file.close()
            self._file = None

    def _spill(self) -> File:
        if self._file is None:
            path = f"{self._folder}/hotsplit-{self._env.random(8).hex()}.scratch"
            self._file = self._env.open(path, "create")
            self._env.remove(path)
        return self._file


class OverlayStore:
    """Pages of `base` (None: a database that replay creates) under those that were written."""

    def __init__(
        self, env: Env, base: DatabaseFile | None, header: DatabaseHeader, path: str, folder: str
    ) -> None:
        self.base = base
        self.path = path
        self.header = header
        self.page_size: int = header.page_size
        self.reporter = None if base is None else base.reporter
        self._count = 0 if base is None else base.page_count
        self._slots: dict[int, int] = {}
        self._used = 0
        self._holes: list[range] = []
        self._scratch = Scratch(env, folder, self.page_size)

    @classmethod
    def over(cls, env: Env, path: str, folder: str) -> OverlayStore:
        """Open a database file read-only under an overlay. Raises what `DatabaseFile` raises."""
        base = DatabaseFile.open(env, path)
        return cls(env, base, base.header, path, folder)

    @property
    def page_count(self) -> int:
        """See `Store`."""
        return self._count

    @property
    def changed_pages(self) -> list[int]:
        """Numbers of the pages that were written, in order."""
        return sorted(self._slots)

    def read_raw(self, pgno: int, count: int = 1) -> bytes:
        """Return the bytes of pages as they now are; fewer at the end."""
        size, end = self.page_size, min(pgno + count, self._count + 1)
        below = 0 if self.base is None else max(0, min(end, self.base.page_count + 1) - pgno)
        data = bytearray(max(0, end - pgno) * size)
        if self.base is not None and below:
            data[: below * size] = self.base.read_raw(pgno, below)
        for hole in self._holes:
            for page in range(max(pgno, hole.start), min(end, hole.stop)):
                data[(page - pgno) * size : (page - pgno + 1) * size] = bytes(size)
        for page in range(pgno, end):
            slot = self._slots.get(page)
            if slot is not None:
                data[(page - pgno) * size : (page - pgno + 1) * size] = self._scratch.get(slot)
        return bytes(data)

    def _is_of_base(self, pgno: int) -> bool:
        inside = self.base is not None and pgno <= self.base.page_count
        return inside and not any(pgno in hole for hole in self._holes)

    def read_page(self, pgno: int) -> bytes:
        """See `Store`."""
        slot = self._slots.get(pgno)
        if slot is not None:
            return self._scratch.get(slot)
        if not 0 < pgno <= self._count:
            raise FileTruncated(
                f"Page {pgno} lies beyond the end", file=self.path, position=f"page {pgno}"
            )
        if self.base is not None and self._is_of_base(pgno):
            return self.base.read_page(pgno)
        raise PageDamaged(
            "The page is not initialised",
            jet=Jet.errPageNotInitialized,
            file=self.path,
            position=f"page {pgno}",
        )

    def write_page(self, pgno: int, data: bytearray) -> None:
        """See `Store`."""
        seal_page(data, pgno, self.header)
        if pgno not in self._slots:
            self._slots[pgno] = self._used
            self._used += 1
        self._scratch.put(self._slots[pgno], bytes(data))
        self._count = max(self._count, pgno)

    def zero(self, first: int, count: int) -> None:
        """See `Store`."""
        hole = range(first, first + count)
        self._holes.append(hole)
        for pgno in [p for p in self._slots if p in hole]:
            del self._slots[pgno]

    def extend(self, last: int) -> None:
        """See `Store`."""
        self._count = max(self._count, last)

    def shrink(self, last: int) -> None:
        """See `Store`."""
        self.zero(last + 1, max(0, self._count - last))
        self._count = min(self._count, last)

    def write_header(self, header: DatabaseHeader) -> None:
        """See `Store`."""
        self.header = header

    def sync(self) -> None:
        """See `Store`: what is here need not survive."""

    def close(self) -> None:
        """See `Store`."""
        self._scratch.close()
        if self.base is not None:
            self.base.close()
