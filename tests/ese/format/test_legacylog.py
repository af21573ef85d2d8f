"""Format v7: files made by a writer of our own, read back whole, torn and damaged."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotsplit.errors import HotsplitError
from hotsplit.ese.format.basics import LogPosition
from hotsplit.ese.format.legacylog import (
    CHECK_SIZE,
    FILL,
    LegacyScan,
    closed_normally,
    read_stream,
    scan_stream,
)
from hotsplit.ese.format.logrecord import encode
from hotsplit.ese.format.recordtable import RecordType
from tests.logs import LegacyWriter

T = RecordType
record = st.one_of(
    st.builds(lambda n: encode(T.BEGIN0, procid=n), st.integers(0, 99)),
    st.builds(lambda b: encode(T.INSERT, data=b), st.binary(max_size=900)),
)
flushes = st.lists(st.lists(record, min_size=1, max_size=5), min_size=1, max_size=5)
FLUSHES = [
    [encode(T.BEGIN0, procid=1)],
    [encode(T.INSERT, data=bytes(1200))],
    [encode(T.COMMIT0, procid=1)],
]


def wrote(batches: list[list[bytes]], sectors: int = 128) -> LegacyWriter:
    writer = LegacyWriter(sectors=sectors)
    writer.chain(batches)
    return writer


def scan(writer: LegacyWriter, data: bytearray | None = None) -> LegacyScan:
    return scan_stream(bytes(writer.data if data is None else data), writer.header)


def content(writer: LegacyWriter, found: LegacyScan) -> list[tuple[LogPosition, bytes]]:
    read = read_stream(found, writer.header)
    return [(place, raw) for place, raw in read if raw[0] != T.CHECKSUM]


@settings(max_examples=40)
@given(flushes)
def test_round_trip(batches: list[list[bytes]]) -> None:
    writer = wrote(batches)
    found = scan(writer)
    assert (found.damage, found.patched, found.end) == (None, [], writer.at)
    assert content(writer, found) == writer.written
    assert not closed_normally(found, writer.header)


def test_closed_normally() -> None:
    writer = wrote([*FLUSHES, [encode(T.TERM2)]])
    assert closed_normally(scan(writer), writer.header)


def test_fill_pattern_by_hand() -> None:
    assert (FILL[0], FILL[1], FILL[16], FILL[32], FILL[496]) == (0xDA, 0xDA, 0xEA, 0xFA, 0xCA)
    assert len(FILL) == 512


def test_torn_last_flush_is_cut() -> None:
    writer = wrote(FLUSHES)
    start = writer.at - writer.at % 512
    data = writer.data.copy()
    data[start:] = FILL * ((len(data) - start) // 512)
    found = scan(writer, data)
    assert found.damage is not None
    assert found.damage.torn
    assert content(writer, found) == writer.written[:2]


def test_damage_in_the_middle_is_no_torn_write() -> None:
    writer = wrote(FLUSHES)
    data = writer.data.copy()
    data[4096 + CHECK_SIZE] ^= 1
    found = scan(writer, data)
    assert found.damage is not None
    assert not found.damage.torn
    assert content(writer, found) == []


def test_garbage_behind_the_end() -> None:
    writer = wrote(FLUSHES)
    data = writer.data.copy()
    data[-600] ^= 0xFF
    found = scan(writer, data)
    assert found.damage is not None
    assert content(writer, found) == writer.written


def with_shadow() -> tuple[LegacyWriter, bytearray, int]:
    writer = wrote(FLUSHES)
    at = writer.at - CHECK_SIZE - len(FLUSHES[-1][0])
    start = at - at % 512
    shadow = bytearray(writer.data[start : start + 512])
    check = writer.check(at)
    shadow[at - start : at - start + CHECK_SIZE] = check._replace(
        long=check.long ^ 0x5AD05EC7
    ).pack()
    data = writer.data.copy()
    data[start + 512 : start + 1024] = shadow
    return writer, data, start


def test_shadow_sector() -> None:
    writer, data, start = with_shadow()
    found = scan(writer, data)
    assert (found.damage, found.patched) == (None, [])
    data[start : start + 512] = bytes(512)
    found = scan(writer, data)
    assert (found.damage, found.patched) == (None, [start])
    assert content(writer, found) == writer.written


def test_long_range_torn_behind_its_first_sector() -> None:
    first = [encode(T.BEGIN0, procid=n) for n in range(20)]
    writer = LegacyWriter()
    writer.flush([*first, encode(T.INSERT, data=bytes(range(250)) * 6)])
    data = writer.data.copy()
    data[4096 + 512 : 4096 + 1024] = FILL
    data[4096 + 1024 :] = FILL * ((len(data) - 5120) // 512)
    found = scan_stream(bytes(data), writer.header)
    assert found.damage is not None
    assert found.damage.torn
    assert found.end == 4096 + 512


@settings(max_examples=60)
@given(st.integers(4096 * 8, 65536 * 8 - 1), st.integers(1, 255))
def test_hostile_bytes(bit: int, mask: int) -> None:
    writer = wrote(FLUSHES)
    data = writer.data.copy()
    data[bit // 8] ^= mask
    found = scan(writer, data)
    assert found.damage is not None or content(writer, found) == writer.written
    with contextlib.suppress(HotsplitError):
        content(writer, found)


@pytest.mark.parametrize("field", ["backwards", "forwards", "next"])
def test_hostile_numbers(field: str) -> None:
    for value in (1, 22, 511, 512, 1 << 20, 0xFFFFFFFF):
        writer = wrote(FLUSHES)
        writer.data[4096 : 4096 + CHECK_SIZE] = writer.check(4096)._replace(**{field: value}).pack()
        if value < 1 << 20:
            writer.seal(4096, writer.check(4096))
        found = scan(writer)
        assert found.damage is not None or content(writer, found) == writer.written
