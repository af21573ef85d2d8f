"""Checksums: what a page, a header or a log segment must carry, and mending single bits.

Source: format specification 1.3, 2.3; log specification 3.2.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from hotsplit import _native
from hotsplit.errors import Jet
from hotsplit.ese.format.basics import is_large

_kernel = _native.load("checksum")

Buffer = bytes | bytearray | memoryview

_FLAG_BIT = 36 * 8 + 13  # the flag that says which checksum format the page has
_PGNO = slice(64, 68)
_MOST_PAGES = 1 << 31


class State(StrEnum):
    """What a page's checksum says."""

    GOOD = "good"
    UNINITIALIZED = "uninitialized"
    CORRECTABLE = "correctable"
    BAD = "bad"
    WRONG_PAGE_NUMBER = "wrong page number"


class PageState(NamedTuple):
    """A page's state, with the JET error for reading it if it cannot be used.

    bits: numbers of the wrong bits, counted from the start of the page, when correctable.
    claimed: the number that the page was written for, when that is not the one it lies at.
    """

    state: State
    bits: tuple[int, ...] = ()
    claimed: int = 0
    jet: Jet | None = None


class PageRun(NamedTuple):
    """What one pass over adjacent pages found, an entry a page.

    states: RUN_GOOD, RUN_UNINITIALIZED or RUN_SUSPECT (ask `page_state`).
    flush_types: of the good pages, 0 of the others.
    highest: index of the good page with the highest dbtime, -1 without a good page.
    """

    states: bytearray
    flush_types: bytearray
    highest: int


RUN_GOOD: int = _kernel.GOOD
RUN_UNINITIALIZED: int = _kernel.UNINITIALIZED
RUN_SUSPECT: int = _kernel.SUSPECT

_GOOD = PageState(State.GOOD)
_UNINITIALIZED = PageState(State.UNINITIALIZED, jet=Jet.errPageNotInitialized)
_BAD = PageState(State.BAD, jet=Jet.errReadVerifyFailure)


def header_checksum(data: Buffer) -> int:
    """Return the checksum of a database, log, checkpoint or flush map header (whole block)."""
    value: int = _kernel.xor_checksum(data)
    return value


def segment_checksum(data: Buffer, number: int) -> int:
    """Return the 64-bit checksum of a log segment or a flush map page.

    data: 4096 or 8192 bytes; number: of the sector or map page. An older segment, without the
    flag of the ECC format, carries what an old page does: an XOR and its number.
    """
    if not _has_ecc(data):
        placed = bytes(data[:4]) + number.to_bytes(4, "little") + bytes(data[8:])
        return number << 32 | header_checksum(placed)
    value: int = _kernel.block_checksum(data, number, 8)
    return value


def correct_segment(data: bytes, number: int) -> bytes | None:
    """Return the segment put right if just one of its bits is wrong, else None."""
    bit = _wrong_bit(_stored(data, 0) ^ segment_checksum(data, number), len(data))
    if bit is None or bit == _FLAG_BIT:
        return None
    fixed = _flipped(data, bit)
    return fixed if _stored(fixed, 0) == segment_checksum(fixed, number) else None


def scan_pages(data: Buffer, page_size: int, first: int) -> PageRun:
    """Judge adjacent pages at full speed; `first` is the number of the first one.

    data: whole pages. Log segments (page_size 4096, numbered by sector) are judged alike.
    """
    return PageRun(*_kernel.scan_pages(data, page_size, first))


def page_state(data: Buffer, pgno: int) -> PageState:
    """Tell what the checksum says of a page of 2048 to 32768 bytes read as number `pgno`."""
    page = bytes(data)
    if page == bytes(len(page)):
        return _UNINITIALIZED
    if not _has_ecc(page):
        return _old_state(page, pgno)
    differences = _differences(page, pgno)
    if not any(differences):
        return _placed(page, pgno) if is_large(len(page)) else _GOOD
    mended = _mended(page, pgno)
    if mended is not None:
        return PageState(State.CORRECTABLE, mended[1])
    claimed = pgno ^ differences[0]
    if len(set(differences)) == 1 and 0 < claimed < _MOST_PAGES:
        return PageState(State.WRONG_PAGE_NUMBER, (), claimed, Jet.errReadVerifyFailure)
    return _BAD


def correct(data: Buffer, pgno: int) -> bytes:
    """Return a correctable page with its wrong bits mended. Raises ValueError for any other."""
    page = bytes(data)
    mended = _mended(page, pgno) if _has_ecc(page) else None
    if mended is None:
        raise ValueError(f"page {pgno} cannot be corrected")
    return mended[0]


def stamp(data: bytearray, pgno: int) -> None:
    """Write the checksum of a page in the page's own format."""
    if not _has_ecc(data):
        data[4:8] = pgno.to_bytes(4, "little")
        data[:4] = header_checksum(data).to_bytes(4, "little")
        return
    for offset, size, at in reversed(_blocks(len(data))):  # block 0 covers the other checksums
        value = _block_checksum(data, offset, size, pgno)
        data[at : at + 8] = value.to_bytes(8, "little")


def _has_ecc(data: Buffer) -> bool:
    return bool(data[37] & 0x20)


def _blocks(page_size: int) -> list[tuple[int, int, int]]:
    """Return (offset, size, offset of the checksum) of each checksummed block of a page."""
    if not is_large(page_size):
        return [(0, page_size, 0)]
    size = page_size // 4
    return [(i * size, size, 32 + 8 * i if i else 0) for i in range(4)]


def _block_checksum(data: Buffer, offset: int, size: int, pgno: int) -> int:
    block = memoryview(data)[offset : offset + size]
    value: int = _kernel.block_checksum(block, pgno, 0 if offset else 8)
    return value


def _stored(data: Buffer, at: int) -> int:
    return int.from_bytes(data[at : at + 8], "little")


def _differences(page: bytes, pgno: int) -> list[int]:
    """Return stored XOR computed checksum of each block."""
    return [
        _stored(page, at) ^ _block_checksum(page, offset, size, pgno)
        for offset, size, at in _blocks(len(page))
    ]


def _wrong_bit(difference: int, size: int) -> int | None:
    """Return the number of the one wrong bit in a block, None if the difference shows none."""
    ecc, xor = difference >> 32, difference & 0xFFFFFFFF
    mask = 8 * size - 1
    bit = ecc & mask
    opposite = (ecc >> 16 ^ ecc) & mask == mask
    return bit if opposite and xor == 1 << bit % 32 else None


def _flipped(data: bytes, bit: int) -> bytes:
    mended = bytearray(data)
    mended[bit // 8] ^= 1 << bit % 8
    return bytes(mended)


def _mended(page: bytes, pgno: int) -> tuple[bytes, tuple[int, ...]] | None:
    """Return the page with one wrong bit in each bad block flipped, and the bits' numbers.

    Block 0 comes first since it holds the checksums of the others.
    """
    bits: list[int] = []
    for i, (offset, size, _) in enumerate(_blocks(len(page))):
        difference = _differences(page, pgno)[i]
        if not difference:
            continue
        bit = _wrong_bit(difference, size)
        if bit is None or (offset == 0 and bit == _FLAG_BIT):
            return None
        bits.append(8 * offset + bit)
        page = _flipped(page, bits[-1])
    if any(_differences(page, pgno)):
        return None
    return page, tuple(bits)


def _old_state(page: bytes, pgno: int) -> PageState:
    if is_large(len(page)) or _stored(page, 0) & 0xFFFFFFFF != header_checksum(page):
        return _BAD
    claimed = _stored(page, 0) >> 32
    if claimed == pgno:
        return _GOOD
    return PageState(State.WRONG_PAGE_NUMBER, (), claimed, Jet.errReadVerifyFailure)


def _placed(page: bytes, pgno: int) -> PageState:
    """Judge a large page with good checksums by the number in its own header."""
    claimed = int.from_bytes(page[_PGNO], "little")
    if claimed == pgno:
        return _GOOD
    return PageState(State.WRONG_PAGE_NUMBER, (), claimed, Jet.errReadPgnoVerifyFailure)
