"""Make a large database out of a small one: the rows of one table, again and again.

The table's tree and that of its long values are built anew behind the end of the file, every copy
of a row with its own key and its own long values. Other readers read the result; its space trees
do not know the new pages, so it is for reading only.

Run: ``python bench/grow.py SOURCE TABLE ROWS TARGET``. The table's primary key must be of
numbers and times, which get ascending values.
"""

from __future__ import annotations

import itertools
import shutil
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.format.checksum import stamp
from hotsplit.ese.format.columns import Coltyp, ColumnDef
from hotsplit.ese.format.compression import compress_seven_bit, compress_xpress
from hotsplit.ese.format.longvalue import LongValueRoot, pack_lid, parse_lid, root_key
from hotsplit.ese.format.page import Node, Page, PageFlag, common_prefix
from hotsplit.ese.format.record import encode_record
from hotsplit.ese.format.taggedcolumns import (
    Instance,
    TaggedField,
    TagHeader,
    build_fields,
    join_instances,
    parse_fields,
    split_instances,
)
from hotsplit.ese.read.database import Database
from hotsplit.ese.read.table import Table

_KIND = PageFlag.LONG_VALUE | PageFlag.INDEX | PageFlag.NON_UNIQUE | PageFlag.NEW_RECORD
_KIND |= PageFlag.NEW_CHECKSUM
_FULL = 0.94
_NUMBERS = (Coltyp.LONG, Coltyp.UNSIGNED_LONG, Coltyp.LONG_LONG)


class TreeWriter:
    """Writes a tree behind the end of a file: leaves as nodes come, internal pages at the end."""

    def __init__(self, file: Path, root: Page, first: int) -> None:
        self.next = first
        self._file = file.open("r+b")
        self._root, self._size = root, root.size
        self._kind = root.flags & _KIND
        self._external = root.external
        self._nodes: list[Node] = []
        self._used = 0
        self._children: list[tuple[bytes, int]] = []  # first key, page
        self._previous = 0

    def add(self, key: bytes, data: bytes) -> None:
        """Add a node; keys must ascend."""
        need = len(key) + len(data) + 8
        if self._nodes and self._used + need > (self._size - 100) * _FULL:
            self._leaf(last=False)
        self._nodes.append(Node(key, data))
        self._used += need

    def _leaf(self, *, last: bool) -> None:
        page = self._page(self._kind | PageFlag.LEAF, self._nodes)
        page.previous, page.next = self._previous, 0 if last else self.next
        self._children.append((self._nodes[0].key, page.number))
        self._previous = page.number
        self._write(page)
        self._nodes, self._used = [], 0

    def _page(self, flags: int, nodes: list[Node]) -> Page:
        page = Page.new(self._size, self.next, self._root.objid, self._root.dbtime, flags)
        self.next += 1
        page.fill(nodes[0].key[: common_prefix(nodes[0].key, nodes[-1].key)], nodes)
        return page

    def _write(self, page: Page) -> None:
        data = bytearray(page.data)
        stamp(data, page.number)
        self._file.seek((page.number + 1) * self._size)
        self._file.write(data)

    def finish(self) -> None:
        """Write the internal pages, and the root where it was."""
        self._leaf(last=True)
        below, level = PageFlag.PARENT_OF_LEAF, self._children
        while len(level) * 40 > self._size - 200:
            level = list(self._level(level, below))
            below = PageFlag(0)
        root = self._root
        root.format(root.objid, root.dbtime, self._kind | PageFlag.ROOT | below)
        root.fill(self._external, self._pointers(level, last=True))
        self._write(root)
        self._file.close()

    def _level(self, children: list[tuple[bytes, int]], below: int) -> Iterator[tuple[bytes, int]]:
        fanout = (self._size - 200) // 60
        for start in range(0, len(children), fanout):
            part = children[start : start + fanout + 1]
            last = start + fanout >= len(children)
            page = self._page(self._kind | below, self._pointers(part, last=last))
            self._write(page)
            yield children[start][0], page.number

    @staticmethod
    def _pointers(part: list[tuple[bytes, int]], *, last: bool) -> list[Node]:
        """Return nodes whose keys are the first keys to the right of each child."""
        keys = [key for key, _ in part[1:]] + ([b""] if last else [])
        return [
            Node(key, pgno.to_bytes(4, "little"))
            for key, (_, pgno) in zip(keys, part, strict=False)
        ]


def grow(source: Path, name: str, rows: int, target: Path) -> None:
    """Write a copy of `source` to `target` in which table `name` has `rows` rows."""
    shutil.copyfile(source, target)
    target.chmod(0o644)
    with Database.open(OsEnv(), str(source)) as db:
        table = db.table(name)
        first = target.stat().st_size // db.page_size - 1
        records = list(table.tree().nodes())
        values = _long_values(table)
        root = _root(db, table.definition.root)
        pool = _root(db, table.definition.long_value_root) if values else None
        columns = _key_columns(table)
        large = db.page_size > 8192
    lids = itertools.count(_first_lid(values))
    lists: list[tuple[int, list[tuple[bytes, bytes]]]] = []
    writer = TreeWriter(target, root, first)
    for number, node in zip(range(1, rows + 1), itertools.cycle(records), strict=False):
        used = dict.fromkeys(_lids(node.data, large)) if values else {}
        mapping = {lid: next(lids) for lid in used}
        lists += [(new, values[old]) for old, new in mapping.items()]
        key, data = _renumbered(node.data, columns, number)
        if mapping:
            data = _with_lids(data, mapping, large)
        writer.add(key, data)
    writer.finish()
    if pool is not None:
        tree = TreeWriter(target, pool, writer.next)
        for lid, nodes in lists:
            for suffix, data in nodes:
                tree.add(root_key(lid) + suffix, data)
        tree.finish()


def _root(db: Database, pgno: int) -> Page:
    return Page(bytearray(db.source.read_page(pgno)), pgno)


def _key_columns(table: Table) -> list[ColumnDef]:
    primary = next(index for index in table.indexes if index.is_primary)
    columns = {c.id: c for c in table.columns if c.is_fixed and not c.derived}
    found = [columns[segment.column_id] for segment in primary.key]
    if any(c.coltyp not in (*_NUMBERS, Coltyp.DATE_TIME) for c in found):
        raise SystemExit(f"{table.name}: the primary key is not of numbers and times")
    return found


def _renumbered(record: bytes, columns: list[ColumnDef], number: int) -> tuple[bytes, bytes]:
    """Return (key, record) with the number, or a time so many seconds after 2009, in its place."""
    key, data = b"", bytearray(record)
    for column in columns:
        if column.coltyp in _NUMBERS:
            size = column.stored_size
            value, body = number.to_bytes(size, "little"), number.to_bytes(size, "big")
            if column.coltyp != Coltyp.UNSIGNED_LONG:
                body = bytes([body[0] ^ 0x80]) + body[1:]
        else:
            value = struct.pack("<d", 40000 + number / 86400)
            body = bytes([value[7] ^ 0x80]) + value[6::-1]
        data[column.offset : column.offset + len(value)] = value
        key += b"\x7f" + body
    return key, bytes(data)


def _long_values(table: Table) -> dict[int, list[tuple[bytes, bytes]]]:
    """Return (key behind the id, data) of the nodes of each long value."""
    if not table.definition.long_value_root:
        return {}
    values: dict[int, list[tuple[bytes, bytes]]] = {}
    for node in table.long_values().tree.nodes():
        size = 8 if node.key[0] & 0x80 else 4
        lid = int.from_bytes(node.key[:size], "big")
        values.setdefault(lid, []).append((node.key[size:], node.data))
    return values


def _first_lid(values: dict[int, list[tuple[bytes, bytes]]]) -> int:
    return 0x8000000080000001 if any(lid >> 63 for lid in values) else 1


def _split(record: bytes) -> int:
    """Return where the tagged part begins."""
    last, end = record[1], int.from_bytes(record[2:4], "little")
    if last < 128:
        return end
    start = end + 2 * (last - 127)
    return start + (int.from_bytes(record[start - 2 : start], "little") & 0x7FFF)


def _instances(field: TaggedField) -> list[Instance]:
    return split_instances(field.header, field.data) if field.data is not None else []


def _lids(record: bytes, large: bool) -> Iterator[int]:
    for field in parse_fields(record[_split(record) :], large):
        for instance in _instances(field):
            if instance.separated:
                yield parse_lid(instance.data)


def _with_lids(record: bytes, mapping: dict[int, int], large: bool) -> bytes:
    at = _split(record)
    fields = [_mapped(field, mapping) for field in parse_fields(record[at:], large)]
    return record[:at] + build_fields(fields, large)


def _mapped(field: TaggedField, mapping: dict[int, int]) -> TaggedField:
    """Return the entry with other long-value ids; they have the size of the old ones."""
    data = field.data
    for instance in _instances(field):
        if instance.separated and data is not None:
            new = pack_lid(mapping[parse_lid(instance.data)])
            if field.header & TagHeader.MULTI:
                data = _replace_last(data, instance.data, new)
            else:
                data = new
    return field._replace(data=data)


def _replace_last(data: bytes, old: bytes, new: bytes) -> bytes:
    at = data.rfind(old)
    return data[:at] + new + data[at + len(old) :]


def grow_mixed(source: Path, rows: int, target: Path) -> None:
    """Write a copy of `source` in which table Tagged has `rows` rows of the usual kind.

    Each has two numbers, a text, a GUID, a text compressed to 7 bits and some flags as tagged
    columns; every fourth has a separated long value of 2,000 bytes, compressed with XPRESS.
    """
    shutil.copyfile(source, target)
    target.chmod(0o644)
    with Database.open(OsEnv(), str(source)) as db:
        table = db.table("Tagged")
        root, pool = (_root(db, pgno) for pgno in _roots(table))
        first = target.stat().st_size // db.page_size - 1
        large = db.page_size > 8192
    columns = {column.name: column for column in table.columns}
    writer = TreeWriter(target, root, first)
    body = compress_xpress(
        (b"A line of a message that somebody wrote to somebody else. " * 40)[:2000]
    )
    for number in range(1, rows + 1):
        record = encode_record([columns["id"]], {"id": number}, large)
        fields = list(_usual(columns, number))
        if number % 4 == 0:
            lid = pack_lid(0x8000000080000000 + number)
            fields.append(_field(columns["tCmpBin"], [Instance(lid, separated=True)]))
        key = b"\x7f" + (number ^ 0x80000000).to_bytes(4, "big")
        writer.add(key, record + build_fields(fields, large))
    writer.finish()
    values = TreeWriter(target, pool, writer.next)
    for number in range(4, rows + 1, 4):
        key = root_key(0x8000000080000000 + number)
        values.add(key, LongValueRoot(1, 2000).pack())
        values.add(key + bytes(4), body or b"")
    values.finish()


def _roots(table: Table) -> tuple[int, int]:
    return table.definition.root, table.definition.long_value_root


def _usual(columns: dict[str, ColumnDef], number: int) -> Iterator[TaggedField]:
    text = f"The subject of message {number}".encode("utf-16-le")
    yield _field(columns["tLong"], [Instance(struct.pack("<i", n)) for n in (number, 7)])
    yield _field(columns["tText"], [Instance(text)])
    packed = compress_seven_bit(
        f"Folder {number % 50}, item {number}".encode("utf-16-le"), text=True
    )
    yield _field(columns["tCmpText"], [Instance(packed or b"", compressed=True)])
    yield _field(columns["tGuid"], [Instance(number.to_bytes(16, "big"))])
    yield _field(columns["tBit"], [Instance(b"\xff")])
    yield _field(columns["tDbl"], [Instance(struct.pack("<d", number / 3))])


def _field(column: ColumnDef, instances: list[Instance]) -> TaggedField:
    header, data = join_instances(instances, long=column.is_long, large=False)
    return TaggedField(column.id, column.derived, header, data)


if __name__ == "__main__":
    grow(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
