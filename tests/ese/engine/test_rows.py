"""Values of records: the kernel's way and the general one give the same."""

from __future__ import annotations

import contextlib
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotsplit.errors import HotsplitError
from hotsplit.ese.engine.tables.rows import LongReader, Pieces, RowFormat
from hotsplit.ese.format.columns import Coltyp, ColumnDef, ColumnFlag, DateTime, Value
from hotsplit.ese.format.taggedcolumns import Instance

MULTI = ColumnFlag.MULTI_VALUED
DAMAGE = (ValueError, IndexError, OverflowError, struct.error, HotsplitError)
LONG = st.integers(-(1 << 31), (1 << 31) - 1)
TIMES = st.binary(min_size=8, max_size=8).map(DateTime)
LETTERS = st.text("abc é\u20ac", max_size=20)
COLUMNS: list[tuple[ColumnDef, st.SearchStrategy[Any]]] = [
    (ColumnDef("bit", 1, Coltyp.BIT, offset=4), st.booleans()),
    (ColumnDef("long", 2, Coltyp.LONG, offset=5, default_data=b"\x07\0\0\0"), LONG),
    (ColumnDef("time", 3, Coltyp.DATE_TIME, offset=9), TIMES),
    (ColumnDef("guid", 4, Coltyp.GUID, offset=17), st.uuids()),
    (ColumnDef("code", 5, Coltyp.TEXT, 6, code_page=1252, offset=33), st.text("ab", max_size=6)),
    (ColumnDef("odd", 6, Coltyp.SHORT, offset=39, default_data=b"\x01"), st.integers(-9, 9)),
    (ColumnDef("ansi", 128, Coltyp.TEXT, code_page=1252, default_data=b"none"), LETTERS),
    (ColumnDef("wide", 130, Coltyp.TEXT, code_page=1200), LETTERS),
    (ColumnDef("bytes", 131, Coltyp.BINARY), st.binary(max_size=40)),
    (ColumnDef("old", 256, Coltyp.LONG_BINARY, derived=True), st.binary(max_size=40)),
    (ColumnDef("many", 256, Coltyp.LONG, flags=MULTI), LONG),
    (ColumnDef("more", 257, Coltyp.LONG, flags=MULTI, default_data=b"\x05\0\0\0"), LONG),
    (ColumnDef("text", 258, Coltyp.LONG_TEXT, code_page=1200, default_data=b"a\0"), LETTERS),
    (ColumnDef("body", 259, Coltyp.LONG_BINARY), st.binary(max_size=300)),
]  # fmt: skip
FORMATS = [RowFormat([column for column, _ in COLUMNS], size) for size in (8192, 32768)]


def generally(rows: RowFormat, record: bytes) -> list[Value]:
    pieces = rows.split(record)
    return [rows.value(column, pieces.stored(column), LongReader()) for column in rows.columns]


@st.composite
def pieces_of_rows(draw: st.DrawFn) -> Pieces:
    pieces = Pieces()
    for column, values in COLUMNS:
        how = draw(st.sampled_from(["absent", "null", "value"]))
        if how != "absent":
            several = st.lists(values, min_size=1, max_size=3)
            found = draw(several if column.is_multi_valued else values) if how == "value" else None
            if column.name != "odd" or found is not None:
                pieces.set(column, found)
    if draw(st.booleans()):
        pieces.tagged[COLUMNS[-1][0].tag] = [Instance(b"\x01\0\0\0", separated=True)]
    return pieces


@given(st.sampled_from(FORMATS), pieces_of_rows())
def test_values_are_those_of_the_general_way(rows: RowFormat, pieces: Pieces) -> None:
    for column in rows.columns:  # a default of the wrong size can be read nowhere
        if column.name == "odd":
            pieces.fixed.setdefault(column.id, None)
    record = rows.join(pieces)
    try:
        expected = generally(rows, record)
    except HotsplitError as error:
        with pytest.raises(type(error)):
            rows.values(record, LongReader())
    else:
        assert rows.values(record, LongReader()) == expected


@given(st.sampled_from(FORMATS), pieces_of_rows(), st.data())
def test_damaged_records_give_the_values_of_the_general_way(
    rows: RowFormat, pieces: Pieces, data: st.DataObject
) -> None:
    record = bytearray(rows.join(pieces))
    for _ in range(data.draw(st.integers(1, 3))):
        record[data.draw(st.integers(0, len(record) - 1))] = data.draw(st.integers(0, 255))
    damaged = bytes(record[: data.draw(st.integers(0, len(record)))])
    try:
        expected = generally(rows, damaged)
    except DAMAGE:
        with contextlib.suppress(*DAMAGE):  # damage that no column lies in may stay unnoticed
            rows.values(damaged, LongReader())
    else:
        assert rows.values(damaged, LongReader()) == expected


def test_a_list_that_was_given_away_is_not_that_of_the_next_row() -> None:
    rows = FORMATS[0]
    place = rows.names.index("more")
    record = rows.join(Pieces(fixed={6: None}))
    first = rows.values(record, LongReader())[place]
    assert first == [5]
    assert isinstance(first, list)
    first.append(6)
    assert rows.values(record, LongReader())[place] == [5]
