"""What the engine writes, read by two independent readers: every value of every row."""

from __future__ import annotations

import random
import struct
import uuid
from pathlib import Path
from typing import Any

import pyesedb
import pytest
from dissect.database.ese import ESE

from hotsplit.ese.engine.instance import Instance
from hotsplit.ese.engine.schema.definitions import Column, Index
from hotsplit.ese.engine.settings import Settings
from hotsplit.ese.engine.upkeep.maintenance import defragment
from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.format.columns import Coltyp, DateTime, Value, encode_value
from hotsplit.ese.read.database import Database

_BYTES = range(0x40, 0x100)  # others make dissect take a part of a value for a compressed one
FIXED = {
    "bit": Coltyp.BIT,
    "byte": Coltyp.UNSIGNED_BYTE,
    "short": Coltyp.SHORT,
    "ushort": Coltyp.UNSIGNED_SHORT,
    "long": Coltyp.LONG,
    "ulong": Coltyp.UNSIGNED_LONG,
    "longlong": Coltyp.LONG_LONG,
    "currency": Coltyp.CURRENCY,
    "single": Coltyp.IEEE_SINGLE,
    "double": Coltyp.IEEE_DOUBLE,
    "time": Coltyp.DATE_TIME,
    "guid": Coltyp.GUID,
}
COLUMNS = [
    *[Column(name, coltyp) for name, coltyp in FIXED.items()],
    Column("text", Coltyp.TEXT, code_page=1252),
    Column("wide", Coltyp.TEXT),
    Column("binary", Coltyp.BINARY),
    Column("longtext", Coltyp.LONG_TEXT, code_page=1252),
    Column("longwide", Coltyp.LONG_TEXT),
    Column("longbinary", Coltyp.LONG_BINARY),
    Column("packed", Coltyp.LONG_BINARY, compressed=True),
    Column("tags", Coltyp.TEXT, code_page=1252, multi_valued=True),
]
INDEXES = [Index("pk", ["long"], primary=True), Index("by_text", ["text", "-longlong"])]
Row = dict[str, Value]


def made_row(number: int, rng: random.Random) -> Row:
    """A row with some of all columns, negative and extreme numbers among them."""
    row: Row = {
        "bit": rng.random() < 0.5,
        "byte": rng.randrange(256),
        "short": rng.choice((-32768, -1, 0, 32767)),
        "ushort": rng.choice((0, 65535)),
        "ulong": rng.choice((0, 1 << 31, (1 << 32) - 1)),
        "longlong": rng.choice((-(1 << 63), -1, (1 << 63) - 1)),
        "currency": rng.randrange(-(1 << 62), 1 << 62),
        "single": rng.choice((0.0, -1.5, 1024.25)),
        "double": rng.uniform(-1e300, 1e300),
        "time": DateTime(struct.pack("<d", rng.uniform(-100, 80_000))),
        "guid": uuid.UUID(int=rng.getrandbits(128)),
        "text": f"text é {number}"[: rng.randrange(9)],
        "wide": f"weit ∑ {number}",
        "binary": rng.randbytes(rng.randrange(1, 200)),
        "longtext": f"langé{'abc'[number % 3]}" * rng.choice((1, 20, 700)),
        "longwide": f"lang ∑ {number} " * rng.choice((1, 20, 700)),
        "longbinary": bytes(rng.choices(_BYTES, k=rng.choice((1, 300, 5000, 40_000)))),
        "packed": b"packed %d " % number * rng.choice((2, 40, 3000)),
        "tags": [f"tag {n}" for n in range(rng.randrange(1, 4))],
    }
    kept = {name: value for name, value in row.items() if rng.random() < 0.8}
    return kept | {"long": number - 50}


@pytest.fixture(params=[4096, 8192, 16384, 32768])
def written(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, dict[int, Row]]:
    """A database in which rows were inserted, changed, deleted, moved; and its rows by key."""
    rng = random.Random(request.param)
    path = tmp_path / "a.edb"
    settings = Settings(str(tmp_path / "sg"), page_size=request.param)
    with Instance.open(OsEnv(), settings) as instance, instance.session() as session:
        database = instance.create_database(str(path))
        table = session.create_table(database, "Rows", COLUMNS, INDEXES)
        rows = {n - 50: made_row(n, rng) for n in range(300)}
        with session.transaction():
            table.insert_many(list(rows.values())[:150])
            for row in list(rows.values())[150:]:
                table.insert(row)
        for number in rng.sample(sorted(rows), 60):
            table.delete(table.bookmark(number))
            del rows[number]
        for number in rng.sample(sorted(rows), 60):
            change = made_row(number + 50, rng)
            table.update(table.bookmark(number), change)
            rows[number] |= change
        defragment(session, database)
    return path, rows


SAME = [
    "bit",
    "byte",
    "short",
    "ushort",
    "long",
    "ulong",
    "longlong",
    "currency",
    "single",
    "double",
    "text",
    "wide",
    "binary",
]
LONG = ["longtext", "longbinary", "packed"]


def test_libesedb_reads_every_value(written: tuple[Path, dict[int, Row]]) -> None:
    path, rows = written
    file = pyesedb.file()
    file.open(str(path))
    table = next(
        t for t in map(file.get_table, range(file.get_number_of_tables())) if t.name == "Rows"
    )
    with Database.open(OsEnv(), str(path)) as database:
        columns = {column.name: column for column in database.table("Rows").columns}
    assert table.get_number_of_records() == len(rows)
    compared = 0
    for number, wanted in zip(range(len(rows)), sorted(rows), strict=True):
        record, row = table.get_record(number), rows[wanted]
        for place in range(record.get_number_of_values()):
            name = record.get_column_name(place)
            value = row.get(name)
            if name == "packed" or (value is None and name in FIXED):
                continue  # it leaves values compressed, and takes NULL of fixed size for 0
            if isinstance(value, list):
                continue  # it does not hand out several
            expected = b"" if value is None else encode_value(columns[name], value)
            assert raw_value(record, place) == expected, (wanted, name)
            compared += 1
    assert compared > len(COLUMNS) * len(rows) // 2


def raw_value(record: Any, place: int) -> bytes:
    """The bytes of a value as libesedb hands them out."""
    if record.is_long_value(place):
        return bytes(record.get_value_data_as_long_value(place).get_data())
    return record.get_value_data(place) or b""


def test_dissect_reads_every_value(written: tuple[Path, dict[int, Row]]) -> None:
    path, rows = written
    compared = 0
    with path.open("rb") as file:
        found = {record.get("long"): record for record in ESE(file).table("Rows").records()}
        assert rows.keys() <= found.keys()  # it shows rows that are flagged as deleted, too
        for number, row in rows.items():
            for name in (*SAME, *LONG):
                value, theirs = row.get(name), found[number].get(name)
                if isinstance(value, str):
                    theirs = (theirs or "").rstrip("\0")
                if name == "bit":
                    theirs = theirs if theirs is None else bool(theirs)
                assert theirs == value or (value in ("", None) and not theirs), (number, name)
                compared += value is not None
            tags = found[number].get("tags")
            assert tags == row.get("tags") or [tags] == row.get("tags")
    assert compared > 100 * len(SAME)
