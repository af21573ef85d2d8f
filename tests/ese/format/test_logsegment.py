"""Segments: end of data, corrections, fragments; made by hand, one rule a case."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotsplit.errors import LogDamaged
from hotsplit.ese.format.basics import LogPosition, LogTime
from hotsplit.ese.format.logrecord import encode
from hotsplit.ese.format.logsegment import (
    Correction,
    Damage,
    Reason,
    RecordReader,
    closes,
    pack_segment,
    scan_segments,
    walk_segment,
)
from hotsplit.ese.format.recordtable import RecordType

T = RecordType
SECTORS = 10
TRACE = encode(T.TRACE, text=b"hello")
START = LogTime().pack()


def segment(sector: int, records: bytes = TRACE, generation: int = 3) -> bytes:
    return pack_segment(LogPosition(generation, sector, 0), START, records)


def log(*segments: bytes) -> bytearray:
    return bytearray((bytes(4096) + b"".join(segments)).ljust(SECTORS * 4096, b"\0"))


def put(data: bytearray, sector: int, content: bytes) -> None:
    data[sector * 4096 : sector * 4096 + len(content)] = content


def good(count: int) -> bytearray:
    return log(*(segment(i) for i in range(1, count + 1)))


def test_plain_end() -> None:
    scan = scan_segments(bytes(good(4)), 3, SECTORS)
    assert (scan.last, scan.damage, scan.corrections) == (4, None, [])
    total = 0
    for i in range(1, 5):
        total ^= int.from_bytes(segment(i)[:8], "little")
    assert scan.checksum == total


def test_full_file_ends_before_the_last_sector() -> None:
    data = good(8)
    put(data, 9, b"Z" * 4096)
    scan = scan_segments(bytes(data), 3, SECTORS)
    assert (scan.last, scan.damage) == (8, None)


FLAG_BIT = 36 * 8 + 13  # says which checksum the segment has: it cannot be repaired (3.2)


@given(st.integers(64, 4096 * 8 - 1).filter(lambda bit: bit != FLAG_BIT), st.integers(1, 4))
def test_single_bit_is_put_right(bit: int, sector: int) -> None:
    data = good(4)
    data[sector * 4096 + bit // 8] ^= 1 << bit % 8
    scan = scan_segments(bytes(data), 3, SECTORS)
    assert (scan.last, scan.damage) == (4, None)
    assert scan.corrections == [Correction(sector, bit)]
    assert scan.replaced == {sector: segment(sector)}


@pytest.mark.parametrize(
    ("sector", "content", "reason", "after"),
    [
        (2, bytes(4096), Reason.VALID_AFTER_EMPTY, 1),
        (2, b"\xff" * 512, Reason.CORRUPT, 2),
        (4, segment(4)[:44].ljust(4096, b"\0"), Reason.CORRUPT, 0),
        (6, b"\x5a" * 4096, Reason.CORRUPT_AFTER_EMPTY, 0),
        (5, segment(5, generation=4), Reason.BAD_POSITION, 0),
    ],
)
def test_damage(sector: int, content: bytes, reason: Reason, after: int) -> None:
    data = good(4)
    put(data, sector, content)
    place = sector + (reason == Reason.VALID_AFTER_EMPTY)
    assert scan_segments(bytes(data), 3, SECTORS).damage == Damage(reason, place, after)


def test_left_overs_of_a_recycled_file_are_unused_space() -> None:
    data = good(4)
    for i in range(5, 9):
        put(data, i, segment(i, generation=2))
    scan = scan_segments(bytes(data), 3, SECTORS)
    assert (scan.last, scan.damage) == (4, None)


def test_shadow_copy_is_used_only_when_needed() -> None:
    data = good(4)
    put(data, 5, segment(4))
    assert scan_segments(bytes(data), 3, SECTORS).corrections == []
    put(data, 4, b"\xee" * 700)
    scan = scan_segments(bytes(data), 3, SECTORS)
    assert (scan.last, scan.damage) == (4, None)
    assert scan.corrections == [Correction(4, None)]
    assert scan.replaced == {4: segment(4)}


def test_closed_normally() -> None:
    assert closes(segment(1, TRACE + encode(T.TERM2) + encode(T.NOP2, content=bytes(9))))
    assert not closes(segment(1, encode(T.TERM2) + TRACE))


def read(*segments: bytes) -> list[tuple[LogPosition, bytes]]:
    return list(RecordReader(3, SECTORS * 4096).read(enumerate(segments, 1)))


def fragments(record: bytes, first: int) -> Iterator[bytes]:
    head = encode(T.FRAGMENT_BEGIN, total_size=len(record), fragment=record[:first])
    yield head
    for i in range(first, len(record), 4000):
        yield encode(T.FRAGMENT, fragment=record[i : i + 4000])


def test_fragments_make_one_record() -> None:
    record = encode(T.SET_EXTERNAL_HEADER, data=bytes(9000))
    a, b, c, d = fragments(record, 500)
    found = read(segment(1, TRACE + a), segment(2, b), segment(3, c), segment(4, d + TRACE))
    tail = LogPosition(3, 4, 40 + len(d))
    assert found == [
        (LogPosition(3, 1, 0), TRACE),
        (LogPosition(3, 1, 40 + len(TRACE)), record),
        (tail, TRACE),
    ]


def test_leading_fragments_are_skipped() -> None:
    record = encode(T.SET_EXTERNAL_HEADER, data=bytes(5000))
    _, b, c = fragments(record, 100)
    assert [r for _, r in read(segment(1, b), segment(2, c + TRACE))] == [TRACE]


def test_unfinished_record_at_the_end_is_dropped() -> None:
    reader = RecordReader(3, SECTORS * 4096)
    a, *_ = fragments(encode(T.SET_EXTERNAL_HEADER, data=bytes(5000)), 100)
    assert [r for _, r in reader.read([(1, segment(1, TRACE + a))])] == [TRACE]
    assert reader.unfinished == LogPosition(3, 1, 40 + len(TRACE))


@pytest.mark.parametrize("kind", [T.RECOVERY_UNDO, T.RECOVERY_UNDO2, T.UNDO_INFO])
def test_recovery_may_go_on_behind_an_unfinished_record(kind: RecordType) -> None:
    a, *_ = fragments(encode(T.SET_EXTERNAL_HEADER, data=bytes(5000)), 100)
    undo = encode(kind)
    assert [r for _, r in read(segment(1, a), segment(2, undo))] == [undo]
    with pytest.raises(LogDamaged):
        read(segment(1, a + undo))


def test_bad_fragments() -> None:
    record = encode(T.SET_EXTERNAL_HEADER, data=bytes(5000))
    a, b, c = fragments(record, 100)
    huge = encode(T.FRAGMENT_BEGIN, total_size=1 << 31, fragment=b"x")
    for bad in (
        [segment(1, a), segment(2, TRACE)],
        [segment(1, TRACE + c)],
        [segment(1, a), segment(2, b), segment(3, b)],
        [segment(1, huge)],
        [segment(1, encode(T.FRAGMENT_BEGIN, total_size=3, fragment=b"xxxx"))],
        [segment(1, b"\xf0")],
        [segment(1, b"\x28")],
    ):
        with pytest.raises(LogDamaged) as caught:
            read(*bad)
        assert caught.value.position.startswith("(0x3,")


@given(st.binary(max_size=4056))
def test_hostile_records_end_in_our_error_or_fill_the_segment(records: bytes) -> None:
    data = segment(1, records)
    try:
        steps = list(walk_segment(data))
    except LogDamaged:
        return
    end = 40
    for offset, size in steps:
        assert not any(data[end:offset])
        end = offset + size
    assert not any(data[end:])
