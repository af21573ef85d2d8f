"""Checksums of pages, headers and log segments: the readable reference of the kernel.

Source: format specification 1.3 (headers), 2.3 (pages); log specification 3.2 (segments).
"""

from __future__ import annotations

from functools import lru_cache

Buffer = bytes | bytearray | memoryview

GOOD, UNINITIALIZED, SUSPECT = 0, 1, 2

_SEED = 0x89ABCDEF
_LARGE = 16384


def _fold(x: int, bits: int) -> int:
    """XOR of all 32-bit words of a number of `bits` bits (a power of two)."""
    while bits > 32:
        bits >>= 1
        x = (x >> bits) ^ (x & ((1 << bits) - 1))
    return x


@lru_cache
def _masks(bits: int) -> list[int]:
    """For each bit j of a bit's index: ones at all indices that have bit j set."""
    full = (1 << bits) - 1
    return [full ^ full // ((1 << (1 << j)) + 1) for j in range(bits.bit_length() - 1)]


def block_checksum(block: Buffer, number: int, skip: int) -> int:
    """Return the 64-bit checksum of one block: ECC above, XOR below.

    block: 2048, 4096 or 8192 bytes; number: what is XORed in (page number, sector);
    skip: 8 if the first 8 bytes are the checksum itself and count as zero, else 0.
    """
    bits = 8 * len(block)
    x = int.from_bytes(block, "little") >> 8 * skip << 8 * skip
    low = 0
    for j, mask in enumerate(_masks(bits)):
        low |= ((x & mask).bit_count() & 1) << j
    high = low ^ (bits - 1 if x.bit_count() & 1 else 0)
    return (high << 16 | low) << 32 | (_fold(x, bits) ^ number)


def xor_checksum(data: Buffer) -> int:
    """Return the XOR of all dwords but the first, seeded. `data` is a power of two in size."""
    x = int.from_bytes(data, "little") >> 32 << 32
    return _fold(x, 8 * len(data)) ^ _SEED


def scan_pages(data: Buffer, size: int, first: int) -> tuple[bytearray, bytearray, int]:
    """Judge the pages in `data`, the first of which has the number `first`.

    Return the state of each page (GOOD, UNINITIALIZED, or SUSPECT for all others), the flush type
    of each good one (0 of the others), and the index of the good page with the highest dbtime (-1
    if there is none). Log segments are judged alike: size 4096, number = sector.
    """
    count = len(data) // size
    states, flush = bytearray(count), bytearray(count)
    highest, dbtime = -1, 0
    for i in range(count):
        page = bytes(data[i * size : (i + 1) * size])
        if not any(page):
            states[i] = UNINITIALIZED
        elif not _is_good(page, first + i):
            states[i] = SUSPECT
        else:
            flush[i] = _dword(page, 36) >> 15 & 3
            if _qword(page, 8) > dbtime:
                highest, dbtime = i, _qword(page, 8)
    return states, flush, highest


def _is_good(page: bytes, number: int) -> bool:
    if not page[37] & 0x20:
        summed = _dword(page, 0) == xor_checksum(page) and _dword(page, 4) == number
        return len(page) < _LARGE and summed
    if len(page) < _LARGE:
        return _qword(page, 0) == block_checksum(page, number, 8)
    size = len(page) // 4
    blocks = [page[k * size : (k + 1) * size] for k in range(4)]
    return (
        _dword(page, 64) == number
        and _qword(page, 0) == block_checksum(blocks[0], number, 8)
        and all(_qword(page, 32 + 8 * k) == block_checksum(blocks[k], number, 0) for k in (1, 2, 3))
    )


def _dword(page: bytes, at: int) -> int:
    return int.from_bytes(page[at : at + 4], "little")


def _qword(page: bytes, at: int) -> int:
    return int.from_bytes(page[at : at + 8], "little")
