"""The compiled checksums against the readable reference."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotsplit._native import checksum_py as reference

kernel = pytest.importorskip("hotsplit._native.checksum", exc_type=ImportError)

PAGE_SIZES = (2048, 4096, 8192, 16384, 32768)


def content(seed: int, size: int) -> bytearray:
    return bytearray(random.Random(seed).randbytes(size))


@settings(deadline=None, max_examples=60)
@given(st.integers(), st.integers(0, (1 << 32) - 1), st.sampled_from([0, 8]))
def test_block_and_header_checksums_are_equal(seed: int, number: int, skip: int) -> None:
    for size in (2048, 4096, 8192):
        block = bytes(content(seed, size))
        assert kernel.block_checksum(block, number, skip) == reference.block_checksum(
            block, number, skip
        )
        assert kernel.xor_checksum(block) == reference.xor_checksum(block)


def sealed(seed: int, size: int, pgno: int, ecc: bool) -> bytearray:
    """A page with a good checksum, made with the reference alone."""
    page = content(seed, size)
    page[37] = page[37] & ~0x20 | (0x20 if ecc else 0)
    if not ecc:
        page[4:8] = pgno.to_bytes(4, "little")
        page[:4] = reference.xor_checksum(bytes(page)).to_bytes(4, "little")
        return page
    if size < 16384:
        page[:8] = reference.block_checksum(bytes(page), pgno, 8).to_bytes(8, "little")
        return page
    page[64:68] = pgno.to_bytes(4, "little")
    part = size // 4
    for i in (3, 2, 1, 0):
        at = 32 + 8 * i if i else 0
        block = bytes(page[i * part : (i + 1) * part])
        value = reference.block_checksum(block, pgno, 0 if i else 8)
        page[at : at + 8] = value.to_bytes(8, "little")
    return page


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_runs_of_pages_are_judged_equally(data: st.DataObject) -> None:
    size = data.draw(st.sampled_from(PAGE_SIZES))
    first = data.draw(st.integers(1, 1 << 30))
    run = bytearray()
    kinds = data.draw(
        st.lists(st.sampled_from(["ecc", "old", "zero", "flip", "moved", "bit"]), max_size=5)
    )
    for i, kind in enumerate(kinds):
        page = sealed(data.draw(st.integers()), size, first + i, kind != "old")
        if kind == "zero":
            page = bytearray(size)
        if kind == "moved":
            page = sealed(i, size, first + i + 1, True)
        if kind == "flip":
            page[data.draw(st.integers(0, size - 1))] ^= 1 << data.draw(st.integers(0, 7))
        if kind == "bit":
            page = bytearray(size)
            page[data.draw(st.integers(0, size - 1))] = 1
        run += page
    found = kernel.scan_pages(bytes(run), size, first)
    assert found == reference.scan_pages(bytes(run), size, first)
    expected = {"ecc": {0}, "old": {0} if size < 16384 else {2}, "zero": {1}}
    for kind, state in zip(kinds, found[0], strict=True):
        assert state in expected.get(kind, {2})


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        ("block_checksum", (bytes(1000), 1, 8)),
        ("xor_checksum", (b"",)),
        ("xor_checksum", (bytes(7),)),
        ("scan_pages", (bytes(8192), 1024, 1)),
        ("scan_pages", (bytes(5000), 4096, 1)),
    ],
)
def test_arguments_of_other_sizes_are_refused(call: str, arguments: tuple[object, ...]) -> None:
    with pytest.raises(ValueError, match="bytes"):
        getattr(kernel, call)(*arguments)
