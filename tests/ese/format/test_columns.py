"""Values: bytes to Python and back."""

from __future__ import annotations

import datetime as dt
import struct
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotsplit.ese.format.columns import (
    Coltyp,
    ColumnDef,
    DateTime,
    decode_text,
    decode_value,
    encode_text,
    encode_value,
    type_size,
)

EPOCH = dt.datetime(1899, 12, 30)
fixed_types = st.sampled_from([c for c in Coltyp if type_size(c) and c != Coltyp.BIT])


@given(coltyp=fixed_types, data=st.binary(min_size=16, max_size=16))
def test_fixed_size_values_round_trip(coltyp: Coltyp, data: bytes) -> None:
    column = ColumnDef("c", 1, coltyp)
    data = data[: type_size(coltyp)]
    value = decode_value(column, data)
    if value == value or coltyp not in (Coltyp.IEEE_SINGLE, Coltyp.IEEE_DOUBLE):
        assert encode_value(column, value) == data


def test_bits_and_empty_values() -> None:
    column = ColumnDef("c", 1, Coltyp.BIT)
    assert [decode_value(column, d) for d in (b"\0", b"\xff", b"\1", b"")] == [
        False, True, True, None,
    ]  # fmt: skip
    assert encode_value(column, True) == b"\xff"
    with pytest.raises(ValueError, match="bytes"):
        decode_value(ColumnDef("c", 1, Coltyp.LONG), b"abc")
    with pytest.raises(ValueError, match="no Binary value"):
        encode_value(ColumnDef("c", 1, Coltyp.BINARY), 5)
    with pytest.raises(ValueError, match="c:"):
        encode_value(ColumnDef("c", 1, Coltyp.UNSIGNED_BYTE), 256)


def test_guid_is_in_windows_byte_order() -> None:
    data = bytes.fromhex("c39fe9 36 25e3 ce11 bfc1 08002be10318".replace(" ", ""))
    value = decode_value(ColumnDef("c", 1, Coltyp.GUID), data)
    assert value == uuid.UUID("36e99fc3-e325-11ce-bfc1-08002be10318")


@given(data=st.binary(max_size=40))
def test_code_page_1252_maps_every_byte_to_one_character(data: bytes) -> None:
    text = decode_text(data, 1252)
    assert isinstance(text, str)
    assert len(text) == len(data)
    assert encode_text(text, 0) == data


def test_text_that_is_none_stays_bytes() -> None:
    assert decode_text(b"abc", 1200) == b"abc"
    assert decode_text(b"\0\xd8", 1200) == b"\0\xd8"
    assert decode_text(b"abc", 64999) == b"abc"
    assert decode_text(b"\x82\xa0", 932) == "あ"
    with pytest.raises(ValueError, match="code page"):
        encode_text("a", 64999)


def date(days: float) -> DateTime:
    return DateTime(struct.pack("<d", days))


def test_dates() -> None:
    assert date(0.0).exact() == "1899-12-30T00:00:00"
    assert date(2.5).exact() == "1900-01-01T12:00:00"
    assert date(-1.25).exact() == "1899-12-29T06:00:00"  # the fraction counts forward
    assert date(44284.0).exact() == "2021-03-29T00:00:00"
    assert date(2958465.0).exact() == "9999-12-31T00:00:00"  # never, of many applications
    assert date(2958465.75).exact() == "9999-12-31T18:00:00"
    for days in (2958466.0, -0.25, -0.0, float("nan"), float("inf"), 1e300, 3e6, -1e6):
        assert isinstance(date(days).exact(), int)


def test_filetime_comes_out_as_the_integer_that_it_is() -> None:
    filetime = 132673673661620000
    assert DateTime(filetime.to_bytes(8, "little")).exact() == filetime


@given(
    moment=st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(2200, 1, 1)),
    unit=st.sampled_from([1_000_000, 1000]),
)
def test_whole_seconds_and_milliseconds_come_out_as_such(moment: dt.datetime, unit: int) -> None:
    moment = moment.replace(microsecond=moment.microsecond // unit * unit)
    span = moment - EPOCH
    days = (span // dt.timedelta(microseconds=1)) / (86_400 * 10**6)
    text = date(days).exact()
    assert isinstance(text, str)
    assert dt.datetime.fromisoformat(text) == moment


@given(days=st.floats(-657_000, 2_958_000))
def test_text_gives_back_the_same_double(days: float) -> None:
    text = date(days).exact()
    if isinstance(text, int):
        assert text == date(days).bits
        return
    whole, _, fraction = text.partition(".")
    moment = dt.datetime.fromisoformat(whole)
    day = (moment.replace(hour=0, minute=0, second=0) - EPOCH).days
    ns = (moment - moment.replace(hour=0, minute=0, second=0)) // dt.timedelta(seconds=1) * 10**9
    ns += int(fraction.ljust(9, "0")) if fraction else 0
    total = day * 86_400 * 10**9 + (-ns if day < 0 else ns)
    assert total / (86_400 * 10**9) == days
