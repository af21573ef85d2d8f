# cython: language_level=3, boundscheck=False, wraparound=False
"""Compiled page editing; see page_py.py for what each function does."""

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcpy, memset

cdef extern from "page.h" nogil:
    ctypedef struct hs_line:
        uint32_t start
        uint32_t length
        uint32_t flags
    uint32_t hs_head(uint32_t size)
    void hs_put16(uint8_t *p, uint32_t v)
    uint32_t hs_get16(const uint8_t *p)
    void hs_set_count(uint8_t *p, uint32_t count)
    void hs_set_free(uint8_t *p, uint32_t value)
    void hs_set_tag(uint8_t *p, uint32_t size, uint32_t line, hs_line t)
    const char *hs_check(const uint8_t *p, uint32_t size)
    const char *hs_locate(const uint8_t *p, uint32_t size, uint32_t line, hs_line *t)
    const char *hs_insert(uint8_t *p, uint32_t size, uint32_t line, const uint8_t *data,
                          uint32_t need, uint32_t flags)
    const char *hs_replace(uint8_t *p, uint32_t size, uint32_t line, const uint8_t *data,
                           uint32_t need, uint32_t flags)
    const char *hs_delete(uint8_t *p, uint32_t size, uint32_t line)
    const char *hs_set_flags(uint8_t *p, uint32_t size, uint32_t line, uint32_t flags)


cdef uint32_t _size(const uint8_t[::1] page) except? 0:
    cdef Py_ssize_t size = page.shape[0]
    if size not in (2048, 4096, 8192, 16384, 32768):
        raise ValueError(f"a page of {size} bytes")
    return <uint32_t>size


cdef uint32_t _line(object line) except? 0xFFFFFFFFU:
    if not 0 <= line <= 0xFFF:
        raise ValueError(f"line {line}")
    return <uint32_t>line


cdef int _ok(const char *why) except -1:
    if why != NULL:
        raise ValueError(why.decode("ascii"))
    return 0


def header_size(size):
    return 40 if size <= 8192 else 80


def check(const uint8_t[::1] page not None):
    cdef uint32_t size = _size(page)
    _ok(hs_check(&page[0], size))


def locate(const uint8_t[::1] page not None, line):
    cdef hs_line t
    cdef uint32_t size = _size(page)
    _ok(hs_locate(&page[0], size, _line(line), &t))
    return t.start, t.length, t.flags


def insert(uint8_t[::1] page not None, line, bytes data not None, flags):
    _ok(hs_insert(&page[0], _size(page), _line(line), data, <uint32_t>len(data), <uint32_t>(flags & 7)))


def replace(uint8_t[::1] page not None, line, bytes data not None, flags):
    _ok(hs_replace(&page[0], _size(page), _line(line), data, <uint32_t>len(data), <uint32_t>(flags & 7)))


def delete(uint8_t[::1] page not None, line):
    _ok(hs_delete(&page[0], _size(page), _line(line)))


def set_flags(uint8_t[::1] page not None, line, flags):
    _ok(hs_set_flags(&page[0], _size(page), _line(line), <uint32_t>(flags & 7)))


def fill(uint8_t[::1] page not None, list lines not None, list flags not None):
    cdef uint32_t size = _size(page), head = hs_head(size), end = 0, n = 0
    cdef Py_ssize_t used = 0
    cdef Py_ssize_t count = len(lines)
    cdef bytes data
    cdef hs_line t
    cdef uint8_t *p = &page[0]
    if len(flags) != count:
        raise ValueError("as many flags as lines")
    for data in lines:
        used += len(data)
    if head + used + 4 * count > size or count > 0xFFF:
        raise ValueError(f"{count} lines of {used} bytes do not fit")
    memset(p + head, 0, size - head)
    hs_set_count(p, <uint32_t>count)
    for data in lines:
        t.start = end
        t.length = <uint32_t>len(data)
        t.flags = <uint32_t>(flags[n] & 7)
        memcpy(p + head + end, <const uint8_t *>data, t.length)
        hs_set_tag(p, size, n, t)
        end += t.length
        n += 1
    hs_set_free(p, size - head - <uint32_t>used - 4 * <uint32_t>count)
    hs_put16(p + 32, end)
