"""The codes of what the ``integrity`` kernel reports; `ese.check.messages` explains them."""

from __future__ import annotations

from enum import IntEnum


class Code(IntEnum):
    """What is wrong with a page (1 on), a record (100 on), a long value (200 on)."""

    TAGS = 1
    LINE_END = 2
    LINE_OVERLAP = 3
    FREE = 4
    UNCOMMITTED = 5
    NO_LINES = 6
    FLAGS_MIXED = 7
    FLAGS_REPAIR = 8
    FLAGS_PREINIT = 9
    NODE = 10
    NO_KEY = 11
    NO_DATA = 12
    OBJID = 13
    DBTIME = 14
    ROOT_FLAG = 15
    KIND = 16
    EMPTY_FLAG = 17
    NOT_LEAF = 18
    NO_CHILDREN = 19
    CHILD_SIZE = 20
    INTERNAL_FLAGS = 21
    INTERNAL_ORDER = 22
    INTERNAL_LINKS = 23
    NULL_KEY = 24
    ABOVE = 25
    BELOW = 26
    LAST_KEY = 27
    PREVIOUS = 28
    NEXT = 29
    EMPTY_LEAF = 30
    ORDER = 31
    KEY_LENGTH = 32
    PREFIX_LONG = 33
    PREFIX_ONE = 34
    LEAF_ABOVE = 35
    SPACE_VERSION = 36
    TREE_GONE = 37

    RECORD_SIZE = 100
    FIXED_LAST = 101
    FIXED_END = 102
    FIXED_SIZE = 103
    VAR_LAST = 104
    VAR_ORDER = 105
    VAR_NULL = 106
    TAG_ARRAY = 107
    TAG_ID = 108
    TAG_NULL = 109
    TAG_HEADER = 110
    TAG_TWO = 111
    TAG_MULTI = 112
    TAG_LONG = 113
    TAG_LID = 114
    TAG_SIZE = 115
    TAG_UNKNOWN = 116
    TAG_KIND = 117
    NOT_NULL = 118
    KEY = 119
    COMPRESSED = 120
    BITMAP = 121
    AUTOINCREMENT = 122
    NO_LONG_VALUES = 123

    LV_KEY = 200
    LV_ROOT = 201
    LV_NO_ROOT = 202
    LV_OFFSET = 203
    LV_GAP = 204
    LV_SHORT = 205
    LV_CHUNK = 206
    LV_ORPHAN = 207
    LV_HALF = 208
    LV_EXPAND = 209
    LV_WIDE = 210
