"""Page checksums against the engine's verdicts, and single-bit correction."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotsplit._native import checksum_py
from hotsplit.ese.format.checksum import (
    State,
    correct,
    correct_segment,
    page_state,
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


@settings(deadline=None, max_examples=60)
@given(st.binary(min_size=64, max_size=64), st.integers(0, 1 << 31), st.sampled_from([0, 8]))
def test_kernel_equals_reference(part: bytes, number: int, skip: int) -> None:
    kernel = pytest.importorskip("hotsplit._native.checksum", exc_type=ImportError)
    for size in (2048, 4096, 8192):
        block = (part * (size // 64))[:-8] + number.to_bytes(8, "little")
        expected = checksum_py.block_checksum(block, number, skip)
        assert kernel.block_checksum(block, number, skip) == expected
        assert kernel.xor_checksum(block) == checksum_py.xor_checksum(block)


@settings(deadline=None, max_examples=40)
@given(st.integers(64, 4096 * 8 - 1).filter(lambda b: b != 301), st.integers(1, 65000))
def test_one_bit_of_a_log_segment_is_corrected(bit: int, sector: int) -> None:
    data = bytes(36) + b"\0\x20" + bytes(range(250)) * 16 + bytes(58)
    good = segment_checksum(data, sector).to_bytes(8, "little") + data[8:]
    assert len(good) == 4096
    bad = bytearray(good)
    bad[bit // 8] ^= 1 << bit % 8
    assert correct_segment(bytes(bad), sector) == good
