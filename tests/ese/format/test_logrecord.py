"""Log records: sizes, fields, both directions; inner structures; diffs; before images."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotsplit.errors import HotsplitError, LogDamaged
from hotsplit.ese.format import recordparts
from hotsplit.ese.format.beforeimage import before_image, dehydrate, rehydrate
from hotsplit.ese.format.diff import apply_diff, make_diff, new_data
from hotsplit.ese.format.logrecord import LARGE_DIFF, WITH_VERSION, decode, encode, record_size
from hotsplit.ese.format.page import Page
from hotsplit.ese.format.recordtable import RecordType

T = RecordType
INNER = {
    T.INSERT: (recordparts.insert_key,),
    T.CREATE_DB: (recordparts.database_path, recordparts.create_version),
    T.ATTACH_DB: (recordparts.database_path,),
    T.DETACH_DB: (recordparts.database_path,),
    T.MACRO_INFO: (recordparts.macro_pages,),
    T.MACRO_INFO2: (recordparts.macro_pages,),
    T.EMPTY_TREE: (recordparts.emptied_pages,),
    T.EXTEND_DB: (recordparts.extended_to,),
    T.REATTACH: (recordparts.reattached,),
    T.FREE_FDP: (recordparts.freed_tree,),
    T.SCAN_CHECK: (recordparts.scan_checked,),
    T.COMMIT_CTX: (recordparts.commit_procid,),
}


@pytest.mark.parametrize("kind", list(RecordType))
def test_empty_record_of_each_type(kind: RecordType) -> None:
    raw = encode(kind)
    record = decode(raw)
    assert (record.type, record.size) == (kind, len(raw))
    assert encode(kind, **record.as_dict()) == raw


@given(st.sampled_from(list(RecordType)), st.data())
def test_parts_and_numbers_round_trip(kind: RecordType, data: st.DataObject) -> None:
    parts = {name: data.draw(st.binary(max_size=40)) for name in decode(encode(kind)).parts()}
    fields: dict[str, object] = dict(parts)
    if kind == T.CREATE_DB:
        fields |= {"version": b"\2\0\0\0", "flags": WITH_VERSION}
    raw = encode(kind, **fields)
    assert record_size(b"x" + raw + b"y", 1, len(raw) + 1) == len(raw)
    assert {name: getattr(decode(raw), name) for name in fields} == fields
    if len(raw) > 1:
        with pytest.raises(LogDamaged):
            record_size(raw, 0, len(raw) - 1)


def test_attributes_of_an_insert() -> None:
    raw = encode(T.INSERT, procid=5, dbid=1, pgno=4, dbtime=9, prefix=b"ab", suffix=b"c", data=b"d")
    record = decode(raw)
    assert (record.procid, record.dbid, record.pgno, record.dbtime) == (5, 1, 4, 9)
    assert recordparts.insert_key(record) == b"abc"
    assert (record.body, record.data, record.tag) == (b"abcd", b"d", "Insert")
    with pytest.raises(AttributeError):
        _ = record.pgno_right


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="has no colour"):
        encode(T.INSERT, colour=1)
    with pytest.raises(ValueError, match="lengths"):
        encode(T.INSERT, data=b"abc", data_size=2)
    with pytest.raises(ValueError, match="INSERT"):
        encode(T.INSERT, pgno=-1)


@given(st.binary(max_size=400))
def test_hostile_bytes(data: bytes) -> None:
    try:
        record = decode(data)
    except LogDamaged:
        return
    assert encode(record.type, **record.as_dict()) == record.raw
    for read in INNER.get(record.type, ()):
        with contextlib.suppress(LogDamaged):
            read(record)


@given(st.sampled_from([k for k in INNER if k != T.INSERT]), st.binary(max_size=60))
def test_hostile_contents(kind: RecordType, content: bytes) -> None:
    names = list(decode(encode(kind)).parts())
    record = decode(encode(kind, **{names[-1]: content}))
    for read in INNER[kind]:
        with contextlib.suppress(LogDamaged):
            read(record)


@given(st.binary(max_size=700), st.binary(max_size=700), st.booleans())
def test_diffs_round_trip(old: bytes, new: bytes, large: bool) -> None:
    stream = make_diff(old, new, large=large)
    assert stream is not None
    record = decode(
        encode(
            T.REPLACE_DIFF,
            change=stream,
            change_size=len(stream) | (LARGE_DIFF if large else 0),
            old_size=len(old),
            new_size=len(new),
        )
    )
    assert new_data(record, old) == new


@given(st.binary(max_size=60), st.binary(max_size=60), st.booleans(), st.integers(0, 100))
def test_hostile_diffs(old: bytes, stream: bytes, large: bool, size: int) -> None:
    try:
        made = apply_diff(old, stream, large=large, old_size=len(old), new_size=size)
    except LogDamaged:
        return
    assert len(made) == size


def test_diff_by_hand() -> None:
    # Offset 2, equal lengths; then offset 5, pure insert; then offset 6, three bytes become one.
    small = b"\x02\x20\x01X" + b"\x05\x40\x02YZ" + b"\x06\x00\x01\x03W"
    large = b"\x02\x00\x20\x01X" + b"\x05\x00\x40\x02YZ" + b"\x06\x00\x00\x01\x03W"
    for stream, is_large in ((small, False), (large, True)):
        made = apply_diff(b"0123456789", stream, large=is_large, old_size=10, new_size=10)
        assert made == b"01X34YZ5W9"
    with pytest.raises(LogDamaged):
        apply_diff(b"012345678", small, large=False, old_size=10, new_size=10)
    assert make_diff(bytes(9000), bytes(8999) + b"x", large=False) is None


@pytest.mark.parametrize("size", [4096, 8192, 16384, 32768])
def test_before_images(size: int) -> None:
    page = Page.new(size, 7, objid=9, dbtime=100, flags=2)
    data = bytes(page.data)
    assert rehydrate(dehydrate(data), size) == data
    assert len(dehydrate(data)) < 200
    for image, flags in ((data, 0), (dehydrate(data), 1)):
        record = decode(encode(T.SPLIT2, dbtime_before=55, image=image, image_flags=flags))
        found = before_image(record, size)
        assert found is not None
        assert Page(found).dbtime == 55
        assert found[16:] == data[16:]
    assert before_image(decode(encode(T.MERGE2)), size) is None


@given(st.binary(min_size=1, max_size=200), st.integers(0, 3))
def test_hostile_images(image: bytes, flags: int) -> None:
    record = decode(encode(T.MERGE2, image=image, image_flags=flags))
    with pytest.raises(HotsplitError):
        before_image(record, 4096)
