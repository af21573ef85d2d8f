# cython: language_level=3, boundscheck=False, wraparound=False
"""Compiled packing of rows; see pack_py.py for what each method does.

Bytes of values stay where Python has them until the record is put together: the row keeps them, and
before a function is called that may run anything, so does a list.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_CheckExact, PyDict_GetItem, PyDict_Next
from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_CheckExact
from cpython.long cimport PyLong_CheckExact
from cpython.object cimport PyObject
from libc.math cimport isinf
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

cdef extern from "Python.h":
    long long PyLong_AsLongLongAndOverflow(object value, int *overflow)
    unsigned long long PyLong_AsUnsignedLongLong(object value) except? <unsigned long long>-1
    int PyUnicode_CheckExact(object value)
    int PyUnicode_IS_ASCII(object value)
    int PyUnicode_KIND(object value)
    Py_ssize_t PyUnicode_GET_LENGTH(object value)
    uint8_t *PyUnicode_1BYTE_DATA(object value)

cdef extern from "pack.h" nogil:
    enum:
        HS_VALUE, HS_NULL, HS_ABSENT, HS_PAGE_MAX, HS_KEY_MOST, HS_SEGMENTS
        HS_FIRST_VARIABLE, HS_FIRST_TAGGED, HS_NULLS_HIGH
    ctypedef struct hs_segment:
        uint32_t size
        int normal
        int descending
    ctypedef struct hs_index:
        hs_segment segments[16]
        uint32_t count
        uint32_t flags
        uint32_t key_most
        uint32_t var_most
    ctypedef struct hs_column:
        uint32_t id
        uint32_t kind
        uint32_t size
        uint32_t offset
        uint32_t end
        uint8_t pad
        int required
        int is_long
        const uint8_t *preset
        uint32_t preset_length
    ctypedef struct hs_cell:
        const uint8_t *data
        uint32_t length
        int state
    ctypedef struct hs_row:
        const hs_column *columns
        const hs_cell *cells
        uint32_t fixed
        uint32_t variable
        uint32_t most
        int large
        const uint32_t *tagged
        uint32_t tagged_count
    void hs_put16(uint8_t *p, uint32_t v)
    int hs_effective(const hs_column *c, const hs_cell *cell, const uint8_t **data,
                     uint32_t *length)
    uint32_t hs_pack(const hs_row *r, uint8_t *out)
    uint32_t hs_append(const hs_index *x, const hs_segment *s, int state, const uint8_t *data,
                       uint32_t length, uint8_t *key, uint32_t room)

from hotsplit._native.pack_py import INTRINSIC_MOST, Column, Key, KeyPart, _check

cdef enum:
    ENCODED, SIGNED, UNSIGNED, SINGLE, DOUBLE, BIT, BYTES, TEXT, WIDE_TEXT

cdef enum:
    ALL_NULL = 1
    FIRST_NULL = 2
    SOME_NULL = 4
    NO_NULL = 8
    NEEDED = 16

cdef uint32_t _INTRINSIC = INTRINSIC_MOST


cdef class Packer:
    cdef hs_row row
    cdef hs_column *columns
    cdef hs_cell *cells
    cdef uint64_t *small            # bytes of numbers, by column
    cdef uint32_t *given            # numbers of the columns of the row at hand
    cdef uint32_t *tagged
    cdef uint32_t count, given_count
    cdef hs_index *indexes
    cdef uint32_t *parts            # columns of the keys, 16 for each
    cdef list makes, nulls, encodes, required, keep, held
    cdef dict numbers
    cdef bytes packed               # the record of the row at hand
    cdef uint8_t record[32768 + 8]
    cdef uint8_t wide[32768]        # UTF-16 text of the row at hand
    cdef uint32_t wide_used
    cdef uint8_t filled[32768]
    cdef PyObject **values          # of the row at hand, by place in `given`
    cdef object order               # the last `names`, and their columns
    cdef list order_numbers

    def __cinit__(self, columns, keys, *, bint large, most):
        cdef uint32_t i, end = 4
        cdef hs_column *c
        columns = [Column(*column) for column in columns]
        keys = [Key([KeyPart(*part) for part in key[0]], *key[1:]) for key in keys]
        _check(columns, keys, most)
        self.count = <uint32_t>len(columns)
        self.columns = <hs_column *>calloc(self.count + 1, sizeof(hs_column))
        self.cells = <hs_cell *>calloc(self.count + 1, sizeof(hs_cell))
        self.small = <uint64_t *>calloc(self.count + 1, 8)
        self.given = <uint32_t *>calloc(self.count + 1, 4)
        self.tagged = <uint32_t *>calloc(self.count + 1, 4)
        self.values = <PyObject **>calloc(self.count + 1, sizeof(PyObject *))
        self.indexes = <hs_index *>calloc(len(keys) + 1, sizeof(hs_index))
        self.parts = <uint32_t *>calloc(HS_SEGMENTS * (len(keys) + 1), 4)
        if (not self.columns or not self.cells or not self.small or not self.given
                or not self.tagged or not self.values or not self.indexes or not self.parts):
            raise MemoryError
        self.encodes, self.required, self.keep, self.held = [], [], [], []
        self.numbers, self.order, self.order_numbers = {}, None, []
        for i in range(self.count):
            c = &self.columns[i]
            (name, c.id, c.kind, c.size, c.offset, c.pad, required, c.is_long, preset,
             encode) = columns[i]
            self.numbers[name] = i
            self.encodes.append(encode)
            if required:
                self.required.append(i)
            if preset is not None:
                self.keep.append(preset)
                c.preset = <const uint8_t *>PyBytes_AS_STRING(<bytes?>preset)
                c.preset_length = <uint32_t>len(<bytes>preset)
            if c.id < HS_FIRST_VARIABLE:
                end = max(end, c.offset + c.size)
                self.row.fixed += 1
            elif c.id < HS_FIRST_TAGGED:
                self.row.variable += 1
            c.end = end
            self.cells[i].state = HS_ABSENT
        self.row.columns, self.row.cells, self.row.tagged = self.columns, self.cells, self.tagged
        self.row.large, self.row.most = large, most
        self._set_keys(keys)

    cdef _set_keys(self, keys):
        cdef hs_index *x
        cdef uint32_t k, i
        self.makes, self.nulls = [], []
        for k in range(<uint32_t>len(keys)):
            x = &self.indexes[k]
            x.count, x.key_most, x.var_most = <uint32_t>len(keys[k].parts), keys[k].most, HS_KEY_MOST + 1
            x.flags = HS_NULLS_HIGH if keys[k].high else 0
            self.nulls.append(keys[k].nulls)
            makes = []
            for i in range(x.count):
                part = keys[k].parts[i]
                self.parts[HS_SEGMENTS * k + i] = part.column
                x.segments[i].size, x.segments[i].normal = part.size, part.normal
                x.segments[i].descending = part.descending
                makes.append(part.make)
            self.makes.append(makes)

    def __dealloc__(self):
        free(self.columns)
        free(self.cells)
        free(self.small)
        free(self.given)
        free(self.tagged)
        free(self.values)
        free(self.indexes)
        free(self.parts)

    def pack(self, rows, Py_ssize_t first, names, list records not None, keys):
        cdef Py_ssize_t i
        cdef uint32_t k
        cdef list made
        if first < 0 or len(keys) != len(self.makes):
            raise ValueError("a list of keys for each index")
        for i in range(first, len(rows)):
            made = self._made(rows[i], names)
            if made is None:
                return i
            records.append(self.packed)
            for k in range(<uint32_t>len(made)):
                (<list?>keys[k]).append(made[k])
        return len(rows)

    def make(self, row):
        cdef list made = self._made(row, None)
        return None if made is None else (self.packed, made)

    cdef list _made(self, row, names):
        """Pack a row; return its keys, None if it is not plain."""
        cdef uint32_t size, k
        cdef list made = []
        if not self._take(row, names):
            return None
        size = hs_pack(&self.row, self.record)
        if not size or size > self.row.most:
            return None
        for k in range(<uint32_t>len(self.makes)):
            if not self._key(k, made):
                return None
        self.packed = PyBytes_FromStringAndSize(<char *>self.record, size)
        return made

    # Values

    cdef void _forget(self):
        """The row at hand is done with."""
        cdef uint32_t i
        for i in range(self.given_count):
            self.cells[self.given[i]].state = HS_ABSENT
        self.given_count = self.wide_used = self.row.tagged_count = 0
        if self.held:
            self.held.clear()

    cdef bint _take(self, row, names) except -1:
        """Make cells of the values of a row; tell whether it is plain so far."""
        cdef uint32_t i, n
        self._forget()
        if not (self._given_by_name(row) if names is None else self._given_in_order(row, names)):
            return False
        for i in range(self.given_count):
            if not self._cell(self.given[i], self.values[i], row):
                return False
        for number in self.required:
            n = number
            if self.cells[n].state == HS_NULL or (self.cells[n].state == HS_ABSENT
                                                  and self.columns[n].preset == NULL):
                return False
        self._sort_tagged()
        return True

    cdef bint _given_by_name(self, row) except -1:
        cdef Py_ssize_t at = 0
        cdef PyObject *name
        cdef PyObject *number
        if not PyDict_CheckExact(row):
            return False
        while PyDict_Next(row, &at, &name, &self.values[self.given_count]):
            if not PyUnicode_CheckExact(<object>name):
                return False
            number = PyDict_GetItem(self.numbers, <object>name)
            if number == NULL:
                return False
            self.given[self.given_count] = <object>number
            self.given_count += 1
        return True

    cdef bint _given_in_order(self, row, names) except -1:
        cdef uint32_t i
        if names is not self.order:
            self.order, self.order_numbers = names, None
            if len(set(names)) == len(names) and all(name in self.numbers for name in names):
                self.order_numbers = [self.numbers[name] for name in names]
        if (self.order_numbers is None or type(row) is not tuple
                or len(<tuple>row) != len(self.order_numbers)):
            return False
        for i in range(<uint32_t>len(<tuple>row)):
            self.given[i] = <object>self.order_numbers[i]
            self.values[i] = <PyObject *>(<tuple>row)[i]
        self.given_count = <uint32_t>len(<tuple>row)
        return True

    cdef void _sort_tagged(self):
        """Note the tagged columns that have a value, in order."""
        cdef uint32_t i, k, n
        for i in range(self.given_count):
            n = self.given[i]
            if self.columns[n].id < HS_FIRST_TAGGED or self.cells[n].state != HS_VALUE:
                continue
            k = self.row.tagged_count
            while k and self.tagged[k - 1] > n:
                self.tagged[k] = self.tagged[k - 1]
                k -= 1
            self.tagged[k] = n
            self.row.tagged_count += 1

    cdef bint _cell(self, uint32_t n, PyObject *given, row) except -1:
        """Find the bytes of a value; tell whether it is plain."""
        cdef hs_column *c = &self.columns[n]
        cdef hs_cell *cell = &self.cells[n]
        cdef object value = <object>given
        cdef uint32_t most
        if value is None:
            cell.state = HS_NULL
            return c.id < HS_FIRST_TAGGED or c.preset == NULL
        if not self._exact(c, cell, n, value):
            if not self._by_call(cell, n, value, row):
                return False
        most = c.size
        if c.id >= HS_FIRST_TAGGED and (c.is_long or not most):
            most = _INTRINSIC
        elif c.id >= HS_FIRST_VARIABLE and not most:
            most = HS_PAGE_MAX
        cell.state = HS_VALUE
        return cell.length <= most

    cdef bint _exact(self, hs_column *c, hs_cell *cell, uint32_t n, value) except -1:
        """Find the bytes of a value of the very type that the column is for, if it is of it."""
        cdef int overflow = 0
        cdef int64_t number, number_above
        cdef uint64_t positive
        cdef double real
        cdef float single
        cdef uint8_t *small = <uint8_t *>&self.small[n]
        cell.data, cell.length = small, c.size
        if c.kind == SIGNED or c.kind == UNSIGNED:
            if not PyLong_CheckExact(value):
                return False
            number = PyLong_AsLongLongAndOverflow(value, &overflow)
            if overflow or (c.kind == UNSIGNED and number < 0):
                return False
            number_above = number >> (8 * c.size - (c.kind == SIGNED)) if c.size < 8 else 0
            if number_above != 0 and number_above != -1:
                return False
            self.small[n] = <uint64_t>number
            return True
        if c.kind == DOUBLE or c.kind == SINGLE:
            if not PyFloat_CheckExact(value):
                return False
            real = PyFloat_AS_DOUBLE(value)
            if c.kind == DOUBLE:
                memcpy(small, &real, 8)
                return True
            single = <float>real
            if isinf(single) and not isinf(real):
                return False
            memcpy(small, &single, 4)
            return True
        if c.kind == BIT:
            small[0] = 0xFF if value is True else 0
            return value is True or value is False
        if c.kind == BYTES:
            return PyBytes_CheckExact(value) and self._bytes(cell, value)
        if c.kind == TEXT or c.kind == WIDE_TEXT:
            return PyUnicode_CheckExact(value) and self._text(cell, value, c.kind == WIDE_TEXT)
        return False

    cdef bint _bytes(self, hs_cell *cell, bytes value):
        cell.data = <const uint8_t *>PyBytes_AS_STRING(value)
        cell.length = <uint32_t>min(PyBytes_GET_SIZE(value), 0xFFFF)
        return True

    cdef bint _text(self, hs_cell *cell, value, bint wide):
        """Text that is ASCII, or as UTF-16 has no character above 255."""
        cdef Py_ssize_t i, length = PyUnicode_GET_LENGTH(value)
        cdef uint8_t *text
        cdef uint8_t *out = self.wide + self.wide_used
        if not wide:
            cell.data = PyUnicode_1BYTE_DATA(value)
            cell.length = <uint32_t>min(length, 0xFFFF)
            return PyUnicode_IS_ASCII(value) != 0
        if PyUnicode_KIND(value) != 1 or 2 * length > HS_PAGE_MAX - self.wide_used:
            return False
        text = PyUnicode_1BYTE_DATA(value)
        for i in range(length):
            hs_put16(out + 2 * i, text[i])
        cell.data, cell.length = out, <uint32_t>(2 * length)
        self.wide_used += <uint32_t>(2 * length)
        return True

    cdef bint _by_call(self, hs_cell *cell, uint32_t n, value, row) except -1:
        if not self.held:  # what is called may take values out of the row
            self.held.extend(row.values() if type(row) is dict else row)
        try:
            data = self.encodes[n](value)
        except Exception:
            return False
        if not PyBytes_CheckExact(data):
            return False
        self.held.append(data)
        return self._bytes(cell, data)

    # Keys

    cdef bint _key(self, uint32_t k, list made) except -1:
        """Append the key of the row at hand in an index, None without one; tell whether it is plain."""
        cdef hs_index *x = &self.indexes[k]
        cdef uint8_t key[2048]
        cdef const uint8_t *data
        cdef uint32_t i, n, length, size, used = 0, rules = self.nulls[k]
        cdef bint there, all_null = True, first_null = False, some_null = False, has_entry
        for i in range(x.count):
            n = self.parts[HS_SEGMENTS * k + i]
            there = hs_effective(&self.columns[n], &self.cells[n], &data, &length)
            if there and self.columns[n].id < HS_FIRST_VARIABLE:
                data, length = self._padded(n, data, length), self.columns[n].size
            if there:
                all_null = False
            elif i:
                some_null = True
            else:
                first_null = True
            if not there or self.makes[k][i] is None:
                size = hs_append(x, &x.segments[i], HS_VALUE if there else HS_NULL, data, length,
                                 key + used, x.key_most - used)
            else:
                try:
                    part = self.makes[k][i](PyBytes_FromStringAndSize(<char *>data, length))
                except Exception:
                    return False
                size = <uint32_t>min(len(<bytes?>part), x.key_most - used)
                memcpy(key + used, PyBytes_AS_STRING(part), size)
            used += size
            if used >= x.key_most:
                return False
        if all_null:
            has_entry = (rules & ALL_NULL) != 0
        else:
            has_entry = ((not first_null or rules & FIRST_NULL != 0)
                         and (not some_null or rules & SOME_NULL != 0))
        if ((first_null or some_null) and rules & NO_NULL) or (not has_entry and rules & NEEDED):
            return False
        made.append(PyBytes_FromStringAndSize(<char *>key, used) if has_entry else None)
        return True

    cdef const uint8_t *_padded(self, uint32_t n, const uint8_t *data, uint32_t length):
        """Return a fixed column at its full size: as it is in the record, or behind its end."""
        cdef const hs_column *c = &self.columns[n]
        cdef uint32_t i
        if length == c.size:
            return data
        for i in range(c.size):
            self.filled[i] = data[i] if i < length else c.pad
        return self.filled
