# cython: language_level=3, boundscheck=False, wraparound=False
"""Compiled checksums; see checksum_py.py."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

cdef extern from "checksum.h" nogil:
    uint64_t hs_block_checksum(const uint8_t *data, uint32_t size, uint32_t number, uint32_t skip)
    uint32_t hs_xor_checksum(const uint8_t *data, size_t size)
    int64_t hs_scan_pages(const uint8_t *data, uint32_t size, size_t count, uint32_t first,
                          uint8_t *states, uint8_t *flush)

GOOD, UNINITIALIZED, SUSPECT = 0, 1, 2


def block_checksum(const uint8_t[::1] block not None, uint32_t number, uint32_t skip):
    if block.shape[0] not in (2048, 4096, 8192):
        raise ValueError(f"a block of {block.shape[0]} bytes")
    return hs_block_checksum(&block[0], <uint32_t>block.shape[0], number, skip)


def xor_checksum(const uint8_t[::1] data not None):
    if not data.shape[0] or data.shape[0] % 4:
        raise ValueError(f"a header of {data.shape[0]} bytes")
    return hs_xor_checksum(&data[0], data.shape[0])


def scan_pages(const uint8_t[::1] data not None, uint32_t size, uint32_t first):
    if size not in (2048, 4096, 8192, 16384, 32768) or data.shape[0] % size:
        raise ValueError(f"{data.shape[0]} bytes are no pages of {size}")
    cdef size_t count = data.shape[0] // size
    states, flush = bytearray(count), bytearray(count)
    if not count:
        return states, flush, -1
    cdef uint8_t[::1] state_view = states, flush_view = flush
    cdef int64_t highest
    with nogil:
        highest = hs_scan_pages(&data[0], size, count, first, &state_view[0], &flush_view[0])
    return states, flush, highest
