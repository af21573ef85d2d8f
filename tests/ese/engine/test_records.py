"""The fast ways of the engine make the same bytes as the general ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotsplit.errors import InvalidUse
from hotsplit.ese.engine.instance import Instance
from hotsplit.ese.engine.schema.definitions import Column, Index
from hotsplit.ese.engine.settings import Settings
from hotsplit.ese.engine.tables.rows import LongReader, Pieces
from hotsplit.ese.engine.tables.tablestate import TableState
from hotsplit.ese.engine.trees import records
from hotsplit.ese.format.columns import Coltyp, Scalar, Value, encode_value, padded
from hotsplit.ese.format.keys import record_key
from hotsplit.ese.format.logrecord import NO_DBTIME, decode, encode
from hotsplit.ese.format.recordtable import RecordType as T
from tests.memoryenv import MemoryEnv


@dataclass
class Who:
    procid: int = 5
    trx: int = 0x1234
    level: int = 2


WHO, PLACE, TIMES = Who(), records.Place(1, 0x22, 9, 5), (0x60, 0x5F)
COMMON = {
    "procid": 5, "dbid": 1, "pgno": 0x30, "trx": 0x1234, "level": 2, "fdp": 0x22, "objid": 9,
}  # fmt: skip
TIMED = COMMON | {"dbtime": 0x60, "dbtime_before": 0x5F}
NODE = TIMED | {"iline": 7, "flags": 5, "rceid": 11}
AT = (WHO, PLACE, 0x30, TIMES, 7, 11)

CASES = {
    "insert": (
        records.insert(*AT, b"suffix", 3, b"data"),
        encode(T.INSERT, **NODE, prefix=b"suf", suffix=b"fix", data=b"data"),
    ),
    "flag insert": (
        records.flag_insert(*AT, b"key", b"data"),
        encode(T.FLAG_INSERT, **NODE, key=b"key", data=b"data"),
    ),
    "flag insert and replace": (
        records.flag_insert_replace(*AT, 13, b"key", b"data"),
        encode(T.FLAG_INSERT_AND_REPLACE, **NODE, rceid_replace=13, key=b"key", data=b"data"),
    ),
    "flag delete": (records.flag_delete(*AT), encode(T.FLAG_DELETE, **NODE)),
    "delete": (
        records.delete(WHO, PLACE, 0x30, TIMES, 7),
        encode(T.DELETE, **NODE | {"flags": 4, "rceid": 0}),
    ),
    "replace": (
        records.replace(*AT, 9, b"new"),
        encode(T.REPLACE, **NODE, change=b"new", old_size=9, new_size=3),
    ),
    "delta": (
        records.delta(*AT, b"key", b"", -4, 16),
        encode(T.DELTA, **NODE, key=b"key", delta=-4, offset=16),
    ),
    "undo info": (
        records.undo_info(WHO, PLACE, 0x30, 1, 11, 2, (8, 3), b"key", b"", b"image"),
        encode(
            T.UNDO_INFO,
            **COMMON | {"level": 1, "dbtime": NO_DBTIME, "dbtime_before": NO_DBTIME, "flags": 4},
            rceid=11, operation=2, max_size=8, size_delta=3,
            key=b"key", data=b"image",
        ),
    ),
    "undo": (
        records.undo(*AT, 3, 1, b"key", b"mark"),
        encode(T.UNDO, **NODE | {"flags": 4}, key=b"key", bookmark_data=b"mark", operation=3,
               level_undo=1),
    ),
    "external header": (
        records.external_header(WHO, PLACE, 0x30, TIMES, b"header"),
        encode(T.SET_EXTERNAL_HEADER, **TIMED, flags=4, data=b"header"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_records_are_those_of_the_format(name: str) -> None:
    fast, general = CASES[name]
    assert decode(fast).as_dict() == decode(general).as_dict()
    assert fast == general


COLUMNS = [
    Column("Id", Coltyp.LONG),
    Column("Bit", Coltyp.BIT),
    Column("Big", Coltyp.LONG_LONG),
    Column("Real", Coltyp.IEEE_DOUBLE),
    Column("Code", Coltyp.BINARY, size=5, fixed=True),
    Column("Text", Coltyp.TEXT),
    Column("Ansi", Coltyp.TEXT, code_page=1252, size=20),
    Column("Data", Coltyp.BINARY, size=30),
    Column("Tags", Coltyp.TEXT, code_page=1252, multi_valued=True),
    Column("Marks", Coltyp.LONG, multi_valued=True),
]
INDEXES = [
    Index("pk", ["Id"], primary=True),
    Index("a", ["Text", "-Big", "Bit"]),
    Index("b", ["Real", "-Data", "Code"], unique=True),
    Index("c", ["-Ansi", "Text"]),
    Index("d", ["Code", "Bit"], nulls=False),
    Index("e", ["Tags", "-Marks"]),
]


@pytest.fixture(scope="module")
def state() -> Iterator[TableState]:
    env = MemoryEnv()
    env.mkdir("/sg")
    with Instance.open(env, Settings("/sg")) as instance, instance.session() as session:
        database = instance.create_database("/sg/t.edb")
        yield session.create_table(database, "T", COLUMNS, INDEXES).state


LETTERS = st.text("abcXYZ 019_", max_size=25)


@given(
    st.fixed_dictionaries(
        {
            "Id": st.integers(-(1 << 31), (1 << 31) - 1),
            "Real": st.floats(allow_nan=False),
        },
        optional={
            "Bit": st.booleans() | st.none(),
            "Big": st.integers(-(1 << 63), (1 << 63) - 1) | st.none(),
            "Code": st.binary(min_size=5, max_size=5) | st.none(),
            "Text": LETTERS | st.none(),
            "Ansi": LETTERS | st.none(),
            "Data": st.binary(max_size=40) | st.none(),
            "Tags": LETTERS | st.none(),
            "Marks": st.integers(-9, 9) | st.none(),
        },
    )
)
def test_plain_rows_are_those_of_the_general_way(
    state: TableState, values: dict[str, Value]
) -> None:
    maker, primary = state.row_maker, state.primary
    assert maker is not None
    assert primary is not None
    made = maker.make(values)
    pieces = Pieces()
    for name, value in values.items():
        pieces.set(state.column(name), value)
    if made is None:
        ansi, data = values.get("Ansi"), values.get("Data")
        too_long = isinstance(ansi, str) and len(ansi) > 20
        assert too_long or (isinstance(data, bytes) and len(data) > 30)
        return
    record, found_keys = made
    assert record == state.rows.join(pieces)
    makers = [primary, *(index.keys for index in state.secondary)]
    entries = [maker.keys(pieces, LongReader()) for maker in makers]
    assert found_keys == [found[0] if found else None for found in entries]


SEARCHED: dict[str, st.SearchStrategy[Any]] = {
    "Id": st.integers(-(1 << 31), (1 << 31) - 1),
    "Real": st.floats(allow_nan=False),
    "Bit": st.booleans(),
    "Big": st.integers(-(1 << 63), (1 << 63) - 1),
    "Code": st.binary(min_size=5, max_size=5),
    "Text": st.text("abcXYZ 019_-", max_size=140),
    "Ansi": st.text("abcXYZ 019_é\0", max_size=20),
    "Data": st.binary(max_size=30) | st.binary(min_size=250, max_size=260),
    "Tags": LETTERS,
    "Marks": st.integers(-9, 9),
}


@given(st.data())
def test_searches_are_for_keys_of_the_format(state: TableState, data: st.DataObject) -> None:
    assert state.primary is not None
    index = data.draw(st.sampled_from([state.primary, *(one.keys for one in state.secondary)]))
    columns = [column for column, _ in index.segments]
    values: list[Scalar] = [data.draw(SEARCHED[column.name] | st.none()) for column in columns]
    values = values[: data.draw(st.sampled_from([len(values), 1]))]
    stored = []
    for column, value in zip(columns, values, strict=False):
        found = None if value is None else encode_value(column, value)
        stored.append(padded(column, found) if found and column.is_fixed else found)
    assert index.search_key(tuple(values)) == record_key(columns, index.index, stored)


def test_searches_for_what_cannot_be(state: TableState) -> None:
    assert state.primary is not None
    wrong: list[tuple[Value, ...]] = [("1",), (1 << 31,), ([1],), (1, 2), (1.5,)]
    for values in wrong:
        with pytest.raises(InvalidUse):
            state.primary.search_key(values)
