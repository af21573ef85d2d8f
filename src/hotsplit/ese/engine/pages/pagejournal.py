"""Pages on their way into databases in place, written down first: a torn write can be repeated.

A page torn between two sectors can pass for one with a single wrong bit: the checksum cannot tell
an odd number of flips of the same bit of a word from one flip. So recovery in place never
overwrites a page that does not lie complete and durable in this journal.

Complete, it is carried out again by whoever finds it; incomplete, no database has changed yet. What
the file holds, and what it is for: see `journalfile`.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

from hotsplit.errors import FileMissing
from hotsplit.ese.engine.pages.loggedpaths import Noted, check_meant
from hotsplit.ese.files.env import Env, File
from hotsplit.ese.format.header import DatabaseHeader
from hotsplit.ese.recovery import journalfile
from hotsplit.ese.recovery.journalfile import Part, Written
from hotsplit.ese.recovery.store import WorkStore


class PageJournal:
    """The journal of the stream `base` in `folder`. follow: see `Settings.follow_paths`."""

    def __init__(self, env: Env, folder: str, base: str, *, follow: bool = False) -> None:
        self._env, self.folder, self._follow = env, folder, follow
        self.path = journalfile.journal_path(folder, base)

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
            for block in self._blocks(databases):
                file.pwrite(block, size)
                crc, size = zlib.crc32(block, crc), size + len(block)
            file.sync()
            file.pwrite(journalfile.end(crc), size)
            file.sync()
        finally:
            file.close()

    def _blocks(self, databases: Iterable[Written]) -> Iterator[bytes]:
        yield journalfile.MAGIC
        for written in databases:
            yield from journalfile.blocks(Noted.pack(self.folder, written.store.path), written)

    def carry_out(self) -> None:
        """Write all pages into their databases, headers last; does nothing if it is incomplete.

        Raises FileMissing for a database that is not there any more, DatabaseMismatch (-1216) if
        only the original of this folder has it.
        """
        file = self._env.open(self.path, "read")
        try:
            if journalfile.is_complete(file):
                parts = list(journalfile.parts(file))
                places = [self._place(part) for part in parts]
                for part, path in zip(parts, places, strict=True):
                    self._write_database(file, part, path)
        finally:
            file.close()

    def _place(self, part: Part) -> str:
        noted, path = Noted.place(self._env, self.folder, part.path, follow=self._follow)
        check_meant(self._env, noted, path)
        return path

    def _write_database(self, file: File, part: Part, path: str) -> None:
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
            for pgno, page in journalfile.pages_of(file, part):
                store.file.pwrite(page, (pgno + 1) * store.page_size)
            store.write_header(header)
        finally:
            store.close()

    def remove(self) -> None:
        """Say that the recovery in place is finished."""
        self._env.remove(self.path)
        self._env.sync_dir(self.folder)
