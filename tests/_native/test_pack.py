"""Packed rows: the kernel against its reference, also for values that are none of a plain row."""

from __future__ import annotations

import struct
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotsplit import _native
from hotsplit._native import pack_py
from hotsplit._native.pack_py import Column, Key, KeyPart

NATIVE = _native.load("pack")
FORMS = [pytest.param(m, id=m.__name__) for m in dict.fromkeys((pack_py, NATIVE))]
CODES = {pack_py.SIGNED: "bhiq", pack_py.UNSIGNED: "BHIQ"}
SIGNED_N, FIXED_BINARY_N, BINARY_N, TEXT_N, FLOAT_N, GUID_N, UNICODE_N = 2, 6, 7, 8, 3, 4, 9


def encoder(kind: int, size: int) -> Callable[[Any], bytes]:
    """A function as the engine has it: it refuses what the type does not hold."""

    def encode(value: Any) -> bytes:
        if kind == pack_py.TEXT:
            return str.encode(value, "cp1252")
        if kind == pack_py.WIDE_TEXT:
            return str.encode(value, "utf-16-le")
        if kind == pack_py.BIT:
            return b"\xff" if value else b"\0"
        if kind in (pack_py.SINGLE, pack_py.DOUBLE):
            return struct.pack("<f" if kind == pack_py.SINGLE else "<d", value)
        if kind in CODES:
            return struct.pack("<" + CODES[kind][size.bit_length() - 1], value)
        return bytes.fromhex(value)

    return encode


def column(fid: int, kind: int, size: int = 0, offset: int = 0, **more: Any) -> Column:
    given = {"pad": 0, "required": False, "long": False, "preset": None} | more
    return Column(f"c{fid}", fid, kind, size, offset, **given, encode=encoder(kind, size))


COLUMNS = [
    column(1, pack_py.SIGNED, 4, 4, required=True),
    column(2, pack_py.BIT, 1, 8),
    column(3, pack_py.SIGNED, 2, 9, preset=b"\x07\x01"),
    column(5, pack_py.UNSIGNED, 1, 20),  # one in front of it was deleted
    column(6, pack_py.SINGLE, 4, 21),
    column(7, pack_py.DOUBLE, 8, 25),
    column(8, pack_py.TEXT, 5, 33, pad=32),
    column(9, pack_py.SIGNED, 8, 38),
    column(10, pack_py.UNSIGNED, 8, 46),
    column(128, pack_py.TEXT, 12, required=True, preset=b"name"),
    column(129, pack_py.BYTES, 30),
    column(131, pack_py.WIDE_TEXT, 40, preset=b"a\0"),
    column(132, pack_py.ENCODED),
    column(256, pack_py.BYTES, long=True),
    column(258, pack_py.TEXT, 20),
    column(300, pack_py.WIDE_TEXT, long=True, preset=b"b\0"),
    column(400, pack_py.ENCODED, 4),
]
KEYS = [
    Key([KeyPart(0, 4, SIGNED_N, False, None)], 255, pack_py.NEEDED, False),
    Key(
        [
            KeyPart(9, 0, TEXT_N, True, None),
            KeyPart(2, 2, SIGNED_N, True, None),
            KeyPart(10, 0, BINARY_N, False, None),
        ],
        60,
        pack_py.SOME_NULL,
        True,
    ),
    Key(
        [
            KeyPart(6, 5, FIXED_BINARY_N, False, None),
            KeyPart(5, 8, FLOAT_N, False, None),
            KeyPart(11, 0, 9, False, lambda data: b"\x7f" + data[::-1]),
        ],
        255,
        pack_py.ALL_NULL | pack_py.FIRST_NULL,
        False,
    ),
    Key(
        [KeyPart(1, 1, 0, False, None), KeyPart(9, 0, TEXT_N, True, None)],
        255,
        pack_py.NO_NULL | pack_py.ALL_NULL | pack_py.FIRST_NULL | pack_py.SOME_NULL,
        False,
    ),
    Key(
        [
            KeyPart(13, 0, BINARY_N, False, None),
            KeyPart(14, 0, TEXT_N, True, None),
            KeyPart(15, 0, 9, False, lambda data: data + b"!"),
        ],
        255,
        pack_py.FIRST_NULL | pack_py.SOME_NULL,
        False,
    ),
]
INTEGERS = st.integers(-(1 << 65), 1 << 65) | st.sampled_from(
    [sign * (1 << bits) - less for bits in (7, 8, 15, 16, 31, 32, 63, 64) for less in (0, 1)
     for sign in (1, -1)]
)  # fmt: skip
TEXTS = st.text("abXYZ\0é€\U0001f600\ud800", max_size=14)
GOOD: dict[int, st.SearchStrategy[Any]] = {
    1: st.integers(-(1 << 31), (1 << 31) - 1),
    2: st.booleans(),
    3: st.integers(-(1 << 15), (1 << 15) - 1),
    5: st.integers(0, 255),
    6: st.floats(width=32),
    7: st.floats(),
    8: st.text("abc", max_size=5),
    9: st.integers(-(1 << 63), (1 << 63) - 1),
    10: st.integers(0, (1 << 64) - 1),
    128: st.text("abcXYZ", min_size=1, max_size=12),
    129: st.binary(min_size=1, max_size=30),
    131: st.text("abcéÿ", min_size=1, max_size=9),
    132: st.just("00ff"),
    256: st.binary(max_size=200) | st.just(bytes(1023)) | st.just(bytes(1024)),
    258: st.text("abc", max_size=20),
    300: st.text("abcéÿ", max_size=9),
    400: st.just("0a0b0c0d"),
}
ODD = INTEGERS | st.floats() | st.booleans() | TEXTS | st.binary(max_size=45) | st.just([1])


@st.composite
def rows(draw: st.DrawFn) -> dict[str, Any]:
    """Rows of which most are plain."""
    row: dict[str, Any] = {}
    for fid, values in GOOD.items():
        kind = draw(st.integers(0, 19))
        if kind == 0:
            row[f"c{fid}"] = draw(ODD)
        elif kind == 1:
            row[f"c{fid}"] = None
        elif kind != 2:
            row[f"c{fid}"] = draw(values)
    if draw(st.integers(0, 30)) == 0:
        row["wrong"] = 1
    names = draw(st.permutations(list(row)))
    return {name: row[name] for name in names}


def packed(form: ModuleType, what: list[Any], names: tuple[str, ...] | None, **how: Any) -> object:
    """Pack rows, one packer for all; those that are not plain are left out."""
    packer = form.Packer(COLUMNS, KEYS, **how)
    records: list[bytes] = []
    keys: list[list[bytes | None]] = [[] for _ in KEYS]
    left, done = [], 0
    while done < len(what):
        done = packer.pack(what, done, names, records, keys)
        if done < len(what):
            left.append(done)
            done += 1
    return records, keys, left


@given(
    what=st.lists(rows(), max_size=4), large=st.booleans(), most=st.sampled_from([64, 300, 4000])
)
def test_kernel_and_reference_pack_the_same(
    what: list[dict[str, Any]], large: bool, most: int
) -> None:
    how = {"large": large, "most": most}
    found = packed(NATIVE, what, None, **how)
    assert found == packed(pack_py, what, None, **how)
    names = tuple(dict.fromkeys(name for row in what for name in row))
    in_order = [tuple(row.get(name) for name in names) for row in what]
    assert packed(NATIVE, in_order, names, **how) == packed(pack_py, in_order, names, **how)


@pytest.mark.parametrize("form", FORMS)
def test_what_a_plain_row_becomes(form: ModuleType) -> None:
    packer = form.Packer(
        COLUMNS[:2] + COLUMNS[9:10] + COLUMNS[13:14], KEYS[:1], large=False, most=99
    )
    record, keys = packer.make({"c1": 1, "c2": True, "c128": "ab", "c256": b"xyz"})
    assert keys == [b"\x7f\x80\0\0\x01"]
    head, body, nulls = b"\x02\x80\x0a\0", b"\x01\0\0\0\xff", b"\xfc"
    assert record == head + body + nulls + b"\x02\0ab" + b"\0\x01\x04\x40\x01xyz"
    assert packer.make({"c1": 1})[0] == b"\x01\x7f\x09\0" + b"\x01\0\0\0" + b"\xfe"
    assert packer.make({"c1": 1, "c128": None}) is None
    assert packer.make({"c2": True}) is None
    assert packer.make([1]) is None


def test_a_row_that_loses_its_values_on_the_way() -> None:
    """What a value does when it is asked for its number may change the row."""
    row: dict[str, Any] = {}

    class Odd:
        def __index__(self) -> int:
            row.clear()
            return 5

    row |= {"c1": 7, "c129": bytes(range(29)), "c3": Odd(), "c256": bytes(900)}
    expected = {"c1": 7, "c129": bytes(range(29)), "c3": 5, "c256": bytes(900)}
    packer = NATIVE.Packer(COLUMNS, KEYS[:1], large=True, most=4000)
    wanted = packer.make(expected)
    assert wanted is not None
    if NATIVE is not pack_py:  # the reference cannot go through a dictionary that changes
        assert packer.make(row) == wanted


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("columns", "keys", "most"),
    [
        (COLUMNS[::-1], [], 100),
        ([column(1, pack_py.SIGNED, 3, 4)], [], 100),
        ([column(1, pack_py.BYTES, 10, 4, preset=bytes(11))], [], 100),
        ([column(1, pack_py.BYTES, 100, 4)], [], 100),
        ([column(1, pack_py.BYTES, 10, 3)], [], 100),
        (COLUMNS, [], 15),
        (COLUMNS, [], 32769),
        (COLUMNS, [Key([], 255, 0, False)], 100),
        (COLUMNS, [Key([KeyPart(0, 4, SIGNED_N, False, None)] * 17, 255, 0, False)], 100),
        (COLUMNS, [Key([KeyPart(0, 4, SIGNED_N, False, None)], 2001, 0, False)], 100),
        (COLUMNS, [Key([KeyPart(0, 8, SIGNED_N, False, None)], 255, 0, False)], 100),
        (COLUMNS, [Key([KeyPart(7, 8, GUID_N, False, None)], 255, 0, False)], 100),
        (COLUMNS, [Key([KeyPart(2, 2, FLOAT_N, False, None)], 255, 0, False)], 100),
        (COLUMNS, [Key([KeyPart(11, 0, UNICODE_N, False, None)], 255, 0, False)], 100),
        (COLUMNS, [Key([KeyPart(-1, 0, BINARY_N, False, None)], 255, 0, False)], 100),
        (COLUMNS, [Key([KeyPart(10, 4, SIGNED_N, False, None)], 255, 0, False)], 100),
        (COLUMNS, [Key([KeyPart(99, 0, BINARY_N, False, None)], 255, 0, False)], 100),
    ],
)
def test_plans_that_cannot_be_are_refused(
    form: ModuleType, columns: list[Column], keys: list[Key], most: int
) -> None:
    with pytest.raises(ValueError):
        form.Packer(columns, keys, large=False, most=most)


@pytest.mark.parametrize("form", FORMS)
def test_wrong_use_is_refused(form: ModuleType) -> None:
    packer = form.Packer(COLUMNS, KEYS, large=False, most=100)
    with pytest.raises(ValueError):
        packer.pack([], 0, None, [], [])
    with pytest.raises(ValueError):
        packer.pack([], -1, None, [], [[] for _ in KEYS])
    for names, row in [(("c1", "c1"), (1, 1)), (("c1",), (1, 2)), (("c1",), [1]), (("x",), (1,))]:
        assert packer.pack([row], 0, names, [], [[] for _ in KEYS]) == 0
