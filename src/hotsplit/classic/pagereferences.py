"""Which pages the records of a log touch, and how many reads and writes a replay of it may need.

The engine's model of I/O: pages that follow each other are read in one go up to 512 KB, across
pages that are not needed, too; writes are only joined if nothing lies between. Source: log
specification 10.1 (the table), record fields of 4.2.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from hotsplit.ese.format.logrecord import LogRecord
from hotsplit.ese.format.recordparts import emptied_pages, scan_checked
from hotsplit.ese.format.recordtable import RecordType as T

_LARGEST_IO = 512 * 1024

# What is entered in the table, so that a log that is made for it cannot fill the memory; more is
# only counted.
_MOST_PAGES = 1 << 20
_MOST_FREED = 1 << 14
_WIDTH = 102
_HEAD = (
    "DBID   # Page Refs  # Cache Pages  # IOs  # Pages IO  # Reads  # Pages Read  # Writes"
    "  # Pages Written"
)
_NODES = (
    *(T.INSERT, T.FLAG_INSERT, T.FLAG_INSERT_AND_REPLACE, T.FLAG_DELETE, T.REPLACE),
    *(T.REPLACE_DIFF, T.DELETE, T.DELTA, T.DELTA64, T.SET_EXTERNAL_HEADER, T.UNDO, T.SCRUB),
)
_FORMATTED = "new"
_SEEN = "seen"
_CHANGED = "changed"

# Fields that name pages, and what is done to these.
_PAGES: dict[T, tuple[tuple[str, str], ...]] = {
    **dict.fromkeys(_NODES, (("pgno", _CHANGED),)),
    **dict.fromkeys(
        (T.SPLIT, T.SPLIT2),
        (
            ("pgno", _CHANGED),
            ("pgno_new", _FORMATTED),
            ("pgno_parent", _CHANGED),
            ("pgno_right", _CHANGED),
        ),
    ),
    **dict.fromkeys(
        (T.MERGE, T.MERGE2),
        tuple((name, _CHANGED) for name in ("pgno", "pgno_right", "pgno_left", "pgno_parent")),
    ),
    T.CREATE_MULTIPLE_EXTENT_FDP: (
        ("pgno", _CHANGED),
        ("pgno_oe", _FORMATTED),
        ("pgno_ae", _FORMATTED),
    ),
    T.CREATE_SINGLE_EXTENT_FDP: (("pgno", _FORMATTED),),
    **dict.fromkeys(
        (T.CONVERT_FDP, T.CONVERT_FDP2),
        (("pgno", _CHANGED), ("pgno_oe", _FORMATTED), ("pgno_ae", _FORMATTED)),
    ),
    T.PAGE_MOVE: (
        ("pgno", _CHANGED),
        ("pgno_target", _FORMATTED),
        ("pgno_parent", _CHANGED),
        ("pgno_left", _CHANGED),
        ("pgno_right", _CHANGED),
    ),
    T.SCAN_CHECK2: (("pgno", _SEEN),),
    T.NEW_PAGE: (("pgno", _FORMATTED),),
}


class Reference(NamedTuple):
    """A page that a record touches. read, written: whether replay must do so."""

    dbid: int
    pgno: int
    read: bool
    written: bool


def references(record: LogRecord) -> Iterator[Reference]:
    """Yield the pages of a record, once for each time that it touches them.

    Freed extents are left out: their pages are not named one by one. Raises LogDamaged when the
    content of the record makes no sense.
    """
    for name, use in _PAGES.get(record.type, ()):
        pgno = getattr(record, name)
        if pgno:
            yield Reference(record.dbid, pgno, use != _FORMATTED, use != _SEEN)
    if record.type == T.EMPTY_TREE:
        for page in emptied_pages(record):
            yield Reference(record.dbid, page.pgno, True, True)
    elif record.type == T.SCAN_CHECK:
        found = scan_checked(record)
        yield Reference(found.dbid, found.pgno, True, False)


@dataclass
class _Counts:
    """One line of the table."""

    references: int = 0
    cached: int = 0
    reads: int = 0
    pages_read: int = 0
    writes: int = 0
    pages_written: int = 0

    def add(self, other: _Counts) -> None:
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)

    def text(self, title: str) -> str:
        return (
            f"{title:>5}  {self.references:11}  {self.cached:13}  {self.reads + self.writes:5}"
            f"  {self.pages_read + self.pages_written:10}  {self.reads:7}  {self.pages_read:12}"
            f"  {self.writes:8}  {self.pages_written:15}"
        )


class PageReferences:
    """Collects the references of a log: how often each page is named, whether read and written.

    count: of all references.
    """

    def __init__(self) -> None:
        self.count = 0
        self._pages: dict[tuple[int, int], list[int]] = {}
        self._freed = 0

    def add(self, record: LogRecord) -> None:
        """Take a record in. Raises LogDamaged when its content makes no sense."""
        if record.type in (T.EXTENT_FREED, T.EXTENT_FREED2):
            self._add_extent(record.dbid, record.pgno_first, max(0, record.cpg_extent))
        for reference in references(record):
            self._enter(reference)

    def _add_extent(self, dbid: int, first: int, pages: int) -> None:
        entered = min(pages, _MOST_FREED - self._freed)
        self._freed += entered
        for pgno in range(first, first + entered):
            self._enter(Reference(dbid, pgno, True, False))
        self.count += pages - entered

    def _enter(self, reference: Reference) -> None:
        self.count += 1
        key = reference.dbid, reference.pgno
        entry = self._pages.get(key)
        if entry is None:
            if len(self._pages) >= _MOST_PAGES:
                return
            entry = self._pages[key] = [0, False, False]
        entry[0] += 1
        entry[1] |= reference.read
        entry[2] |= reference.written

    def table(self, page_size: int) -> Iterator[str]:
        """Yield the lines of the table."""
        yield "=" * _WIDTH
        yield _HEAD
        yield "-" * _WIDTH
        total = _Counts()
        for dbid in sorted({dbid for dbid, _ in self._pages}):
            counts = self._database(dbid, page_size)
            total.add(counts)
            yield counts.text(str(dbid))
        total.references = self.count
        yield total.text("Total")
        yield "=" * _WIDTH

    def _database(self, dbid: int, page_size: int) -> _Counts:
        pages = sorted((pgno, entry) for (d, pgno), entry in self._pages.items() if d == dbid)
        counts = _Counts(sum(entry[0] for _, entry in pages), len(pages))
        most = _LARGEST_IO // page_size
        read = [pgno for pgno, entry in pages if entry[1]]
        written = [pgno for pgno, entry in pages if entry[2]]
        counts.reads, counts.pages_read = _joined(read, most, most)
        counts.writes, counts.pages_written = _joined(written, most, 0)
        return counts


def _joined(pages: list[int], most: int, gap: int) -> tuple[int, int]:
    """Return how many I/Os of at most `most` pages there are, and pages moved by them.

    gap: pages between that may be moved along.
    """
    count = moved = start = last = 0
    for pgno in pages:
        between = pgno - last - 1
        if not count or between > gap or pgno - start + 1 > most:
            count += 1
            moved += 1
            start = pgno
        else:
            moved += pgno - last
        last = pgno
    return count, moved
