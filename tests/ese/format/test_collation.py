"""Sort keys of Unicode text: against measured ones, and tables written here by their layout."""

from __future__ import annotations

import os
import struct
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotsplit.ese.format.catalogschema import IndexDef, Segment
from hotsplit.ese.format.collation import Collation, KeyUnknown, sort_key
from hotsplit.ese.format.columns import UTF16, Coltyp, ColumnDef
from hotsplit.ese.format.keys import record_key, unicode_key
from hotsplit.ese.format.sortlocales import sort_of_name
from hotsplit.ese.format.sorttable import SORT_ID_TAIL, BuiltIn, SortTable, use_sort_table
from hotsplit.ese.format.textorder import text_order

_MEASURED = Path(__file__).parents[2] / "data" / "sortkeys.txt"


@pytest.fixture
def built_in() -> Collation:
    found = BuiltIn(0x60305).collation(1)
    assert found is not None
    return found


def _agreeing(collation: Collation) -> int:
    """Make all measured keys; return how many there are."""
    lines = [line.split() for line in _MEASURED.read_text().splitlines() if line[0] != "#"]
    for flags, units, key in lines:
        text = bytes.fromhex(units).decode("utf-16-be", "surrogatepass")
        assert sort_key(text, int(flags, 16), collation).hex() == key, (flags, text)
    return len(lines)


def test_measured_keys(built_in: Collation) -> None:
    assert _agreeing(built_in) > 300


@pytest.mark.parametrize(
    ("text", "flags", "key"),
    [  # format specification 10.4
        ("Users", 0x30401, "0e9f0e910e210e8a0e910101010100"),
        ("é", 0x30401, "0e21010e01010100"),
        ("abcdefgh-", 0x30401, "0e020e090e0a0e1a0e210e230e250e2c01010101fff7821200"),
        # of a real database: no case level, though the character has such a weight
        ("🦊", 0x30401, "b040b686013f3f01010100"),
        ("\u2019", 0x30401, "077a0101010100"),
        ("straße", 0x30403, "0e910e990e8a0e020e910e910e210101010100"),
    ],
)
def test_known_keys(built_in: Collation, text: str, flags: int, key: str) -> None:
    assert sort_key(text, flags, built_in).hex() == key


def test_what_is_not_known_has_no_key(built_in: Collation) -> None:
    for text in ("\u9fff", "한", "\u1100", "\uabcd", "a\u30fc", "\u3005", "a" + "\u0345" * 200):
        with pytest.raises(KeyUnknown):
            sort_key(text, 0x30401, built_in)
    for flags in (0x30421, 0x30409, 0x8000401):
        with pytest.raises(KeyUnknown):
            sort_key("a", flags, built_in)
    with pytest.raises(KeyUnknown):
        sort_key("①", 0x410, built_in)


@given(st.text(st.characters(max_codepoint=0x24F), max_size=20))
def test_case_makes_no_difference_where_it_is_ignored(text: str) -> None:
    built_in = BuiltIn(0x60305).collation(1)
    assert built_in is not None
    same = "".join(c.swapcase() if c.isascii() else c for c in text)
    assert _key(same, built_in) == _key(text, built_in)


def _key(text: str, collation: Collation) -> bytes | None:
    try:
        return sort_key(text, 0x30401, collation)
    except KeyUnknown:
        return None


def _index(version: int, locale: str | int = "en-US", sort_id: bytes = b"") -> IndexDef:
    flags = 0x30401
    return IndexDef("i", 1, 1, 0, (), locale=locale, lcmap_flags=flags, sort_version=version,
                    sort_id=sort_id)  # fmt: skip


def test_versions_of_windows() -> None:
    """What weighs the same in older versions is covered, nothing else."""
    assert unicode_key("ä", _index(0x6020F)) == unicode_key("ä", _index(0x60305))
    assert unicode_key("日本", _index(0x60305)).hex() == "fdff547ffdff55c80101010100"
    assert unicode_key("a1", _index(0x60101)) == unicode_key("a1", _index(0x60305))
    assert unicode_key("a-b", _index(0x50000)) == unicode_key("a-b", _index(0x60305))
    for text, version in (("日", 0x6020F), ("ä", 0x60101), ("ä", 0), ("a1", 0x50000), ("a", 0x100)):
        with pytest.raises(KeyUnknown):
            unicode_key(text, _index(version))


def test_locales() -> None:
    assert unicode_key("a", _index(0x60305, "de-DE")) == unicode_key("a", _index(0x60305))
    assert unicode_key("a", _index(0x60305, 0x407)) == unicode_key("a", _index(0x60305))
    for locale in ("de-DE_phoneb", "cs", "zh-CN", "sv-SE", 0x41D, 0x10407, 0xFFFF):
        with pytest.raises(KeyUnknown):
            unicode_key("a", _index(0x60305, locale))
    assert sort_of_name("sv-FI") == sort_of_name("sv") != sort_of_name("en-GB") == 1
    foreign = _index(0x60305, sort_id=bytes(range(16)))
    swedish = _index(0x60305, "en-US", struct.pack("<I", 26) + SORT_ID_TAIL)
    for index in (foreign, swedish):
        with pytest.raises(KeyUnknown):
            unicode_key("a", index)


def test_of_records_the_engine_takes_127_characters() -> None:
    """As the published engine's check calculates it: the hyphen has no weight of its own place."""
    column = ColumnDef("L", 256, Coltyp.LONG_TEXT, code_page=UTF16)
    index = replace(_index(0x6020F), key=(Segment(256),))
    text = ("-" + "abcdefg" * 40).encode("utf-16-le")
    weights = bytes.fromhex("0e020e090e0a0e1a0e210e230e25" * 18)
    assert record_key([column], index, [text]) == b"\x7f" + weights + b"\1\1"


def test_of_longer_keys_the_engine_reads_on_until_a_segment_is_full() -> None:
    """It reads as many bytes of text as a key has, and twice as many only where that is too few."""
    column = ColumnDef("L", 256, Coltyp.LONG_TEXT, code_page=UTF16)
    index = replace(_index(0x6020F), key=(Segment(256),), key_most=300)
    full = ("-" * 10 + "a" * 200).encode("utf-16-le")  # of 150 characters: 10 hyphens, 140 letters
    place = (0xFFFF).to_bytes(2, "big") + bytes.fromhex("8212")
    special = (b"\1" * 4 + place * 10)[: 300 - 281]
    assert record_key([column], index, [full]) == b"\x7f" + b"\x0e\2" * 140 + special
    empty = ("\0" * 100 + "a" * 200).encode("utf-16-le")  # of 150: 50 letters
    assert record_key([column], index, [empty]) == (b"\x7f" + b"\x0e\2" * 150)[:300]


# Tables


def _word(script: int, alphabetic: int, diacritic: int = 2, case: int = 2) -> int:
    return case << 24 | diacritic << 16 | script << 8 | alphabetic


def write_table(version: int = 0x60305) -> bytes:
    """Write a table: letters a to z, four locales, an expansion and two contractions."""
    weights = [0] * 0x10000
    for i, letter in enumerate("abcdefghijklmnopqrstuvwxyz"):
        weights[ord(letter)] = _word(14, 2 + 2 * i, 2, 0x42 if letter == "c" else 2)
    weights[0xE9] = _word(14, weights[ord("e")] & 0xFF, 14)
    weights[0xE6] = _word(2, 0, 0, 0)
    weights[0x4E00] = _word(0xC0, 3, 7)
    exceptions = len(weights)
    pages = [256 * i for i in range(256)]
    pages[0] = exceptions + 256
    weights += pages
    weights += [_word(14, 99) if unit == ord("e") else w for unit, w in enumerate(weights[:256])]
    none = 0xFFFFFFFF
    locales = b"".join(
        struct.pack("<I", number) + SORT_ID_TAIL + struct.pack("<5I", flags, contractions, at, 0, 0)
        for number, flags, contractions, at in (
            (1, 0, none, 0), (2, 0x10, none, 0), (3, 1, none, exceptions), (4, 0x20, 0, 0),
        )
    )  # fmt: skip
    pairs = struct.pack("<2HI", ord("c"), ord("h"), _word(14, 77))
    triples = struct.pack("<3H2xI", *map(ord, "csz"), _word(14, 78))
    tail = struct.pack("<I2H", 1, ord("a"), ord("e"))
    tail += struct.pack("<II10H", 1, 0, ord("a"), ord("z"), 1, 1, *([0] * 6)) + pairs + triples
    data = struct.pack(f"<{len(weights)}I", *weights)
    at = 16 + len(data)
    sorts = struct.pack("<2I", version, 4) + locales + tail
    return struct.pack("<4I", 16, at, at, at) + data + sorts


def _collation(number: int) -> Collation:
    found = SortTable(write_table()).collation(number)
    assert found is not None
    return found


def test_a_table_is_read() -> None:
    assert sort_key("aé", 0x400, _collation(1)).hex() == "0e020e0a01020e01010100"
    assert sort_key("æ", 0x400, _collation(1)) == sort_key("ae", 0x400, _collation(1))
    assert sort_key("\u4e00", 0x400, _collation(1)).hex() == "c00301070101" + "0100"
    assert SortTable(write_table()).collation(99) is None


def test_diacritics_from_the_end() -> None:
    assert sort_key("éa", 0x400, _collation(2)).hex() == "0e0a0e0201020e01010100"
    assert sort_key("aé", 0x400, _collation(2)).hex() == "0e020e0a010e01010100"


def test_exceptions_and_third_bytes() -> None:
    assert sort_key("e", 0x400, _collation(3)).hex() == "0e630101010100"
    assert sort_key("\u4e00", 0x400, _collation(3)).hex() == "c003070101010100"


def test_contractions() -> None:
    spanish = _collation(4)
    assert sort_key("ach", 0x400, spanish).hex() == "0e020e4d0101010100"
    assert sort_key("cszc", 0x400, spanish).hex() == "0e4e0e060101010100"
    assert sort_key("hc", 0x400, spanish).hex() == "0e100e060101010100"
    with pytest.raises(KeyUnknown):
        sort_key("cch", 0x400, spanish)


def test_a_table_that_is_supplied_is_used_where_it_fits() -> None:
    use_sort_table(SortTable(write_table()))
    try:
        assert unicode_key("b", _index(0x60305))[:2].hex() == "0e04"
        assert unicode_key("b", _index(0x6020E))[:2].hex() == "0e04"
        assert unicode_key("b", _index(0x60101))[:2].hex() == "0e09"
        haw = _index(0x60305, "haw")
        assert unicode_key("éa", haw).hex() == "0e0a0e0201020e01010100"
        with pytest.raises(KeyUnknown):
            unicode_key("a", _index(0x60305, "sv"))
    finally:
        use_sort_table(None)
    with pytest.raises(KeyUnknown):
        unicode_key("a", _index(0x60305, "haw"))


def test_entries_are_judged_only_by_weights_of_known_versions() -> None:
    """Those not recorded, of Windows XP and of later ones than are known are left alone."""
    for version, known in ((0, 0), (0x100, 0), (0x50000, 1), (0x60305, 1), (0x60401, 0)):
        assert (text_order(_index(version)) is not None) == known, hex(version)
    assert text_order(replace(_index(0x60305), lcmap_flags=0x200)) is None
    assert text_order(replace(_index(0x60305), locale="sv-SE")) is None
    use_sort_table(SortTable(write_table(0x60401)))
    try:
        assert text_order(_index(0x60401)) is not None
        assert text_order(_index(0x60501)) is None
    finally:
        use_sort_table(None)


def test_damaged_tables_are_refused() -> None:
    whole = write_table()
    for cut in (0, 8, 15, 100, 0x40000, *range(len(whole) - 120, len(whole))):
        _use(whole[:cut])
    for place in (*range(16), *range(len(whole) - 220, len(whole))):
        for byte in (0, 0x7F, 0xFF):
            _use(whole[:place] + bytes([byte]) + whole[place + 1 :])


def _use(data: bytes) -> None:
    """A table that is damaged is a ValueError, or says nothing worse than an unknown key."""
    try:
        table = SortTable(data)
        for number in (1, 2, 3, 4):
            collation = table.collation(number)
            if collation is not None:
                sort_key("aæchcsz\u4e00é", 0x400, collation)
    except ValueError:
        return


def test_the_table_of_windows() -> None:
    """A real table, if one is at hand, makes the measured keys."""
    path = os.environ.get("HOTSPLIT_SORT_TABLE")
    if not path:
        pytest.skip("needs a SortDefault.nls, named by HOTSPLIT_SORT_TABLE")
    table = SortTable(Path(path).read_bytes())
    real = table.collation(1)
    assert real is not None
    assert _agreeing(real) > 300
