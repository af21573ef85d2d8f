"""Comparing a database with what the real engine says is in it (`expected.json` of a set)."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from hotsplit.ese.format.columns import ColumnDef, ColumnFlag, Scalar, Value, encode_value
from hotsplit.ese.read.database import Database
from hotsplit.ese.read.table import Table

_MOST = 50  # differences after which the rest does not matter
_TEMPLATE_ID = 0x80000000
# Column flags of the API (what the engine's own listing shows) and of the catalog.
_API_FLAGS = {
    ColumnFlag.NOT_NULL: 0x4,
    ColumnFlag.VERSION: 0x8,
    ColumnFlag.AUTOINCREMENT: 0x10,
    ColumnFlag.MULTI_VALUED: 0x400,
    ColumnFlag.ESCROW: 0x800,
    ColumnFlag.COMPRESSED: 0x80000,
}


def compare_rows(db: Database, expected: Mapping[str, Any], *, indexes: bool = True) -> list[str]:
    """Return how the content of `db` differs from a dump of the engine; empty when equal.

    Compared are: the tables; of each table columns, rows in order with bookmarks and every value,
    index definitions and, with `indexes`, every entry of every index; and that reading had no
    findings. At most 50 differences are returned.
    """
    return list(itertools.islice(_differences(db, expected, indexes), _MOST))


def _differences(db: Database, expected: Mapping[str, Any], indexes: bool) -> Iterator[str]:
    wanted = {t["name"]: t for t in expected["tables"]}
    names = db.tables()
    if sorted(names) != sorted(wanted):
        yield f"tables: {sorted(names)} instead of {sorted(wanted)}"
    for name in names:
        if name in wanted:
            yield from _compare_table(db.table(name), wanted[name], indexes)
    for finding in db.reporter.findings:
        yield f"finding {finding.rule}: {finding.message} ({finding.position})"


def _compare_table(table: Table, wanted: dict[str, Any], indexes: bool) -> Iterator[str]:
    yield from _compare_columns(table, wanted["columns"])
    by_name = {c.name: c for c in table.columns}
    rows = table.records()
    for number, (row, want) in enumerate(itertools.zip_longest(rows, wanted["rows"])):
        where = f"{table.name} row {number}"
        if row is None or want is None:
            yield f"{where}: {'missing' if row is None else 'not expected'}"
            return
        if row.key.hex() != want["bm"]:
            yield f"{where}: bookmark {row.key.hex()} instead of {want['bm']}"
        values = dict(zip(by_name, row.values, strict=True))
        yield from (
            f"{where}.{name}: {_shown(by_name[name], values[name])} instead of {want.get(name)}"
            for name in by_name
            if not _same(by_name[name], values[name], want.get(name))
        )
    if indexes:
        yield from _compare_indexes(table, wanted["indexes"])


def _compare_columns(table: Table, wanted: list[dict[str, Any]]) -> Iterator[str]:
    have = {c.name: c for c in table.columns}
    if sorted(have) != sorted(c["name"] for c in wanted):
        yield f"{table.name}: columns {sorted(have)}"
        return
    for want in wanted:
        column = have[want["name"]]
        flags = sum(api for flag, api in _API_FLAGS.items() if column.flags & flag)
        fid = column.id | (_TEMPLATE_ID if column.flags & ColumnFlag.TEMPLATE else 0)
        mine: tuple[Any, ...] = (fid, column.coltyp, column.size, flags)
        mask = sum(_API_FLAGS.values())
        theirs = (want["id"], want["type"], want["max"], want["grbit"] & mask)
        if mine != theirs:
            yield f"{table.name}.{column.name}: {mine} instead of {theirs}"
        default = column.default_data.hex() if column.default_data is not None else None
        if default != want.get("default"):
            yield f"{table.name}.{column.name}: default {default} instead of {want.get('default')}"


def _compare_indexes(table: Table, wanted: list[dict[str, Any]]) -> Iterator[str]:
    if sorted(i.name for i in table.indexes) != sorted(i["name"] for i in wanted):
        yield f"{table.name}: indexes {[i.name for i in table.indexes]}"
        return
    for want in wanted:
        entries = (
            [e.key.hex(), e.bookmark.hex()] for e in table.entries(table.index(want["name"]))
        )
        for number, (mine, theirs) in enumerate(itertools.zip_longest(entries, want["entries"])):
            if mine != theirs:
                yield f"{table.name} index {want['name']} entry {number}: {mine} not {theirs}"
                break


def _same(column: ColumnDef, value: Value, want: Any) -> bool:
    if value is None or want is None:
        return value is None and want is None
    mine = value if isinstance(value, list) else [value]
    theirs = want if isinstance(want, list) else [want]
    return len(mine) == len(theirs) and all(map(_same_one, [column] * len(mine), mine, theirs))


def _same_one(column: ColumnDef, value: Scalar, want: Any) -> bool:
    if isinstance(want, int):
        return (value == bool(want)) if isinstance(value, bool) else bool(value == want)
    if value is None:
        return False
    data = encode_value(column, value)
    if want.startswith("h:"):
        return data.hex() == str(want)[2:]
    return str(want) == f"s:{len(data)}:{hashlib.sha256(data).hexdigest()}"


def _shown(column: ColumnDef, value: Value) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_shown(column, one) for one in value)}]"
    return repr(value)[:200]
