# cython: language_level=3, boundscheck=False, wraparound=False
"""Compiled checksums; see checksum_py.py."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef extern from "checksum.h" nogil:
    uint64_t hs_block_checksum(const uint8_t *data, uint32_t size, uint32_t number, uint32_t skip)
    uint32_t hs_xor_checksum(const uint8_t *data, size_t size)


def block_checksum(const uint8_t[::1] block not None, uint32_t number, uint32_t skip):
    if block.shape[0] not in (2048, 4096, 8192):
        raise ValueError(f"a block of {block.shape[0]} bytes")
    return hs_block_checksum(&block[0], <uint32_t>block.shape[0], number, skip)


def xor_checksum(const uint8_t[::1] data not None):
    if not data.shape[0]:
        raise ValueError("no data")
    return hs_xor_checksum(&data[0], data.shape[0])
