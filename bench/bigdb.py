"""A large database for measurements, written page by page in one pass.

One table of rows of about 110 bytes with a primary key, three secondary indexes and long values on
every twentieth row; the catalog describes it and itself. Every rule of ``hotsplit check`` holds.
Run: ``python -m bench.bigdb FILE MEGABYTES [PAGE_SIZE]``.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from hotsplit.ese.format.basics import LogTime, Signature
from hotsplit.ese.format.catalogschema import CATALOG_COLUMNS, RowType, TableFlag
from hotsplit.ese.format.checksum import stamp
from hotsplit.ese.format.columns import Coltyp, ColumnDef, ColumnFlag, Value
from hotsplit.ese.format.header import MAGIC, VERSION, DatabaseHeader, DbState
from hotsplit.ese.format.longvalue import LongValueRoot, chunk_key, chunk_size, root_key
from hotsplit.ese.format.page import Node, Page, PageFlag
from hotsplit.ese.format.record import encode_record
from hotsplit.ese.format.space import Extent, SpaceHeader
from hotsplit.ese.format.taggedcolumns import TaggedField, TagHeader, build_fields

TABLE = 8
FIRST_FREE = 40
LONG_EVERY = 20
_DBTIME = 0x1000
_FLAGS = PageFlag.NEW_RECORD | PageFlag.NEW_CHECKSUM
_EXTENDED = 0x10000
_PRIMARY, _UNIQUE, _SOME_NULLS = 0x20, 0x1, 0xE

COLUMNS = [
    ColumnDef("Id", 1, Coltyp.LONG, 4, ColumnFlag.NOT_NULL, offset=4),
    ColumnDef("Parent", 2, Coltyp.LONG, 4, offset=8),
    ColumnDef("Changed", 3, Coltyp.CURRENCY, 8, offset=12),
    ColumnDef("Flag", 4, Coltyp.BIT, 1, offset=20),
    ColumnDef("Name", 128, Coltyp.TEXT, 255, code_page=1252),
    ColumnDef("Hash", 129, Coltyp.BINARY, 255),
    ColumnDef("Body", 256, Coltyp.LONG_BINARY),
]


def number(value: int) -> bytes:
    """Return the key segment of a Long."""
    return b"\x7f" + (value + 0x80000000).to_bytes(4, "big")


def text(value: str) -> bytes:
    """Return the key segment of code-page text."""
    return b"\x7f" + value.upper().encode("cp1252") + b"\0"


class Writer:
    """Writes pages of one database; trees are built from their nodes in order."""

    def __init__(self, file: BinaryIO, page_size: int) -> None:
        self._file = file
        self.size = page_size
        self.next = FIRST_FREE
        self.reserved: Iterator[int] | None = None

    def put(self, page: Page) -> None:
        """Write one page with its checksum."""
        data = bytearray(page.data)
        stamp(data, page.number)
        self._file.seek((page.number + 1) * self.size)
        self._file.write(data)

    def page(self, pgno: int, objid: int, flags: int) -> Page:
        """Return an empty page."""
        return Page.new(self.size, pgno, objid, _DBTIME, _FLAGS | flags)

    def allocate(self) -> int:
        """Return the next free page, from the reserved ones if there are any."""
        if self.reserved is not None:
            return next(self.reserved)
        self.next += 1
        return self.next - 1

    def tree(
        self, root: int, objid: int, kind: int, external: bytes, nodes: Iterator[Node]
    ) -> None:
        """Write a tree; its pages but the root are allocated one after the other."""
        level = self._leaves(root, objid, kind, external, nodes)
        above = PageFlag.PARENT_OF_LEAF
        while level:
            level = self._level(root, objid, kind | above, external, level)
            above = PageFlag(0)

    def _leaves(
        self, root: int, objid: int, kind: int, external: bytes, nodes: Iterator[Node]
    ) -> list[tuple[bytes, int]]:
        """Write the leaves; return (first bookmark, page) of each, [] if the root is the leaf."""
        pages: list[tuple[bytes, int]] = []
        batch, rest = self._batch(nodes, len(external))
        if rest is None:
            page = self.page(root, objid, kind | PageFlag.ROOT | PageFlag.LEAF)
            page.fill(external, batch)
            self.put(page)
            return pages
        before, pgno = 0, self.allocate()
        while batch:
            following = self.allocate() if rest is not None else 0
            page = self.page(pgno, objid, kind | PageFlag.LEAF)
            page.previous, page.next = before, following
            page.fill(b"", batch)
            self.put(page)
            last = batch[-1]
            pages.append((self._mark(batch[0], kind), pgno))
            before, pgno = pgno, following
            batch, rest = self._batch(nodes, 0, rest) if rest is not None else ([], None)
            assert not batch or batch[0] > last or kind & PageFlag.NON_UNIQUE
        return pages

    def _batch(
        self, nodes: Iterator[Node], used: int, first: Node | None = None
    ) -> tuple[list[Node], Node | None]:
        """Return the nodes of one page and the first one behind it."""
        room = self.size - 80 - 4 - max(used, 16) - 64
        batch: list[Node] = []
        node = first if first is not None else next(nodes, None)
        while node is not None:
            room -= len(node.key) + len(node.data) + 8
            if room < 0 and batch:
                return batch, node
            batch.append(node)
            node = next(nodes, None)
        return batch, None

    @staticmethod
    def _mark(node: Node, kind: int) -> bytes:
        return node.key + node.data if kind & PageFlag.NON_UNIQUE else node.key

    def _level(
        self, root: int, objid: int, flags: int, external: bytes, below: list[tuple[bytes, int]]
    ) -> list[tuple[bytes, int]]:
        """Write internal pages above `below`; return those, [] if the root was one."""
        marks = [mark for mark, _ in below[1:]] + [b""]
        nodes = iter(
            Node(mark, child.to_bytes(4, "little"))
            for mark, (_, child) in zip(marks, below, strict=True)
        )
        batch, rest = self._batch(nodes, len(external))
        if rest is None:
            page = self.page(root, objid, flags | PageFlag.ROOT)
            page.fill(external, batch)
            self.put(page)
            return []
        pages, low = [], below[0][0]
        while batch:
            page = self.page(self.allocate(), objid, flags)
            page.fill(b"", batch)
            self.put(page)
            pages.append((low, page.number))
            low = batch[-1].key
            batch, rest = self._batch(nodes, 0, rest) if rest is not None else ([], None)
        return pages

    def space(self, root: int, objid: int, kind: int, extents: list[Extent]) -> None:
        """Write a space tree of one page."""
        page = self.page(root, objid, kind | PageFlag.ROOT | PageFlag.LEAF | PageFlag.SPACE_TREE)
        page.fill(bytes(16), [Node(*extent.pack()) for extent in extents])
        self.put(page)


def rows(count: int, large: bool) -> Iterator[Node]:
    """Yield the records of the table. large: for pages of 16 KB or more."""
    for i in range(1, count + 1):
        values: dict[str, Value] = {
            "Id": i,
            "Parent": i // 50,
            "Changed": 116444736000000000 + i,
            "Flag": i % 3 == 0,
            "Name": f"message number {i:09d} in folder {i // 50:07d}",
            "Hash": struct.pack("<QQ", i * 0x9E3779B97F4A7C15 % 2**64, i),
        }
        record = encode_record(COLUMNS, values, large)
        if i % LONG_EVERY == 0:
            lid = (i // LONG_EVERY).to_bytes(4, "little")
            field = TaggedField(256, False, TagHeader.LONG | TagHeader.SEPARATED, lid)
            record += build_fields([field], large)
        yield Node(number(i), record)


def long_values(count: int, chunk: int) -> Iterator[Node]:
    """Yield the long values: two chunks each."""
    body = bytes(range(256)) * (chunk // 256 + 1)
    for lid in range(1, count // LONG_EVERY + 1):
        size = chunk + 1000
        yield Node(root_key(lid), LongValueRoot(1, size).pack())
        yield Node(chunk_key(lid, 0), body[:chunk])
        yield Node(chunk_key(lid, chunk), body[: size - chunk])


def entries(make: Callable[[int], bytes], count: int) -> Iterator[Node]:
    """Yield the entries of an index whose keys ascend with the rows."""
    return (Node(make(i), number(i)) for i in range(1, count + 1))


INDEXES: list[tuple[str, str, int, Callable[[int], bytes]]] = [
    ("ByParent", "00000200", _SOME_NULLS, lambda i: number(i // 50)),
    ("ByName", "00008000", _UNIQUE | _SOME_NULLS,
     lambda i: text(f"message number {i:09d} in folder {i // 50:07d}")),
    ("ByChanged", "0000030000000100", _SOME_NULLS,
     lambda i: b"\x7f" + (116444736000000000 + i + (1 << 63)).to_bytes(8, "big") + number(i)),
]  # fmt: skip


def catalog(objects: dict[str, int], last: int) -> list[dict[str, Value]]:
    """Return the rows of the catalog; `objects`: root page by name of the trees of the table."""
    found: list[dict[str, Value]] = []

    def row(objid: int, kind: RowType, ident: int, place: int, name: str, **more: Value) -> None:
        base: dict[str, Value] = {"SpaceUsage": 80, "Flags": 0, "PagesOrLocale": 0}
        mine: dict[str, Value] = {
            "ObjidTable": objid, "Type": int(kind), "Id": ident, "ColtypOrPgnoFDP": place,
            "Name": name,
        }  # fmt: skip
        found.append({**base, **mine, **more})

    system = TableFlag.SYSTEM | TableFlag.FIXED_DDL
    tables = [(2, 4, "MSysObjects", system, 20), (3, 24, "MSysObjectsShadow", system, 5),
              (TABLE, objects["table"], "Big", 0, 3)]  # fmt: skip
    for objid, root, name, flags, pages in tables:
        signed = flags - (1 << 32) if flags >> 31 else flags
        row(objid, RowType.TABLE, objid, root, name, Flags=signed, PagesOrLocale=pages,
            RootFlag=True)  # fmt: skip
        for c in COLUMNS if objid == TABLE else CATALOG_COLUMNS:
            place: dict[str, Value] = {"RecordOffset": c.offset if objid == TABLE else 4}
            row(objid, RowType.COLUMN, c.id, c.coltyp, c.name, SpaceUsage=c.size, Flags=c.flags,
                PagesOrLocale=c.code_page, **(place if c.is_fixed else {}))  # fmt: skip
    key = _EXTENDED | _PRIMARY | _UNIQUE
    ids = bytes.fromhex("000001000000020000000300")
    for objid, root in ((2, 4), (3, 24)):
        row(objid, RowType.INDEX, objid, root, "Id", Flags=key, KeyFldIDs=ids)
    for ident, root, name, flags, segments in (
        (4, 7, "Name", 0x10011, "000001000000020000008000"),
        (5, 10, "RootObjects", 0x10009, "0000080000008000"),
    ):
        row(2, RowType.INDEX, ident, root, name, Flags=flags, KeyFldIDs=bytes.fromhex(segments))
    row(TABLE, RowType.INDEX, TABLE, objects["table"], "Primary", Flags=key,
        KeyFldIDs=bytes.fromhex("00000100"))  # fmt: skip
    for ident, (name, segments, flags, _) in enumerate(INDEXES, TABLE + 1):
        row(TABLE, RowType.INDEX, ident, objects[name], name, Flags=_EXTENDED | flags,
            KeyFldIDs=bytes.fromhex(segments))  # fmt: skip
    row(TABLE, RowType.LONG_VALUE, last, objects["long"], "LV")
    return found


def write_catalog(writer: Writer, rows_: list[dict[str, Value]]) -> None:
    """Write the catalog, its indexes and its shadow."""

    def key(row: dict[str, Value]) -> bytes:
        kind = b"\x7f" + (int(str(row["Type"])) + 0x8000).to_bytes(2, "big")
        return number(int(str(row["ObjidTable"]))) + kind + number(int(str(row["Id"])))

    def name_key(row: dict[str, Value]) -> bytes:
        return key(row)[:8] + text(str(row["Name"]))

    records = sorted(
        Node(key(row), encode_record(CATALOG_COLUMNS, row, writer.size > 8192)) for row in rows_
    )
    names = sorted(Node(name_key(row), key(row)) for row in rows_)
    roots = sorted(
        Node(b"\x7f\xff" + text(str(row["Name"])), key(row)) for row in rows_ if "RootFlag" in row
    )
    free = {objid: iter(range(a, b)) for objid, (a, b) in
            {2: (13, 20), 4: (20, 22), 5: (22, 24), 3: (27, 33)}.items()}  # fmt: skip
    for root, objid, kind, nodes, pages, parent in (
        (4, 2, 0, records, 20, 1), (7, 4, PageFlag.INDEX, names, 3, 4),
        (10, 5, PageFlag.INDEX, roots, 3, 4), (24, 3, 0, records, 9, 1),
    ):  # fmt: skip
        writer.reserved = free[objid]
        header = SpaceHeader(pages, parent, 1, root + 1)
        writer.tree(root, objid, kind, header.pack(), iter(nodes))
    writer.reserved = None
    owned = {2: [Extent(23, 20)], 4: [Extent(9, 3), Extent(21, 2)],
             5: [Extent(12, 3), Extent(23, 2)], 3: [Extent(32, 9)]}  # fmt: skip
    for root, objid, kind in ((4, 2, 0), (7, 4, PageFlag.INDEX), (10, 5, PageFlag.INDEX),
                              (24, 3, 0)):  # fmt: skip
        writer.space(root + 1, objid, kind, owned[objid])
        writer.space(root + 2, objid, kind, [Extent(p, 1) for p in free[objid]])


def build(path: Path, megabytes: float, page_size: int = 8192) -> int:
    """Write a database of about that size; return its number of rows."""
    chunk = chunk_size(page_size)
    count = max(100, int(megabytes * 1e6 / (350 + (chunk + 1100) / LONG_EVERY)))
    with path.open("w+b") as file:
        writer = Writer(file, page_size)
        objects: dict[str, int] = {}
        extents: dict[str, Extent] = {}
        jobs: list[tuple[str, int, int, Iterator[Node]]] = [
            ("table", TABLE, 0, rows(count, page_size > 8192)),
            *(
                (name, objid, PageFlag.INDEX | (0 if flags & _UNIQUE else PageFlag.NON_UNIQUE),
                 entries(make, count))
                for objid, (name, _, flags, make) in enumerate(INDEXES, TABLE + 1)
            ),
            ("long", TABLE + 1 + len(INDEXES), PageFlag.LONG_VALUE, long_values(count, chunk)),
        ]  # fmt: skip
        for name, objid, kind, nodes in jobs:
            root = writer.next
            writer.next += 3
            parent = 1 if name == "table" else objects["table"]
            flags = 1 | 2 * bool(kind & PageFlag.NON_UNIQUE)
            writer.tree(root, objid, kind, SpaceHeader(3, parent, flags, root + 1).pack(), nodes)
            objects[name], extents[name] = root, Extent(writer.next - 1, writer.next - root)
            writer.space(root + 1, objid, kind, [extents[name]])
            writer.space(root + 2, objid, kind, [])
        last = writer.next - 1
        writer.space(objects["table"] + 1, TABLE, 0, list(extents.values()))
        last_objid = TABLE + 1 + len(INDEXES)
        write_catalog(writer, catalog(objects, last_objid))
        _write_root(writer, last)
        file.seek(0)
        file.write(_header(page_size, last_objid) * 2)
    return count


def _write_root(writer: Writer, last: int) -> None:
    root = writer.page(1, 1, PageFlag.ROOT | PageFlag.LEAF)
    root.fill(SpaceHeader(last, 0, 1, 2).pack(), [])
    writer.put(root)
    writer.space(2, 1, 0, [Extent(last, last)])
    writer.space(3, 1, 0, [Extent(FIRST_FREE - 1, FIRST_FREE - 33)])


def _header(page_size: int, last_objid: int) -> bytes:
    header = DatabaseHeader.empty(page_size)
    header.magic, header.version, header.state = MAGIC, VERSION, DbState.CLEAN_SHUTDOWN
    header.dbtime, header.objid_last, header.dbid = _DBTIME, last_objid, 1
    header.update_major, header.page_size_field, header.file_type = 0x14, page_size, 1
    header.db_signature = Signature(0x1234, LogTime(1, 2, 3, 4, 5, 120))
    return header.sealed()


if __name__ == "__main__":
    size_ = int(sys.argv[3]) if len(sys.argv) > 3 else 8192
    print(build(Path(sys.argv[1]), float(sys.argv[2]), size_), "rows")
