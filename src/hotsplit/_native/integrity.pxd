# cython: language_level=3
"""What integrity.pyx takes from C."""

from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef extern from "integrity.h":
    enum:
        HS_ROWS, HS_ENTRIES, HS_EXPANDED_MOST, HS_SEGMENTS, HS_KEY_MOST, HS_KEY_ROOM, HS_BY_KEY
        HS_N_FIXED_BINARY, HS_COMPARISONS
        HS_NOTHING, HS_LIST, HS_RECORDS, HS_LV_NODES, HS_INDEX_ENTRIES
    ctypedef struct hs_place:
        uint32_t pgno
        int32_t node
    ctypedef void (*hs_found)(void *, int, const uint8_t *, uint32_t, const uint8_t *, uint32_t,
                              uint64_t, hs_place) noexcept
    ctypedef struct hs_ledger:
        uint32_t shift
        int distinct
        uint64_t *sums
        uint8_t *bits[2]
        const uint8_t *watched
        uint64_t counts[2]
        hs_found found
        void *to
    ctypedef struct hs_collection:
        size_t used
        uint8_t *bytes
        void *items
        int failed
    void hs_collect(void *, int, const uint8_t *, uint32_t, const uint8_t *, uint32_t, uint64_t,
                    hs_place) noexcept
    size_t hs_sort_collection(hs_collection *)
    void hs_write_run(hs_collection *, uint8_t *)
    uint64_t hs_differing(const hs_ledger *, int, uint64_t, uint8_t *)
    ctypedef struct hs_segment:
        uint32_t id, offset, size
        int derived, normal, descending, multi, must_be_null, callback
        const uint8_t *preset
        uint32_t preset_length
    ctypedef struct hs_order:
        const uint32_t *weights, *pages
        const uint32_t *expansions
        uint32_t flags, locale, last_unit, expansion_count
        int digits, contracted
        void *object
    ctypedef struct hs_index:
        hs_segment segments[16], conditions[16]
        uint32_t count, condition_count, flags, key_most, var_most
        uint32_t tuple_least, tuple_most, tuple_count, tuple_step, tuple_start
        int compare
        hs_order *order
        hs_ledger *ledger
        uint64_t unknown
        uint64_t *hashes
        int failed
    ctypedef int (*hs_fetch)(void *, int, const uint8_t *, uint32_t, uint32_t, const uint8_t **,
                             uint32_t *) noexcept
    ctypedef int (*hs_ask_key)(void *, void *, const uint8_t *, uint32_t, const uint8_t **,
                               uint32_t *) noexcept
    ctypedef struct hs_source:
        hs_fetch fetch
        hs_ask_key ask
        void *to
    ctypedef void (*hs_report)(void *, int, hs_place, uint64_t, uint64_t) noexcept
    ctypedef struct hs_rows:
        int large, copy_side
        uint32_t most, fixed_last, var_last
        uint32_t fixed_end[128]
        uint8_t fixed_not_null[16], var_not_null[16]
        const uint16_t *tagged[2]
        uint32_t tagged_count[2]
        uint32_t increment_at, increment_size, increment_id
        uint64_t increment_most
        hs_index *primary, *indexes
        uint32_t index_count
        hs_ledger *references, *copy
        uint8_t *expanded
        hs_source source
        hs_report report
        void *to
    ctypedef struct hs_long_values:
        uint32_t chunk
        int wide_allowed
        hs_ledger *references
        hs_rows *tools
    ctypedef struct hs_bytes:
        const uint8_t *data
        uint32_t length
    ctypedef struct hs_entries:
        int compare[2]
        hs_ledger *ledger[2]
    ctypedef void (*hs_listed)(void *, hs_place, const uint8_t *, uint32_t, const uint8_t *,
                               uint32_t) noexcept
    ctypedef struct hs_tree:
        uint32_t size, objid, kind, key_most
        uint64_t dbtime
        int damaged, chained
        uint64_t leaves, internals, nodes, deleted, versioned
        int content
        hs_rows *rows
        hs_long_values *long_values
        hs_entries entries
        hs_listed listed
        void *listed_to
        hs_report report
        void *to
        uint8_t keys[2][16384]
    ctypedef struct hs_page:
        const uint8_t *data
        uint32_t first
    ctypedef struct hs_node:
        uint32_t data
    int hs_is_page_size(size_t)
    int hs_read_node(const hs_tree *, const hs_page *, uint32_t, hs_node *, uint8_t *, uint32_t *)
    uint32_t hs_get32(const uint8_t *)
    uint32_t hs_check_internal(hs_tree *, hs_page *, const uint8_t *, uint32_t, int, hs_bytes,
                               hs_bytes)
    void hs_check_leaf(hs_tree *, const uint8_t *, uint32_t, int, hs_bytes, hs_bytes)
    ctypedef void (*hs_wanted)(void *, const uint8_t *, uint32_t) noexcept
    void hs_leaf_enter(hs_tree *, const uint8_t *)
    void hs_leaf_wants(const hs_tree *, const uint8_t *, hs_wanted, void *)
    void hs_finish_tree(hs_tree *)
    void hs_tree_lose(hs_tree *)
