# cython: language_level=3, boundscheck=False, wraparound=False
"""Rows as JSON objects and as CSV. See jsonl_py.py for the readable reference."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from libc.math cimport isfinite
from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memcpy, strlen

from hotsplit._native.jsonl_py import names_to_prefixes

cdef extern from "jsonl.h" nogil:
    uint8_t *hs_quote(uint8_t *, const uint8_t *, size_t)
    uint8_t *hs_quote_cell(uint8_t *, const uint8_t *, size_t)
    uint8_t *hs_decimal(uint8_t *, int64_t)

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object, Py_ssize_t *) except NULL
    char *PyOS_double_to_string(double, char, int, int, int *) except NULL
    int64_t PyLong_AsLongLongAndOverflow(object, int *) except? -1
    enum: Py_DTSF_ADD_DOT_0


cdef class _Buffer:
    cdef uint8_t *data
    cdef size_t used, room

    def __cinit__(self):
        self.room = 65536
        self.data = <uint8_t *>PyMem_Malloc(self.room)
        if self.data == NULL:
            raise MemoryError

    def __dealloc__(self):
        PyMem_Free(self.data)

    cdef uint8_t *reserve(self, size_t more) except NULL:
        cdef size_t need = self.used + more
        cdef uint8_t *data
        if need > self.room:
            need += need // 2
            data = <uint8_t *>PyMem_Realloc(self.data, need)
            if data == NULL:
                raise MemoryError
            self.data, self.room = data, need
        return self.data + self.used

    cdef int put(self, const char *text, size_t length) except -1:
        memcpy(self.reserve(length + 1), text, length)
        self.used += length
        return 0


cdef int _put_text(_Buffer out, object value) except -1:
    cdef Py_ssize_t length
    cdef const char *text = PyUnicode_AsUTF8AndSize(value, &length)
    cdef uint8_t *start = out.reserve(6 * length + 2)
    out.used += hs_quote(start, <const uint8_t *>text, length) - start
    return 0


cdef int _put_raw(_Buffer out, object value) except -1:
    cdef Py_ssize_t length
    cdef const char *text = PyUnicode_AsUTF8AndSize(value, &length)
    return out.put(text, length)


cdef int _put_int(_Buffer out, object value) except -1:
    cdef int overflow = 0
    cdef int64_t number = PyLong_AsLongLongAndOverflow(value, &overflow)
    cdef uint8_t *start
    if overflow:
        return _put_raw(out, str(value))
    start = out.reserve(20)
    out.used += hs_decimal(start, number) - start
    return 0


cdef int _put_float(_Buffer out, double value) except -1:
    cdef char *text = PyOS_double_to_string(value, b"r", 0, Py_DTSF_ADD_DOT_0, NULL)
    try:
        return out.put(text, strlen(text))
    finally:
        PyMem_Free(text)


cdef int _put_value(_Buffer out, object value, object special) except -1:
    cdef type kind = type(value)
    if value is None:
        return out.put("null", 4)
    if kind is int:
        return _put_int(out, value)
    if kind is str:
        return _put_text(out, value)
    if kind is bool:
        return out.put("true", 4) if value else out.put("false", 5)
    if kind is float and isfinite(<double>value):
        return _put_float(out, value)
    return _put_raw(out, special(value))


def encode_rows(prefixes, rows, bytes separator not None, special):
    cdef _Buffer out = _Buffer()
    cdef list names = list(prefixes)
    cdef list values
    cdef bytes name
    cdef Py_ssize_t i, count = len(names)
    cdef bint first = True
    for row in rows:
        values = list(row) if type(row) is not list else row
        if len(values) != count:
            raise ValueError(f"a row of {len(values)} values, not {count}")
        if not first:
            out.put(PyBytes_AS_STRING(separator), PyBytes_GET_SIZE(separator))
        first = False
        if not count:
            out.put("{", 1)
        for i in range(count):
            name = names[i]
            out.put(PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name))
            _put_value(out, values[i], special)
        out.put("}", 1)
    return PyBytes_FromStringAndSize(<char *>out.data, out.used)


cdef int _put_cell(_Buffer out, object value, object special) except -1:
    cdef Py_ssize_t length
    cdef const char *text
    cdef uint8_t *start
    if value is None:
        return 0
    if type(value) is not str:
        return _put_value(out, value, special)
    text = PyUnicode_AsUTF8AndSize(value, &length)
    start = out.reserve(2 * length + 2)
    out.used += hs_quote_cell(start, <const uint8_t *>text, length) - start
    return 0


def encode_csv(rows, bytes separator not None, special):
    cdef _Buffer out = _Buffer()
    cdef list values
    cdef Py_ssize_t i
    cdef bint first = True
    for row in rows:
        values = list(row) if type(row) is not list else row
        if not first:
            out.put(PyBytes_AS_STRING(separator), PyBytes_GET_SIZE(separator))
        first = False
        for i in range(len(values)):
            if i:
                out.put(",", 1)
            _put_cell(out, values[i], special)
    return PyBytes_FromStringAndSize(<char *>out.data, out.used)
