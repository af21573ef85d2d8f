"""Records, tagged columns, long-value keys and space: pack and unpack are inverse."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotsplit.ese.format.columns import Coltyp, ColumnDef, ColumnFlag, Value
from hotsplit.ese.format.longvalue import (
    LongValueRoot,
    chunk_key,
    chunk_size,
    pack_lid,
    parse_lid,
    root_key,
    split_key,
)
from hotsplit.ese.format.record import RecordPlan, encode_record, plain_instance
from hotsplit.ese.format.space import Extent, SpaceHeader, split_buffer
from hotsplit.ese.format.taggedcolumns import (
    Instance,
    TaggedField,
    TagHeader,
    build_fields,
    join_instances,
    old_instances,
    parse_fields,
    split_instances,
)

MULTI = ColumnFlag.MULTI_VALUED
COLUMNS = [
    ColumnDef("flag", 1, Coltyp.BIT, 1, offset=4),
    ColumnDef("number", 2, Coltyp.LONG, 4, offset=5, default_data=b"\x07\0\0\0"),
    ColumnDef("big", 3, Coltyp.UNSIGNED_LONG_LONG, 8, offset=9),
    ColumnDef("raw", 4, Coltyp.BINARY, 6, offset=17),
    ColumnDef("text", 128, Coltyp.TEXT, 255, code_page=1252),
    ColumnDef("wide", 130, Coltyp.TEXT, 255, code_page=1200),
    ColumnDef("bytes", 131, Coltyp.BINARY, 255),
    ColumnDef("tag", 256, Coltyp.SHORT, 2, default_data=b"\x05\0"),
    ColumnDef("many", 257, Coltyp.LONG, 4, MULTI),
    ColumnDef("names", 258, Coltyp.LONG_TEXT, 0, MULTI, 1200),
    ColumnDef("blob", 259, Coltyp.LONG_BINARY),
    ColumnDef("inherited", 256, Coltyp.LONG_BINARY, derived=True),
]
long = st.integers(-(2**31), 2**31 - 1)
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "flag": st.booleans(),
    "number": long,
    "big": st.integers(0, 2**64 - 1),
    "raw": st.binary(min_size=6, max_size=6),
    "text": st.text(st.characters(max_codepoint=0x7E), max_size=30),
    "wide": text,
    "bytes": st.binary(max_size=60),
    "tag": st.integers(-(2**15), 2**15 - 1),
    "many": st.lists(long, min_size=1, max_size=5),
    "names": st.lists(text, min_size=1, max_size=4),
    "blob": st.binary(max_size=90),
    "inherited": st.binary(max_size=9),
}
rows = st.fixed_dictionaries(
    {}, optional={name: st.none() | values for name, values in VALUES.items()}
)
DEFAULTS: dict[str, Value] = {"number": 7, "tag": 5}


def decode(record: bytes, large: bool) -> dict[str, Value]:
    plan = RecordPlan(COLUMNS)
    values, pending = plan.decode(record, large)
    for place in pending:
        instances = plan.instances(place, values[place])
        assert instances is not None
        plain = [plain_instance(i) for i in instances]
        column = COLUMNS[place]
        if column.name == "many":
            values[place] = [int.from_bytes(p, "little", signed=True) for p in plain]
        elif column.name == "names":
            values[place] = [p.decode("utf-16-le") for p in plain]
        else:
            raise AssertionError(column.name)
    return {c.name: v for c, v in zip(COLUMNS, values, strict=True)}


@given(row=rows, large=st.booleans())
def test_record_round_trip(row: dict[str, Value], large: bool) -> None:
    want = {c.name: DEFAULTS.get(c.name) for c in COLUMNS} | row
    # A fixed column in front of a later one is there even if it was not given: with its default.
    assert decode(encode_record(COLUMNS, row, large), large) == want


def test_documented_record() -> None:
    """The example of a catalog table row in the format specification, 6.3."""
    data = bytes.fromhex("088020000200000001000200000004000000500000") + bytes.fromhex(
        "00000000c014000000ff000b00"
    )
    from hotsplit.ese.format.catalogschema import CATALOG_COLUMNS

    plan = RecordPlan(CATALOG_COLUMNS)
    values, pending = plan.decode(data + b"MSysObjects", large=False)
    row = {c.name: v for c, v in zip(CATALOG_COLUMNS, values, strict=True)}
    assert pending == []
    assert row["Name"] == "MSysObjects"
    assert (row["ObjidTable"], row["Type"], row["ColtypOrPgnoFDP"]) == (2, 1, 4)
    assert (row["SpaceUsage"], row["PagesOrLocale"], row["RootFlag"]) == (80, 20, True)


def test_values_that_do_not_fit_are_refused() -> None:
    bad: list[dict[str, Value]] = [
        {"raw": b"1234567"},
        {"text": ["a", "b"]},
        {"many": []},
        {"nobody": 1},
        {"blob": bytes(40000)},
        {"number": "x"},
    ]
    for row in bad:
        with pytest.raises(ValueError):
            encode_record(COLUMNS, row, large=False)


pieces = st.binary(max_size=30)


@given(
    entries=st.dictionaries(
        st.tuples(st.integers(256, 400), st.booleans()),
        st.tuples(st.sampled_from([0, 0x01, 0x08, 0x18, 0x05]), st.none() | pieces),
        max_size=8,
    ),
    large=st.booleans(),
)
def test_tagged_fields_round_trip(entries: dict[Any, Any], large: bool) -> None:
    fields = [TaggedField(fid, derived, *rest) for (fid, derived), rest in entries.items()]
    back = parse_fields(build_fields(fields, large), large)
    assert [(f.id, f.derived, f.data) for f in back] == [
        (f.id, f.derived, f.data) for f in sorted(fields, key=lambda f: f.order)
    ]
    for mine, theirs in zip(sorted(fields, key=lambda f: f.order), back, strict=True):
        assert theirs.data is None or theirs.header == mine.header


@given(
    values=st.lists(pieces, min_size=1, max_size=6),
    long_type=st.booleans(),
    sep=st.booleans(),
    large=st.booleans(),
)
def test_instances_round_trip(values: list[bytes], long_type: bool, sep: bool, large: bool) -> None:
    instances = [Instance(v, long_type and sep and i % 2 == 0) for i, v in enumerate(values)]
    header, data = join_instances(instances, long=long_type, large=large)
    assert split_instances(header, data) == instances
    # The published engine loses a value of the short form of two when it changes a large page.
    assert bool(header & TagHeader.TWO) == (len(values) == 2 and not long_type and not large)


def test_documented_instances() -> None:
    two = split_instances(0x18, bytes.fromhex("0100ff"))
    assert [i.data for i in two] == [b"\0", b"\xff"]
    three = split_instances(0x08, bytes.fromhex("060007000800007fff"))
    assert [i.data for i in three] == [b"\0", b"\x7f", b"\xff"]


@given(header=st.integers(0, 255), data=st.binary(max_size=40), large=st.booleans())
def test_any_tagged_bytes_end_in_values_or_valueerror(
    header: int, data: bytes, large: bool
) -> None:
    for call in (
        lambda: split_instances(header, data),
        lambda: parse_fields(data, large),
        lambda: old_instances(data, 256, False),
    ):
        try:
            call()
        except ValueError as error:
            assert str(error)


def test_records_of_old_engines() -> None:
    """ESE97 tagged part: two values of 256, a null 257, a separated long value 258."""
    tagged = bytes.fromhex("00010100aa 00010200bbcc 01010040 0201058001 78563412".replace(" ", ""))
    data = bytes.fromhex("007f0400") + tagged
    columns = [ColumnDef(str(i), i, Coltyp.LONG_BINARY) for i in (256, 257, 258, 259)]
    plan = RecordPlan(columns)
    values, pending = plan.decode(data, large=False, old=True)
    assert [plan.instances(p, values[p]) for p in pending] == [
        [Instance(b"\xaa"), Instance(b"\xbb\xcc")],
        None,
        [Instance(bytes.fromhex("78563412"), separated=True)],
        [],
    ]


lids = st.integers(1, 0x7FFFFEFF) | st.integers(1 << 63, (1 << 64) - 1)


@given(lid=lids, offset=st.integers(0, 2**31))
def test_long_value_ids_and_keys(lid: int, offset: int) -> None:
    assert parse_lid(pack_lid(lid)) == lid
    assert split_key(root_key(lid)) == (lid, None)
    assert split_key(chunk_key(lid, offset)) == (lid, offset)
    assert root_key(lid) < chunk_key(lid, 0)


def test_long_value_structures() -> None:
    root = LongValueRoot.unpack(bytes.fromhex("0100000009040000"))
    assert (root.references, root.size, root.pack()) == (1, 1033, bytes.fromhex("0100000009040000"))
    assert LongValueRoot.unpack(bytes.fromhex("010000000904000001")).is_encrypted
    assert [chunk_size(s) for s in (2048, 4096, 8192, 16384, 32768)] == [
        1966, 4014, 8110, 4050, 8150,
    ]  # fmt: skip
    for bad in (b"", b"\0" * 4, b"\1" * 5, b"\1" + b"\0" * 7):
        with pytest.raises(ValueError, match="id"):
            parse_lid(bad)
    with pytest.raises(ValueError, match="root"):
        LongValueRoot.unpack(b"123")


def test_space_headers_of_real_databases() -> None:
    root = SpaceHeader.unpack(bytes.fromhex("fe000000000000000100000002000000"))
    assert (root.pages, root.parent, root.is_multiple, root.owned) == (254, 0, True, 2)
    fields = bytes.fromhex("0301000000010000000000000000000000 0200000000000000".replace(" ", ""))
    counted = SpaceHeader.unpack(fields)
    assert (counted.pages, counted.autoincrement, counted.pack()) == (1, 2, fields)
    # An AD table: pages 1-12 behind the root in use, 13-32 by map and 33-101 beyond it free.
    single = SpaceHeader(102, 1, 0, 0xFFFFF000)
    assert list(single.free_pages(1000)) == list(range(1013, 1102))
    assert single.free_count == 1102 - 1013
    assert SpaceHeader(0xFFFFFFFF, 1, 0, 5).free_count == 2 + 0xFFFFFFFF - 1 - 32
    assert [SpaceHeader(n, 1, 0, 0xFFFFFFFF).free_count for n in (0, 1, 3, 40)] == [0, 0, 2, 39]
    for bad in (b"", b"\x02" + bytes(8), bytes(15)):
        with pytest.raises(ValueError, match="space header"):
            SpaceHeader.unpack(bad)


@given(last=st.integers(1, 2**31), pages=st.integers(0, 1000), pool=st.integers(0, 2))
def test_extents(last: int, pages: int, pool: int) -> None:
    extent = Extent(last, min(pages, last), pool)
    assert Extent.unpack(*extent.pack()) == extent


def test_extent_of_a_real_database() -> None:
    extent = Extent.unpack(bytes.fromhex("000000fe"), bytes.fromhex("dc000000"))
    assert (extent.first, extent.last) == (35, 254)
    with pytest.raises(ValueError, match="ends at"):
        Extent.unpack(bytes.fromhex("00000005"), bytes.fromhex("06000000"))
    assert split_buffer(bytes(16)) == []
    assert split_buffer(bytes.fromhex("0a000000020000000000000000000000")) == [Extent(10, 2)]
