# cython: language_level=3, boundscheck=False, wraparound=False
"""Streams of compressed column data. See compress_py.py for the readable reference."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int32_t, uint8_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset

cdef extern from "compress.h":
    enum: XP_HASH_BITS
    void seven_decode(const uint8_t *, uint8_t *, size_t, int) nogil
    int seven_encode(const uint8_t *, size_t, uint8_t *) nogil
    int xpress_decode_c(const uint8_t *, size_t, uint8_t *, size_t) nogil
    size_t xpress_room(size_t) nogil
    size_t xpress_encode_c(const uint8_t *, size_t, uint8_t *, int32_t *) nogil

cdef tuple _WHY = (
    "",
    "XPRESS data ends too early",
    "XPRESS match reaches before the data",
    "XPRESS data is larger than stated",
    "XPRESS match has an impossible length",
)


def seven_bit_decode(const unsigned char[::1] stream, Py_ssize_t count, bint wide):
    if count < 0 or count * 7 > stream.shape[0] * 8:
        raise ValueError("7-bit data is too short")
    cdef int step = 2 if wide else 1
    cdef bytes out = PyBytes_FromStringAndSize(NULL, count * step)
    cdef uint8_t *to = <uint8_t *>PyBytes_AS_STRING(out)
    memset(to, 0, count * step)
    if count:
        seven_decode(&stream[0], to, count, step)
    return out


def seven_bit_encode(const unsigned char[::1] data):
    cdef Py_ssize_t n = data.shape[0]
    cdef bytes out = PyBytes_FromStringAndSize(NULL, (n * 7 + 7) // 8)
    if n and seven_encode(&data[0], n, <uint8_t *>PyBytes_AS_STRING(out)):
        raise ValueError("not 7-bit data")
    return out


def xpress_decode(const unsigned char[::1] stream, Py_ssize_t size):
    cdef Py_ssize_t n = stream.shape[0]
    if size <= 0:
        return b""
    if n == 0:
        raise ValueError(_WHY[1])
    cdef bytes out = PyBytes_FromStringAndSize(NULL, size)
    cdef int status = xpress_decode_c(&stream[0], n, <uint8_t *>PyBytes_AS_STRING(out), size)
    if status:
        raise ValueError(_WHY[-status])
    return out


def xpress_encode(const unsigned char[::1] data):
    cdef Py_ssize_t n = data.shape[0]
    cdef size_t slots = 1 << XP_HASH_BITS
    cdef size_t room = xpress_room(n)
    cdef uint8_t empty = 0
    cdef const uint8_t *start = &data[0] if n else &empty
    cdef uint8_t *scratch = <uint8_t *>malloc(room + slots * sizeof(int32_t) + 8)
    if scratch == NULL:
        raise MemoryError
    cdef int32_t *latest = <int32_t *>(scratch + ((room + 7) & ~<size_t>7))
    memset(latest, 0xFF, slots * sizeof(int32_t))
    try:
        used = xpress_encode_c(start, n, scratch, latest)
        return PyBytes_FromStringAndSize(<char *>scratch, used)
    finally:
        free(scratch)
