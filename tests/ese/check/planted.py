"""A real database in memory in which single defects can be planted."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from hotsplit.ese.check.integrity import CheckResult, check_database
from hotsplit.ese.files.env import File, OsEnv
from hotsplit.ese.format.checksum import header_checksum, stamp
from hotsplit.ese.format.flushmap import (
    CLEAN,
    FILE_TYPE,
    PAGE_SIZE,
    PER_PAGE,
    FlushMapHeader,
    FlushMapPage,
)
from hotsplit.ese.format.header import DatabaseHeader
from hotsplit.ese.format.page import Node, Page
from hotsplit.ese.format.record import RecordPlan
from hotsplit.ese.format.space import SpaceHeader
from hotsplit.ese.read.database import Database
from hotsplit.ese.read.table import Table
from hotsplit.report import Reporter


class MemoryFile:
    """A file that is only read."""

    def __init__(self, path: str, data: bytes) -> None:
        self.path, self._data = path, data

    def pread(self, size: int, offset: int) -> bytes:
        return self._data[offset : offset + size]

    def size(self) -> int:
        return len(self._data)

    def close(self) -> None: ...


class MemoryEnv(OsEnv):
    """One database in memory, and the flush map beside it if there is one."""

    def __init__(self, data: bytes, flush_map: bytes = b"") -> None:
        self._data, self._flush_map = data, flush_map

    def open(self, path: str, mode: str) -> File:
        data = self._flush_map if path.endswith(".jfm") else self._data
        return MemoryFile(path, data)  # type: ignore[return-value]

    def exists(self, path: str) -> bool:
        return path == "test.jfm" and bool(self._flush_map)


def check(data: bytes, flush_map: bytes = b"") -> CheckResult:
    """Check a database in memory."""
    return check_database(MemoryEnv(data, flush_map), "test.edb", Reporter(limit=100_000))


class Planter:
    """The bytes of a database; pages can be edited, and get their checksums in `check`."""

    def __init__(self, path: Path) -> None:
        self.data = bytearray(path.read_bytes())
        self.flush_map = b""
        self._db = Database.open(MemoryEnv(bytes(self.data)), "test.edb")
        self.size = self._db.page_size
        self.before = Counter(check(bytes(self.data)).reporter.counts)
        self._touched: dict[int, Page] = {}

    def copy(self) -> Planter:
        """Return another one of the same database, whose pages are edited on their own."""
        other = copy.copy(self)
        other.data, other._touched = bytearray(self.data), {}
        return other

    # Editing

    def page(self, pgno: int) -> Page:
        """Return a page; changes of it are changes of the database."""
        if pgno not in self._touched:
            at = (pgno + 1) * self.size
            self._touched[pgno] = Page(memoryview(self.data)[at : at + self.size], pgno)
        return self._touched[pgno]

    @property
    def last(self) -> int:
        return len(self.data) // self.size - 2

    def header(self) -> DatabaseHeader:
        return DatabaseHeader(self.data[: self.size])

    def set_header(self, header: DatabaseHeader) -> None:
        """Write both copies."""
        self.data[: 2 * self.size] = header.sealed() * 2

    def set_header_copy(self, which: int, header: DatabaseHeader) -> None:
        at = which * self.size
        self.data[at : at + self.size] = header.sealed()
        assert header.checksum == header_checksum(header.raw)

    def seal(self) -> None:
        for pgno, page in self._touched.items():
            copy = bytearray(page.data)
            stamp(copy, pgno)
            page.data[:] = copy

    def check(self) -> CheckResult:
        """Check the database as it is now."""
        self.seal()
        return check(bytes(self.data), self.flush_map)

    def added(self, result: CheckResult) -> set[str]:
        """Return the rules that have more findings than before."""
        return set(Counter(result.reporter.counts) - self.before)

    def map_flushes(self, wrong: int = 0) -> None:
        """Make a flush map of the pages as they are, closed with the database.

        wrong: a page that it says was written once more.
        """
        types = bytearray(PER_PAGE)
        for pgno in range(1, self.last + 1):
            at = (pgno + 1) * self.size + 36
            types[pgno] = int.from_bytes(self.data[at : at + 4], "little") >> 15 & 3
        types[wrong] = types[wrong] % 3 + 1 if wrong else 0
        page = FlushMapPage.empty(PAGE_SIZE)
        page.set_flush_types(types)
        header, database = FlushMapHeader.empty(PAGE_SIZE), self.header()
        header.version, header.flags, header.file_type = 3, CLEAN, FILE_TYPE
        database.flush_map_signature = header.flush_map_signature = database.db_signature
        self.set_header(database)
        self.flush_map = header.sealed() + page.sealed()

    # Finding places

    def table(self, name: str) -> Table:
        return self._db.table(name)

    def children(self, pgno: int) -> list[int]:
        return [int.from_bytes(node.data, "little") for node in self.page(pgno).nodes()]

    def leaves(self, root: int) -> list[int]:
        """Return the leaves of a tree in order."""
        level = [root]
        while not self.page(level[0]).is_leaf:
            level = [child for pgno in level for child in self.children(pgno)]
        return level

    def space(self, root: int) -> SpaceHeader:
        return SpaceHeader.unpack(self.page(root).external)

    def nodes(self, root: int) -> Iterator[tuple[Page, int, Node]]:
        """Yield all live nodes of a tree with their places."""
        for pgno in self.leaves(root):
            page = self.page(pgno)
            for i, node in enumerate(page.nodes()):
                if not node.is_deleted:
                    yield page, i, node

    def catalog_row(self, table: str, row_type: int, name: str = "") -> tuple[Page, int, Node]:
        """Return the place of a catalog row, by table, type and name."""
        objid = self.table(table).definition.objid
        for page, i, node in self.nodes(4):
            wanted = b"\x7f" + (objid + 0x80000000).to_bytes(4, "big")
            kind = b"\x7f" + (row_type + 0x8000).to_bytes(2, "big")
            if node.key.startswith(wanted + kind) and name.encode() in node.data:
                return page, i, node
        raise LookupError(f"{table} {row_type} {name}")

    def change_catalog(self, table: str, row_type: int, name: str, edit: object) -> None:
        """Change a row in the catalog and its shadow: `edit` maps record to record."""
        _, _, wanted = self.catalog_row(table, row_type, name)
        for root in (4, 24):
            for page, i, node in self.nodes(root):
                if node.key == wanted.key:
                    data = edit(node.data)  # type: ignore[operator]
                    page.replace_data(i, data, node.flags)

    def values(self, table: str, record: bytes) -> dict[str, object]:
        columns = self.table(table).columns
        values, _ = RecordPlan(columns).decode(record, self.size > 8192)
        return dict(zip([c.name for c in columns], values, strict=True))
