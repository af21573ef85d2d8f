# cython: language_level=3, boundscheck=False, wraparound=False
"""Compiled replay; see redo_py.py for what each method does.

Pages are bytearrays kept alive by a dict; the C table holds their addresses. They are never resized.
"""

from cpython.bytearray cimport PyByteArray_AsString
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from hotsplit._native.sessions_py import Version

cdef extern from "redo.h" nogil:
    enum:
        HS_END, HS_RECORD, HS_MISS, HS_TOO_OLD, HS_TOO_NEW, HS_BEYOND, HS_DAMAGED, HS_NEW, HS_NO_MEMORY
        HS_DIRTY, HS_SKIP, HS_GONE, HS_MACROS
    ctypedef struct hs_version:
        uint32_t rceid
        uint32_t fdp
        uint32_t objid
        uint8_t operation
        uint8_t level
        uint8_t dbid
        uint8_t unique
        uint32_t key
        uint32_t data
        uint32_t image
        size_t at
        int64_t delta
        uint32_t offset
    ctypedef struct hs_session:
        uint8_t known
        uint8_t level
        uint32_t trx
        hs_version *versions
        uint32_t count
        uint8_t *arena
    ctypedef struct hs_slot:
        hs_slot *next
        uint64_t key
        uint8_t *data
        uint64_t used
        uint32_t flags
    ctypedef struct hs_table:
        hs_slot **buckets
        uint32_t room
        uint32_t count
    ctypedef struct hs_database:
        uint8_t attached
        uint64_t position
        uint64_t dbtime
        uint32_t required
        uint32_t objid
    ctypedef struct hs_macro:
        uint32_t procid
        uint64_t dbtime
    ctypedef struct hs_core:
        uint32_t page_size
        hs_database databases[256]
        hs_session *sessions[65536]
        hs_macro macros[64]
        uint32_t macro_count
        hs_table table
        const uint8_t *data
        size_t at
        size_t end
        uint64_t base
        int framed
        size_t fragment_total
        const uint8_t *record
        size_t record_size
        int pending
        int force_skip
        uint64_t position
        uint32_t miss_dbid
        uint32_t miss_pgno
        const char *why
        uint64_t records
        uint64_t bytes
        uint64_t redone
        uint64_t skipped
    uint64_t hs_key(uint32_t dbid, uint32_t pgno)
    hs_slot *hs_look(hs_table *t, uint64_t key)
    hs_slot *hs_put(hs_table *t, uint64_t key)
    void hs_drop(hs_table *t, uint64_t key)
    hs_version *hs_new_version(hs_session *s, uint32_t rceid, size_t need, uint8_t **at)
    uint8_t hs_level(const hs_session *s, uint32_t level)
    hs_session *hs_get_session(hs_core *c, uint32_t procid)
    void hs_session_free(hs_session *s)
    void hs_note(hs_database *db, uint64_t dbtime, uint32_t objid)
    int hs_run(hs_core *c)
    void hs_core_free(hs_core *c)

cdef extern from "seek.h" nogil:
    enum:
        HS_MOST_PLANNED
    ctypedef struct hs_new:
        const uint8_t *key
        const uint8_t *data
        uint32_t key_size
        uint32_t data_size
        uint32_t pgno
    ctypedef struct hs_common:
        uint64_t dbtime
        uint32_t procid
        uint32_t dbid
        uint32_t trx
        uint32_t level
        uint32_t flags
        uint32_t rceid
        uint32_t fdp
        uint32_t objid
    ctypedef struct hs_place:
        uint32_t pgno
        uint32_t line
        int exact
    int hs_seek(hs_core *c, uint32_t dbid, uint32_t root, const hs_new *n, int unique, hs_place *p)
    uint32_t hs_plan(hs_core *c, const hs_common *common, uint32_t root, hs_new *nodes, uint32_t count)
    size_t hs_insert_size(const hs_new *n)
    void hs_put_insert(uint8_t *r, const hs_common *c, const hs_new *n, uint32_t number)

END, RECORD, MISS, TOO_OLD, TOO_NEW, BEYOND, DAMAGED, NEW = range(8)

cdef enum:
    _SHORT = 8192  # bytes of records that are applied with the interpreter kept


cdef int _set(hs_new *n, bytes key, bytes data) except -1:
    if key is None or data is None:
        raise TypeError("a node without a key or data")
    n.key, n.data = key, data
    n.key_size, n.data_size = <uint32_t>len(key), <uint32_t>len(data)
    return 0


cdef _records(const hs_common *c, const hs_new *nodes, uint32_t count):
    cdef Py_ssize_t total = 0, end = 0
    cdef uint32_t i
    cdef list ends = [], leaves = []
    for i in range(count):
        total += hs_insert_size(&nodes[i])
    cdef bytes log = PyBytes_FromStringAndSize(NULL, total)
    for i in range(count):
        hs_put_insert(<uint8_t *>PyBytes_AS_STRING(log) + end, c, &nodes[i], i)
        end += hs_insert_size(&nodes[i])
        ends.append(end)
        if not i or nodes[i].pgno != nodes[i - 1].pgno:
            leaves.append(nodes[i].pgno)
    return log, ends, leaves


cdef class Core:
    cdef hs_core *c
    cdef dict pages
    cdef bytes fed

    def __cinit__(self, uint32_t page_size):
        if page_size not in (2048, 4096, 8192, 16384, 32768):
            raise ValueError(f"a page of {page_size} bytes")
        self.c = <hs_core *>calloc(1, sizeof(hs_core))
        if self.c == NULL:
            raise MemoryError
        self.c.page_size = page_size
        self.pages = {}
        self.fed = b""

    def __dealloc__(self):
        if self.c != NULL:
            hs_core_free(self.c)

    @property
    def page_size(self):
        return self.c.page_size

    @property
    def records(self):
        return self.c.records

    @property
    def volume(self):
        return self.c.bytes

    @property
    def redone(self):
        return self.c.redone

    @property
    def skipped(self):
        return self.c.skipped

    @property
    def position(self):
        return self.c.position

    @property
    def record(self):
        if self.c.record == NULL:
            return b""
        return self.c.record[:self.c.record_size]

    @property
    def missing(self):
        return self.c.miss_dbid, self.c.miss_pgno

    @property
    def why(self):
        return "" if self.c.why == NULL else self.c.why.decode("ascii")

    def attach(self, uint8_t dbid, uint64_t position, uint32_t required):
        cdef hs_database *db = &self.c.databases[dbid]
        db.attached = 1
        db.position = position
        db.required = required
        db.dbtime = 0
        db.objid = 0

    def detach(self, uint8_t dbid):
        self.c.databases[dbid].attached = 0

    def note(self, uint8_t dbid, uint64_t dbtime, uint32_t objid):
        hs_note(&self.c.databases[dbid], dbtime, objid)

    def counters(self, uint8_t dbid):
        return self.c.databases[dbid].dbtime, self.c.databases[dbid].objid

    def open_macro(self, uint16_t procid, uint64_t dbtime):
        if self.c.macro_count == HS_MACROS:
            raise ValueError("too many open macros")
        self.c.macros[self.c.macro_count].procid = procid
        self.c.macros[self.c.macro_count].dbtime = dbtime
        self.c.macro_count += 1

    def close_macro(self, uint16_t procid, uint64_t dbtime):
        cdef uint32_t i
        for i in range(self.c.macro_count):
            if self.c.macros[i].procid == procid and self.c.macros[i].dbtime == dbtime:
                self.c.macro_count -= 1
                self.c.macros[i] = self.c.macros[self.c.macro_count]
                return

    def page(self, uint8_t dbid, uint32_t pgno):
        return self.pages.get(hs_key(dbid, pgno))

    def load(self, uint8_t dbid, uint32_t pgno, data):
        if len(data) != self.c.page_size:
            raise ValueError(f"{len(data)} bytes for a page of {self.c.page_size}")
        cdef uint64_t key = hs_key(dbid, pgno)
        page = bytearray(data)
        cdef hs_slot *slot = hs_put(&self.c.table, key)
        if slot == NULL:
            raise MemoryError
        slot.data = <uint8_t *>PyByteArray_AsString(page)
        slot.flags = slot.flags & ~<uint32_t>HS_SKIP
        self.pages[key] = page
        return page

    def dirty(self, uint8_t dbid, uint32_t pgno):
        cdef hs_slot *slot = hs_look(&self.c.table, hs_key(dbid, pgno))
        if slot != NULL and slot.data != NULL:
            slot.flags |= HS_DIRTY

    def clean(self, uint8_t dbid, uint32_t pgno):
        cdef hs_slot *slot = hs_look(&self.c.table, hs_key(dbid, pgno))
        if slot != NULL:
            slot.flags &= ~<uint32_t>HS_DIRTY

    def skip(self, uint8_t dbid, uint32_t pgno):
        cdef uint64_t key = hs_key(dbid, pgno)
        cdef hs_slot *slot = hs_put(&self.c.table, key)
        if slot == NULL:
            raise MemoryError
        slot.data = NULL
        slot.flags = HS_SKIP
        self.pages.pop(key, None)

    def is_skipped(self, uint8_t dbid, uint32_t pgno):
        cdef hs_slot *slot = hs_look(&self.c.table, hs_key(dbid, pgno))
        return slot != NULL and (slot.flags & HS_SKIP) != 0

    def descend(self, uint8_t dbid, uint32_t root, bytes key not None, bytes data):
        cdef hs_new n
        cdef hs_place place
        _set(&n, key, b"" if data is None else data)
        if not hs_seek(self.c, dbid, root, &n, data is None, &place):
            return None
        return place.pgno, self.pages[hs_key(dbid, place.pgno)], place.line, place.exact != 0

    def plan(self, uint32_t root, list keys not None, list datas not None, Py_ssize_t first, fields):
        cdef hs_common c
        cdef hs_new *nodes
        cdef Py_ssize_t i, count = len(keys) - first
        if first < 0 or len(datas) < len(keys):
            raise ValueError("a node without a key or data")
        c.procid, c.dbid, c.dbtime, c.trx, c.level, c.flags, c.rceid, c.fdp, c.objid = fields
        if count <= 0:
            return b"", [], []
        count = min(count, HS_MOST_PLANNED)
        nodes = <hs_new *>calloc(count, sizeof(hs_new))
        if nodes == NULL:
            raise MemoryError
        try:
            for i in range(count):
                _set(&nodes[i], keys[first + i], datas[first + i])  # the lists keep them
            count = hs_plan(self.c, &c, root, nodes, <uint32_t>count)
            return _records(&c, nodes, <uint32_t>count)
        finally:
            free(nodes)

    cdef list _slots(self, uint32_t dbid, uint32_t flag):
        cdef list found = []
        cdef hs_slot *slot
        cdef uint32_t i
        for i in range(self.c.table.room):
            slot = self.c.table.buckets[i]
            while slot != NULL:
                if slot.key >> 32 == dbid and (not flag or slot.flags & flag):
                    found.append(<uint32_t>slot.key)
                slot = slot.next
        found.sort()
        return found

    def forget(self, uint8_t dbid, uint32_t first, uint32_t last):
        for pgno in self._slots(dbid, 0):
            if first <= pgno <= last:
                hs_drop(&self.c.table, hs_key(dbid, pgno))
                self.pages.pop(hs_key(dbid, pgno), None)

    def resident(self):
        return len(self.pages)

    def dirty_pages(self, uint8_t dbid):
        return self._slots(dbid, HS_DIRTY)

    def skipped_pages(self, uint8_t dbid):
        return self._slots(dbid, HS_SKIP)

    def evict(self, Py_ssize_t keep):
        cdef hs_slot *slot
        cdef uint32_t i
        cdef list found = []
        if len(self.pages) <= keep:
            return
        for i in range(self.c.table.room):
            slot = self.c.table.buckets[i]
            while slot != NULL:
                if slot.data != NULL:
                    found.append((slot.used, slot.key, slot.flags & HS_DIRTY))
                slot = slot.next
        found.sort()
        for _, key, is_dirty in found[: len(found) - keep]:
            data = self.pages.pop(key)
            hs_drop(&self.c.table, key)
            if is_dirty:
                yield key >> 32, key & 0xFFFFFFFFU, data

    def reset_sessions(self):
        cdef uint32_t i
        for i in range(65536):
            if self.c.sessions[i] != NULL:
                hs_session_free(self.c.sessions[i])
                self.c.sessions[i] = NULL
        self.c.macro_count = 0

    def is_known(self, uint16_t procid):
        return self.c.sessions[procid] != NULL and self.c.sessions[procid].known != 0

    def open_sessions(self):
        cdef uint32_t i, n
        cdef hs_session *s
        cdef hs_version *v
        cdef const uint8_t *b
        found = []
        for i in range(65536):
            s = self.c.sessions[i]
            if s == NULL or not s.level:
                continue
            versions = []
            for n in range(s.count):
                v = &s.versions[n]
                if v.operation == HS_GONE:
                    continue
                b = s.arena + v.at
                versions.append(Version(
                    v.operation, v.level, v.dbid, v.fdp, v.objid, v.rceid, bool(v.unique),
                    b[:v.key], b[v.key:v.key + v.data],
                    b[v.key + v.data:v.key + v.data + v.image], v.delta, v.offset,
                ))
            found.append((i, s.level, s.trx, versions))
        return found

    def add_version(self, uint16_t procid, version):
        cdef hs_session *s = hs_get_session(self.c, procid)
        cdef hs_version *v
        cdef uint8_t *at = NULL
        cdef bytes blob = version.key + version.data + version.image
        if s == NULL:
            raise MemoryError
        if not s.level:
            return
        v = hs_new_version(s, version.rceid, len(blob), &at)
        if v == NULL:
            raise MemoryError
        if at == NULL:
            return
        if not v.level:
            v.level = hs_level(s, version.level)
        v.operation = version.operation
        v.dbid = version.dbid
        v.fdp = version.fdp
        v.objid = version.objid
        v.unique = version.unique
        v.key = len(version.key)
        v.data = len(version.data)
        v.image = len(version.image)
        v.delta = version.delta
        v.offset = version.offset
        memcpy(at, <const uint8_t *>blob, len(blob))

    def feed(self, bytes data not None, uint64_t position, size_t offset, bint framed):
        self.fed = data
        self.c.data = data
        self.c.end = len(data)
        self.c.at = offset
        self.c.base = position
        self.c.framed = framed
        self.c.fragment_total = 0
        self.c.pending = 0
        self.c.record = NULL

    def run(self):
        cdef int code
        if self.c.end - self.c.at < _SHORT:  # who lets go may have to wait to go on
            code = hs_run(self.c)
        else:
            with nogil:
                code = hs_run(self.c)
        if code == HS_NO_MEMORY:
            raise MemoryError
        return code

    def skip_record(self):
        self.c.force_skip = 1
