"""The flush map beside a database: flush types by page number. Source: format spec. 11.3."""

from __future__ import annotations

import contextlib
import os.path
from collections.abc import Iterator
from typing import Self

from hotsplit.errors import HotsplitError
from hotsplit.ese.files.env import Env, File
from hotsplit.ese.files.opened import Closing, closed_on_error, located
from hotsplit.ese.format.flushmap import PAGE_SIZE, PER_PAGE, FlushMapHeader, FlushMapPage
from hotsplit.ese.format.header import DatabaseHeader, DbState


def flush_map_path(database: str) -> str:
    """Return where the flush map of a database lies: same name, ending ``.jfm``."""
    return os.path.splitext(database)[0] + ".jfm"  # noqa: PTH122 - paths are plain strings


@contextlib.contextmanager
def proving_map(env: Env, database: str, header: DatabaseHeader) -> Iterator[FlushMapFile | None]:
    """Yield the flush map beside a database if it proves which writes were lost, else None.

    That does a map that was closed together with the database; while the engine runs, the map on
    disk lags behind the pages. One that is damaged, or of another state of the file, is none: the
    engine would make it anew.
    """
    path = flush_map_path(database)
    try:
        found = FlushMapFile.open(env, path) if path != database and env.exists(path) else None
    except HotsplitError:
        found = None
    if found is None:
        yield None
        return
    with found:
        clean = found.header.is_clean and header.state == DbState.CLEAN_SHUTDOWN
        yield found if clean and found.header.belongs_to(header) else None


class FlushMapFile(Closing):
    """An open flush map, read only."""

    def __init__(self, file: File) -> None:
        self.file = file
        self.path = file.path
        with located(self.path):
            self.header = FlushMapHeader.unpack(file.pread(PAGE_SIZE, 0))
        self._number = -1
        self._types = b""

    @classmethod
    def open(cls, env: Env, path: str) -> Self:
        """Open a file. Raises HeaderDamaged, NotEseFile, UnsupportedVersion, FileMissing."""
        file = env.open(path, "read")
        with closed_on_error(file):
            return cls(file)

    @property
    def page_count(self) -> int:
        """Number of pages of the map, its header aside."""
        return max(0, self.file.size() // PAGE_SIZE - 1)

    def dbtime_max(self, number: int) -> int:
        """Return the highest dbtime that page `number` of the map knows of, 0 if it is damaged."""
        page = self._read(number)
        return 0 if page is None else page.dbtime_max

    def _read(self, number: int) -> FlushMapPage | None:
        return FlushMapPage.unpack(self.file.pread(PAGE_SIZE, (number + 1) * PAGE_SIZE), number)

    def flush_types(self, first: int, count: int) -> bytes:
        """Return the flush types of database pages `first` to `first + count - 1`.

        0 (unknown) stands for what a missing or damaged page of the map would say.
        """
        found = bytearray()
        while len(found) < count:
            number, at = divmod(first + len(found), PER_PAGE)
            found += self._page_types(number)[at : at + count - len(found)]
        return bytes(found)

    def _page_types(self, number: int) -> bytes:
        if number != self._number:
            page = self._read(number)
            self._types = bytes(PER_PAGE) if page is None else page.flush_types()
            self._number = number
        return self._types

    def close(self) -> None:
        """Close the file."""
        self.file.close()
