"""Every index entry with Unicode text of the real databases and of the vectors, made again."""

from __future__ import annotations

import itertools
import struct
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hotsplit.errors import HotsplitError
from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.format.catalogschema import IndexDef
from hotsplit.ese.format.collation import KeyUnknown
from hotsplit.ese.format.columns import TEXT_TYPES, UTF16, ColumnDef
from hotsplit.ese.format.keys import record_key
from hotsplit.ese.read.cursor import _stored
from hotsplit.ese.read.database import Database
from hotsplit.ese.read.table import Table
from tests.conftest import unpack_vector

_CORPUS = {  # equal, not covered
    "engine/Catalog1.edb": (1014, 0),
    "engine/index.edb": (2, 0),
    "ntds/adamntds.dit": (1257, 6),
    "ntds/ntds.dit": (6963, 0),
    "ual/hyperv/Current.mdb": (96, 0),
    "ual/nondomain/Current.mdb": (106, 0),
}
_SETS = ("crash-p4096-ckpt", "crash-p16384-circ", "crash-p32768-ckpt")


def _judge(db: Database) -> Counter[str]:
    """Count the entries of all indexes with Unicode text: equal, different, not covered."""
    found: Counter[str] = Counter()
    for table in map(db.table, db.tables(system=True)):
        rows: dict[bytes, list[Any]] = {}
        for index in table.indexes:
            columns = table.key_columns(index)
            if not any(c.coltyp in TEXT_TYPES and c.code_page == UTF16 for c in columns):
                continue
            if not rows:
                rows = _rows(table)
            places = [table.columns.index(c) for c in columns]
            for key, bookmark in _entries(table, index):
                if bookmark in rows:
                    values = [rows[bookmark][place] for place in places]
                    found[_verdict(columns, index, values, key)] += 1
    return found


def _rows(table: Table) -> dict[bytes, list[Any]]:
    return {row.key: row.values for row in table.records()}


def _entries(table: Table, index: IndexDef) -> Iterator[tuple[bytes, bytes]]:
    try:
        yield from table.entries(index)
    except HotsplitError:  # a table that was never filled
        return


def _verdict(columns: list[ColumnDef], index: IndexDef, values: list[Any], key: bytes) -> str:
    try:
        return "equal" if key in _keys(columns, index, values) else "different"
    except KeyUnknown:
        return "not covered"


def _keys(columns: list[ColumnDef], index: IndexDef, values: list[Any]) -> set[bytes]:
    made = set()
    for one in itertools.product(*(v if isinstance(v, list) else [v] for v in values)):
        stored = [_stored(c, v) for c, v in zip(columns, one, strict=True)]
        for first in _tuples(index, stored[0]):
            made.add(record_key(columns, index, [first, *stored[1:]]))
    return made


def _tuples(index: IndexDef, text: bytes | None) -> list[bytes | None]:
    if not index.tuple_limits or text is None:
        return [text]
    numbers = struct.unpack(f"<{len(index.tuple_limits) // 4}I", index.tuple_limits)
    least, most, count, step, start = (*numbers, 1, 0)[:5]
    starts = range(2 * start, 2 * (start + count * step), 2 * step)
    parts: list[bytes | None] = [text[at : at + 2 * most] for at in starts]
    return [part for part in parts if part is not None and len(part) >= 2 * least]


@pytest.mark.parametrize("name", _CORPUS)
def test_real_databases(corpus: Path, name: str) -> None:
    with Database.open(OsEnv(), str(corpus / name)) as db:
        found = _judge(db)
    assert (found["equal"], found["not covered"]) == _CORPUS[name]
    assert not found["different"]


@pytest.mark.parametrize("name", _SETS)
def test_vectors(shared: Path, name: str) -> None:
    with Database.open(OsEnv(), str(unpack_vector(name) / "recovered" / "test.edb")) as db:
        found = _judge(db)
    assert not found["different"]
    assert found["equal"] > 60
    assert not found["not covered"]
