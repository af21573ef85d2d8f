"""Checksums of pages, headers and log segments: the readable reference of the kernel.

Source: format specification 1.3 (headers), 2.3 (pages); log specification 3.2 (segments).
"""

from __future__ import annotations

from functools import lru_cache

_SEED = 0x89ABCDEF


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


def block_checksum(block: bytes, number: int, skip: int) -> int:
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


def xor_checksum(data: bytes) -> int:
    """Return the XOR of all dwords but the first, seeded. `data` is a power of two in size."""
    x = int.from_bytes(data, "little") >> 32 << 32
    return _fold(x, 8 * len(data)) ^ _SEED
