"""Checksums: what a page, a header or a log segment must carry, and mending single bits.

Source: format specification 1.3, 2.3; log specification 3.2.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from hotsplit import _native

_kernel = _native.load("checksum")

_FLAG_BIT = 36 * 8 + 13  # the flag that says which checksum format the page has
_LARGE = 16384
_SEGMENT = 4096


class State(StrEnum):
    """What a page's checksum says."""

    GOOD = "good"
    UNINITIALIZED = "uninitialized"
    CORRECTABLE = "correctable"
    BAD = "bad"
    WRONG_PAGE_NUMBER = "wrong page number"


class PageState(NamedTuple):
    """bits: numbers of the wrong bits, counted from the start of the page, when correctable."""

    state: State
    bits: tuple[int, ...] = ()


def header_checksum(data: bytes) -> int:
    """Return the checksum of a database, log, checkpoint or flush map header (whole block)."""
    value: int = _kernel.xor_checksum(data)
    return value


def segment_checksum(data: bytes, sector: int) -> int:
    """Return the 64-bit checksum of a log segment of 4096 bytes.

    A segment without the flag of the ECC format carries, as old pages do, an XOR and its number.
    """
    if not _is_ecc(data):
        number = sector.to_bytes(4, "little")
        return sector << 32 | header_checksum(data[:4] + number + data[8:])
    value: int = _kernel.block_checksum(data, sector, 8)
    return value


def _wrong_bit(stored: int, computed: int, size: int) -> int | None:
    """Return the number of the one wrong bit of a block, None if it is not just one."""
    difference = stored ^ computed
    ecc, xor = difference >> 32, difference & 0xFFFFFFFF
    mask = 8 * size - 1
    if (ecc >> 16 ^ ecc) & mask != mask or xor.bit_count() != 1:
        return None
    bit = ecc & mask
    return bit if bit % 32 == xor.bit_length() - 1 and bit >= 64 * (size > 0) else None


def correct_segment(data: bytes, sector: int) -> bytes | None:
    """Return the segment put right if just one of its bits is wrong, else None."""
    stored = int.from_bytes(data[:8], "little")
    bit = _wrong_bit(stored, segment_checksum(data, sector), _SEGMENT)
    if bit is None or bit == _FLAG_BIT:
        return None
    fixed = _flipped(data, bit)
    return fixed if segment_checksum(fixed, sector) == stored else None


def _flipped(data: bytes, bit: int) -> bytes:
    mended = bytearray(data)
    mended[bit // 8] ^= 1 << bit % 8
    return bytes(mended)


def _is_ecc(data: bytes | bytearray) -> bool:
    return bool(data[37] & 0x20)


def _blocks(data: bytes | bytearray, pgno: int) -> list[tuple[int, int, int, int]]:
    """Return (offset, size, stored, computed) of each checksummed block."""
    if len(data) < _LARGE:
        stored = int.from_bytes(data[:8], "little")
        return [(0, len(data), stored, _kernel.block_checksum(data, pgno, 8))]
    size = len(data) // 4
    view = memoryview(data)
    found = []
    for i in range(4):
        at = 0 if i == 0 else 32 + 8 * i
        stored = int.from_bytes(data[at : at + 8], "little")
        block = view[i * size : (i + 1) * size]
        computed = _kernel.block_checksum(bytes(block), pgno, 8 if i == 0 else 0)
        found.append((i * size, size, stored, computed))
    return found


def page_state(data: bytes, pgno: int) -> PageState:
    """Tell what the checksum says of a page of 2048 to 32768 bytes read as number `pgno`."""
    if not any(data):
        return PageState(State.UNINITIALIZED)
    if not _is_ecc(data):
        return PageState(_old_state(data, pgno))
    blocks = _blocks(data, pgno)
    if all(stored == computed for _, _, stored, computed in blocks):
        placed = len(data) < _LARGE or int.from_bytes(data[64:68], "little") == pgno
        return PageState(State.GOOD if placed else State.WRONG_PAGE_NUMBER)
    if all(0 < (s ^ c) < 1 << 32 for _, _, s, c in blocks) and (
        len({s ^ c for _, _, s, c in blocks}) == 1
        and (len(data) >= _LARGE or (blocks[0][2] ^ blocks[0][3]).bit_count() > 1)
    ):
        return PageState(State.WRONG_PAGE_NUMBER)
    mended = _mended(data, pgno)
    if mended is None:
        return PageState(State.BAD)
    return PageState(State.CORRECTABLE, mended[1])


def _old_state(data: bytes, pgno: int) -> State:
    stored = int.from_bytes(data[:4], "little")
    if len(data) >= _LARGE or stored != header_checksum(data):
        return State.BAD
    placed = int.from_bytes(data[4:8], "little") == pgno
    return State.GOOD if placed else State.WRONG_PAGE_NUMBER


def _mended(data: bytes, pgno: int) -> tuple[bytes, tuple[int, ...]] | None:
    """Mend one bit a block; the header block first, since it holds the others' checksums."""
    bits: list[int] = []
    for i in range(len(_blocks(data, pgno))):
        offset, size, stored, computed = _blocks(data, pgno)[i]
        if stored == computed:
            continue
        bit = _wrong_bit(stored, computed, size) if i == 0 else _body_bit(stored, computed, size)
        if bit is None or (i == 0 and bit == _FLAG_BIT):
            return None
        bits.append(8 * offset + bit)
        data = _flipped(data, bits[-1])
    good = all(stored == computed for _, _, stored, computed in _blocks(data, pgno))
    return (data, tuple(bits)) if good else None


def _body_bit(stored: int, computed: int, size: int) -> int | None:
    """Like `_wrong_bit` for a block that does not hold its own checksum."""
    difference = stored ^ computed
    ecc, xor = difference >> 32, difference & 0xFFFFFFFF
    mask = 8 * size - 1
    bit = ecc & mask
    fits = (ecc >> 16 ^ ecc) & mask == mask and xor.bit_count() == 1
    return bit if fits and bit % 32 == xor.bit_length() - 1 else None


def correct(data: bytes, pgno: int) -> bytes:
    """Return a correctable page with its wrong bits mended. Raises ValueError for any other."""
    mended = _mended(data, pgno) if _is_ecc(data) else None
    if mended is None:
        raise ValueError(f"page {pgno} cannot be corrected")
    return mended[0]


def stamp(data: bytearray, pgno: int) -> None:
    """Write the checksum of a page in the page's own format."""
    if not _is_ecc(data):
        data[4:8] = pgno.to_bytes(4, "little")
        data[:4] = header_checksum(bytes(data)).to_bytes(4, "little")
        return
    count = 1 if len(data) < _LARGE else 4
    for i in reversed(range(count)):
        at = 0 if i == 0 else 32 + 8 * i
        data[at : at + 8] = _blocks(data, pgno)[i][3].to_bytes(8, "little")
