"""Page checksums against the engine's verdicts, and single-bit correction."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotsplit.errors import Jet
from hotsplit.ese.format.checksum import (
    RUN_SUSPECT,
    State,
    correct,
    correct_segment,
    page_state,
    scan_pages,
    segment_checksum,
    stamp,
)
from tests.conftest import set_names, unpack_vector

SIZES = (4096, 8192, 16384, 32768)


def damaged(flip: dict[str, Any], pages: bytes, size: int) -> bytes:
    """Apply the edits of one flip to its page."""
    start = (flip["page"] + 1) * size
    page = bytearray(pages[start : start + size])
    for edit in flip["edits"]:
        at = edit.get("offset", 0)
        if "xor" in edit:
            for i, value in enumerate(bytes.fromhex(edit["xor"])):
                page[at + i] ^= value
        elif "fill" in edit:
            page[at : at + edit["length"]] = bytes.fromhex(edit["fill"]) * edit["length"]
        else:
            other = (edit["from_page"] + 1) * size
            page[:] = pages[other : other + size]
    return bytes(page)


@pytest.mark.parametrize("name", set_names("pagebits"))
def test_every_flip_gets_the_engines_verdict(name: str) -> None:
    folder = unpack_vector(name)
    listing = json.loads((folder / "flips.json").read_text())
    size = listing["page_size"]
    pages = (folder / "test.edb").read_bytes()
    wrong = []
    for flip in listing["flips"]:
        page = damaged(flip, pages, size)
        state = page_state(page, flip["page"])
        found = "bad" if state.state == State.WRONG_PAGE_NUMBER else str(state.state)
        if found != flip["expect"]["verdict"]:
            wrong.append((flip["kind"], found, flip["expect"]))
        if state.state == State.CORRECTABLE:
            start = (flip["page"] + 1) * size
            assert correct(page, flip["page"]) == pages[start : start + size]
    assert not wrong


def make_page(seed: int, size: int, pgno: int) -> bytes:
    page = bytearray((seed + 1).to_bytes(8, "little") * (size // 8))
    page[36:40] = (0x2802).to_bytes(4, "little")
    if size > 8192:
        page[64:68] = pgno.to_bytes(4, "little")
    stamp(page, pgno)
    return bytes(page)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_one_bit_is_corrected_and_two_in_a_block_are_seen(
    data: st.DataObject,
) -> None:
    size = data.draw(st.sampled_from(SIZES))
    pgno = data.draw(st.integers(1, 1 << 30))
    page = make_page(data.draw(st.integers(0, 1 << 60)), size, pgno)
    assert page_state(page, pgno).state == State.GOOD
    bit = data.draw(st.integers(64, 8 * size - 1).filter(lambda b: b != 301))
    one = bytearray(page)
    one[bit // 8] ^= 1 << bit % 8
    assert page_state(bytes(one), pgno).state == State.CORRECTABLE
    assert correct(bytes(one), pgno) == page
    block = size if size < 16384 else size // 4
    first = bit // 8 // block * block * 8
    other = data.draw(st.integers(first, first + 8 * block - 1).filter(lambda b: b != bit))
    one[other // 8] ^= 1 << other % 8
    assert page_state(bytes(one), pgno).state != State.GOOD


def by_rows_and_columns(data: bytes | bytearray, number: int) -> int:
    """The checksum as the log specification (3.2) computes it: another formulation."""
    whole = 0xFFFFFFFF
    columns, p, index, x = [0] * 4, 0, 0xFF800000, 0
    words = [int.from_bytes(data[i : i + 4], "little") for i in range(0, len(data), 4)]
    words[:2] = 0, 0
    for row in range(0, len(words), 4):
        four = words[row : row + 4]
        columns = [c ^ w for c, w in zip(columns, four, strict=True)]
        t = four[0] ^ four[1] ^ four[2] ^ four[3]
        x ^= t
        if t.bit_count() & 1:
            p ^= index
        index = index + 0xFF800080 & whole
    for a, b, bit in ((0, 1, 0x400000), (2, 3, 0x40), (0, 2, 0x200000), (1, 3, 0x20)):
        if (columns[a] ^ columns[b]).bit_count() & 1:
            p |= bit
    r = 0
    for i in range(32):
        if x >> i & 1:
            r ^= 0xFFFF0000 + i * 0xFFFF0001 & whole
    mask = (len(data) << 19) - 1 & whole
    return (p & 0xFFE0FFE0 & mask | r & 0x1F001F) << 32 | x ^ number


@settings(deadline=None, max_examples=30)
@given(st.integers(), st.integers(0, 1 << 31))
def test_both_formulations_of_the_checksum_agree(seed: int, number: int) -> None:
    data = bytearray(random.Random(seed).randbytes(4096))
    data[37] |= 0x20
    assert segment_checksum(data, number) == by_rows_and_columns(data, number)


@pytest.mark.parametrize("size", SIZES)
def test_a_page_at_the_wrong_place_tells_its_number(size: int) -> None:
    page = make_page(5, size, 17)
    state = page_state(page, 4)
    assert (state.state, state.claimed) == (State.WRONG_PAGE_NUMBER, 17)
    assert state.jet == Jet.errReadVerifyFailure


def test_a_number_field_that_is_wrong_under_good_checksums() -> None:
    page = bytearray(make_page(5, 16384, 17))
    page[64:68] = (18).to_bytes(4, "little")
    stamp(page, 17)
    state = page_state(page, 17)
    assert (state.state, state.claimed) == (State.WRONG_PAGE_NUMBER, 18)
    assert state.jet == Jet.errReadPgnoVerifyFailure


@settings(deadline=None, max_examples=40)
@given(st.sampled_from([2048, 4096, 8192]), st.data())
def test_pages_of_the_old_format_are_never_corrected(size: int, data: st.DataObject) -> None:
    page = bytearray(make_page(3, size, 9))
    page[37] &= ~0x20
    stamp(page, 9)
    assert page_state(page, 9).state == State.GOOD
    assert page_state(page, 8).claimed == 9
    bit = data.draw(st.integers(0, 8 * size - 1))
    page[bit // 8] ^= 1 << bit % 8
    assert page_state(page, 9).state != State.GOOD
    assert page_state(page, 9).state != State.CORRECTABLE
    with pytest.raises(ValueError, match="page 9"):
        correct(page, 9)


@pytest.mark.parametrize("size", [16384, 32768])
def test_one_wrong_bit_in_each_block_of_a_large_page_is_corrected(size: int) -> None:
    page = make_page(7, size, 11)
    bits = (8 * 45 + 3, 2 * size + 77, 4 * size + 5, 6 * size + 1000)
    bad = bytearray(page)
    for bit in bits:
        bad[bit // 8] ^= 1 << bit % 8
    assert page_state(bad, 11) == (State.CORRECTABLE, bits, 0, None)
    assert correct(bad, 11) == page


@settings(deadline=None, max_examples=30)
@given(st.sampled_from(SIZES), st.integers(), st.integers(1, 1 << 31))
def test_random_bytes_are_a_bad_page(size: int, seed: int, pgno: int) -> None:
    data = random.Random(seed).randbytes(size)
    assert page_state(data, pgno).state in (State.BAD, State.WRONG_PAGE_NUMBER)
    assert scan_pages(data, size, pgno).states == bytes([RUN_SUSPECT])


@settings(deadline=None, max_examples=40)
@given(st.integers(64, 4096 * 8 - 1).filter(lambda b: b != 301), st.integers(1, 65000))
def test_one_bit_of_a_log_segment_is_corrected(bit: int, sector: int) -> None:
    data = bytes(36) + b"\0\x20" + bytes(range(250)) * 16 + bytes(58)
    good = segment_checksum(data, sector).to_bytes(8, "little") + data[8:]
    assert len(good) == 4096
    bad = bytearray(good)
    bad[bit // 8] ^= 1 << bit % 8
    assert correct_segment(bytes(bad), sector) == good
