"""The table of all log record types: name, dump tag, fixed size, fields, variable parts.

A field is ``name:type``; fields follow each other without gaps, behind the type byte. The length of
a variable part ``x`` is in the field ``x_size``; parts follow each other in the order given.
Source: log specification 4.1, 4.2.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple


class RecordType(IntEnum):
    """Byte 0 of a record (``lrtyp``)."""

    NOP = 0
    INIT = 1
    TERM = 2
    MS = 3
    END = 4
    BEGIN = 5
    COMMIT = 6
    ROLLBACK = 7
    BEGIN0 = 8
    COMMIT0 = 9
    REFRESH = 10
    MACRO_BEGIN = 11
    MACRO_COMMIT = 12
    MACRO_ABORT = 13
    CREATE_DB = 14
    ATTACH_DB = 15
    DETACH_DB = 16
    RECOVERY_UNDO = 17
    RECOVERY_QUIT = 18
    FULL_BACKUP = 19
    INC_BACKUP = 20
    JET_OP = 21
    TRACE = 22
    SHUTDOWN_MARK = 23
    CREATE_MULTIPLE_EXTENT_FDP = 24
    CREATE_SINGLE_EXTENT_FDP = 25
    CONVERT_FDP = 26
    SPLIT = 27
    MERGE = 28
    INSERT = 29
    FLAG_INSERT = 30
    FLAG_INSERT_AND_REPLACE = 31
    FLAG_DELETE = 32
    REPLACE = 33
    REPLACE_DIFF = 34
    DELETE = 35
    UNDO_INFO = 36
    DELTA = 37
    SET_EXTERNAL_HEADER = 38
    UNDO = 39
    CHECKSUM = 42
    EXT_RESTORE = 45
    BACKUP = 46
    EMPTY_TREE = 48
    INIT2 = 49
    TERM2 = 50
    RECOVERY_UNDO2 = 51
    RECOVERY_QUIT2 = 52
    BEGIN_DT = 53
    PREPARE_COMMIT = 54
    PREPARE_ROLLBACK = 55
    FORCE_WRITE_LOG = 57
    CONVERT_FDP2 = 58
    EXT_RESTORE2 = 59
    BACKUP2 = 60
    FORCE_LOG_ROLLOVER = 61
    SPLIT2 = 62
    MERGE2 = 63
    SCRUB = 64
    PAGE_MOVE = 65
    PAGE_PATCH_REQUEST = 66
    MACRO_INFO = 67
    EXTEND_DB = 68
    COMMIT_CTX = 69
    SCAN_CHECK = 70
    NOP2 = 71
    REATTACH = 72
    MACRO_INFO2 = 73
    FREE_FDP = 74
    IGNORED9 = 75
    FRAGMENT_BEGIN = 76
    FRAGMENT = 77
    SHRINK_DB = 78
    CREATE_DB_FINISH = 79
    RECOVERY_QUIT_KEEP_ATTACHMENTS = 80
    TRIM_DB = 81
    IGNORED10 = 82
    IGNORED11 = 83
    IGNORED12 = 84
    IGNORED13 = 85
    IGNORED14 = 86
    IGNORED15 = 87
    IGNORED16 = 88
    IGNORED17 = 89
    IGNORED18 = 90
    IGNORED19 = 91
    SET_DB_VERSION = 92
    DELTA64 = 93
    SHRINK_DB2 = 94
    NEW_PAGE = 95
    ROOT_PAGE_MOVE = 96
    SIGNAL_ATTACH_DB = 97
    SCAN_CHECK2 = 98
    SHRINK_DB3 = 99
    EXTENT_FREED = 100
    EXTENT_FREED2 = 101


class Row(NamedTuple):
    """One line of the table. `size` is that of the fixed part with the type byte."""

    type: RecordType
    tag: str
    size: int
    fields: str = ""
    parts: str = ""


_PAGE = (
    "procid:u16 dbid:u8 pgno:u32 dbtime:u64 dbtime_before:u64 trx:u32 level:u8 iline:u16 flags:u8"
)
_NODE = f"{_PAGE} rceid:u32 fdp:u32 objid:u32"
_QUIT = "position:lgpos redo_from:lgpos hard:u8"
_SPLIT = (
    f"{_PAGE} pgno_new:u32 pgno_right:u32 dbtime_right_before:u64 pgno_parent:u32"
    " dbtime_parent_before:u64 fdp:u32 objid:u32 split_type:u8 split_operation:u8"
    " iline_operation:u16 iline_split:u16 line_count:u16 new_page_flags:u32 split_page_flags:u32"
    " uncommitted_free_source:i16 uncommitted_free_target:i16 iline_prefix_split:i32"
    " iline_prefix_new:i32 old_prefix_size:u16 new_prefix_size:u16 parent_key_size:u16"
)
_MERGE = (
    f"{_PAGE} pgno_right:u32 dbtime_right_before:u64 pgno_left:u32 dbtime_left_before:u64"
    " pgno_parent:u32 dbtime_parent_before:u64 fdp:u32 objid:u32 size_total:u16 size_max_total:u16"
    " uncommitted_free_target:u16 iline_merge:u16 merge_flags:u8 merge_type:u8 parent_key_size:u16"
)
_IMAGE = "image_flags:u32 image_size:u32"
_CONVERT = (
    f"{_PAGE} objid:u32 pgno_oe:u32 pgno_ae:u32 pgno_parent:u32 pgno_secondary:u32"
    " cpg_primary:i32 cpg_secondary:i32"
)
_REPLACE = f"{_NODE} change_size:u16 old_size:u16 new_size:u16"
_BOOKMARK = "key_size:u16 bookmark_data_size:u16"
_SHRINK = "dbid:u8 pgno_last:u32 cpg_shrunk:u32"
_FREED = "dbid:u8 pgno_first:u32 cpg_extent:i32 flags:u8"

T = RecordType
TABLE = (
    Row(T.NOP, "NOP", 1),
    Row(T.INIT, "Init", 568, "parameters:dbms"),
    Row(T.TERM, "Term", 18, _QUIT),
    Row(T.MS, "MS", 9, "byte_forward:u16 checksum:u32 sector_forward:u16"),
    Row(T.END, "End", 1),
    Row(T.BEGIN, "Begin", 4, "procid:u16 levels:u8"),
    Row(T.COMMIT, "Commit", 4, "procid:u16 level_to:u8"),
    Row(T.ROLLBACK, "Rollback", 4, "procid:u16 levels:u8"),
    Row(T.BEGIN0, "Begin0", 8, "procid:u16 levels:u8 trx:u32"),
    Row(T.COMMIT0, "Commit0", 8, "procid:u16 level_to:u8 trx:u32"),
    Row(T.REFRESH, "Refresh", 7, "procid:u16 trx:u32"),
    Row(T.MACRO_BEGIN, "McroBegin", 11, "procid:u16 dbtime:u64"),
    Row(T.MACRO_COMMIT, "McroComit", 11, "procid:u16 dbtime:u64"),
    Row(T.MACRO_ABORT, "McroAbort", 11, "procid:u16 dbtime:u64"),
    Row(
        *(T.CREATE_DB, "CreateDB", 43),
        "procid:u16 dbid:u8 grbit:u32 max_pages:u32 db_signature:sig path_size:u16 flags:u8",
        "version path",
    ),
    Row(
        *(T.ATTACH_DB, "AttachDB", 75),
        "procid:u16 dbid:u8 max_pages:u32 consistent:lgpos db_signature:sig log_signature:sig"
        " path_size:u16 flags:u8",
        "path",
    ),
    Row(T.DETACH_DB, "DetachDB", 7, "procid:u16 dbid:u8 path_size:u16 flags:u8", "path"),
    Row(T.RECOVERY_UNDO, "RcvUndo", 1),
    Row(T.RECOVERY_QUIT, "RcvQuit", 18, _QUIT),
    Row(T.FULL_BACKUP, "FullBkUp", 3, "path_size:u16", "path"),
    Row(T.INC_BACKUP, "IncBkUp", 3, "path_size:u16", "path"),
    Row(T.JET_OP, "JetOp", 4, "procid:u16 operation:u8"),
    Row(T.TRACE, "Trace", 5, "procid:u16 text_size:u16", "text"),
    Row(T.SHUTDOWN_MARK, "ShutDown", 1),
    Row(
        *(T.CREATE_MULTIPLE_EXTENT_FDP, "Create M", 56),
        f"{_PAGE} objid:u32 pgno_oe:u32 pgno_ae:u32 pgno_parent:u32 cpg_primary:i32 page_flags:u32",
    ),
    Row(
        *(T.CREATE_SINGLE_EXTENT_FDP, "Create S", 48),
        f"{_PAGE} objid:u32 pgno_parent:u32 cpg_primary:i32 page_flags:u32",
    ),
    Row(T.CONVERT_FDP, "Convert", 60, _CONVERT),
    Row(T.SPLIT, "Split", 102, _SPLIT, "parent_key old_prefix new_prefix"),
    Row(T.MERGE, "Merge", 88, _MERGE, "parent_key"),
    Row(
        *(T.INSERT, "Insert", 50, f"{_NODE} suffix_size:u16 prefix_size:u16 data_size:u16"),
        "prefix suffix data",
    ),
    Row(T.FLAG_INSERT, "FInsert", 48, f"{_NODE} key_size:u16 data_size:u16", "key data"),
    Row(
        *(T.FLAG_INSERT_AND_REPLACE, "FInsertRD", 52),
        f"{_NODE} key_size:u16 data_size:u16 rceid_replace:u32",
        "key data",
    ),
    Row(T.FLAG_DELETE, "FDelete", 44, _NODE),
    Row(T.REPLACE, "Replace", 50, _REPLACE, "change"),
    Row(T.REPLACE_DIFF, "ReplaceD", 50, _REPLACE, "change"),
    Row(T.DELETE, "Delete", 44, _NODE),
    Row(
        *(T.UNDO_INFO, "UndoInfo", 56),
        f"{_NODE} {_BOOKMARK} operation:u16 max_size:i16 size_delta:i16 data_size:u16",
        "key bookmark_data data",
    ),
    Row(
        *(T.DELTA, "Delta", 54, f"{_NODE} {_BOOKMARK} delta:i32 offset:u16"),
        "key bookmark_data",
    ),
    Row(T.SET_EXTERNAL_HEADER, "SetExtHdr", 46, f"{_NODE} data_size:u16", "data"),
    Row(
        *(T.UNDO, "Undo", 51, f"{_NODE} {_BOOKMARK} operation:u16 level_undo:u8"),
        "key bookmark_data",
    ),
    Row(
        *(T.CHECKSUM, "Checksum", 22),
        "backwards:u32 forwards:u32 next:u32 checksum:u32 short_checksum:u32 use_short:u8",
    ),
    Row(T.EXT_RESTORE, "ExtRest", 3, "info_size:u16", "info"),
    Row(T.BACKUP, "Backup", 5, "backup_type:u8 reserved:u8 path_size:u16", "path"),
    Row(T.EMPTY_TREE, "EmptyTree", 46, f"{_NODE} pages_size:u16", "pages"),
    Row(T.INIT2, "Init", 576, "parameters:dbms time:logtime"),
    Row(T.TERM2, "Term", 26, f"{_QUIT} time:logtime"),
    Row(T.RECOVERY_UNDO2, "RcvUndo", 9, "time:logtime"),
    Row(T.RECOVERY_QUIT2, "RcvQuit", 26, f"{_QUIT} time:logtime"),
    Row(T.BEGIN_DT, "BeginDT", 8, "procid:u16 levels:u8 trx:u32"),
    Row(T.PREPARE_COMMIT, "PreCommit", 7, "procid:u16 data_size:u32", "data"),
    Row(T.PREPARE_ROLLBACK, "PreRollbk", 3, "procid:u16"),
    Row(T.FORCE_WRITE_LOG, "FWriteLog", 3, "procid:u16"),
    Row(T.CONVERT_FDP2, "Convert", 68, f"{_CONVERT} available:u32 page_flags:u32"),
    Row(T.EXT_RESTORE2, "ExtRest2", 3, "info_size:u16", "info"),
    Row(
        *(T.BACKUP2, "Backup2", 35),
        "phase:u8 backup_type:u32 scope:u8 dbid:u8 mark:lgpos time:logtime low:u32 high:u32"
        " reserved:u8 path_size:u16",
        "path",
    ),
    Row(T.FORCE_LOG_ROLLOVER, "FRollLog", 5, "procid:u16 text_size:u16", "text"),
    Row(
        *(T.SPLIT2, "Split2", 110, f"{_SPLIT} {_IMAGE}"),
        "parent_key old_prefix new_prefix image",
    ),
    Row(T.MERGE2, "Merge2", 96, f"{_MERGE} {_IMAGE}", "parent_key image"),
    Row(
        *(T.SCRUB, "Scrub", 54, f"{_NODE} scrub_flags:u32 operation_count:u32 data_size:u16"),
        "data",
    ),
    Row(
        *(T.PAGE_MOVE, "PageMove", 96),
        f"{_PAGE} pgno_target:u32 pgno_left:u32 pgno_right:u32 pgno_parent:u32"
        " dbtime_left_before:u64 dbtime_right_before:u64 dbtime_parent_before:u64 fdp:u32 objid:u32"
        " iline_parent:i32 move_flags:u32 page_header_size:u32 page_trailer_size:u32",
        "page_header page_trailer",
    ),
    Row(
        *(T.PAGE_PATCH_REQUEST, "PagePatch", 46),
        "dbid:u8 pgno:u32 dbtime:u64 reserved:raw32",
    ),
    *(
        Row(type_, tag, 5, "content_size:u32", "content")
        for type_, tag in (
            (T.MACRO_INFO, "McroInfo"),
            (T.EXTEND_DB, "ExtendDB"),
            (T.COMMIT_CTX, "CommitCtx"),
            (T.SCAN_CHECK, "ScanCheck"),
            (T.NOP2, "NOP2"),
            (T.REATTACH, "ReAttach"),
            (T.MACRO_INFO2, "McroInfo2"),
            (T.FREE_FDP, "FreeFDP"),
            (T.IGNORED9, "Ignored"),
        )
    ),
    Row(
        *(T.FRAGMENT_BEGIN, "FragBegin", 7, "total_size:u32 fragment_size:u16"),
        "fragment",
    ),
    Row(T.FRAGMENT, "FragContd", 3, "fragment_size:u16", "fragment"),
    Row(T.SHRINK_DB, "ShrinkDB", 10, _SHRINK),
    Row(T.CREATE_DB_FINISH, "CrDBFinsh", 4, "procid:u16 dbid:u8"),
    Row(T.RECOVERY_QUIT_KEEP_ATTACHMENTS, "RcvQKA", 26, f"{_QUIT} time:logtime"),
    Row(T.TRIM_DB, "TrimDB", 10, "dbid:u8 pgno_first:u32 cpg_zero:u32"),
    *(
        Row(RecordType(n), "Ignored", 5, "content_size:u32", "content")
        for n in range(T.IGNORED10, T.IGNORED19 + 1)
    ),
    Row(
        *(T.SET_DB_VERSION, "SetDbVer", 14),
        "dbid:u8 major:u32 update_major:u32 update_minor:u32",
    ),
    Row(
        *(T.DELTA64, "Delta64", 58, f"{_NODE} {_BOOKMARK} delta:i64 offset:u16"),
        "key bookmark_data",
    ),
    Row(T.SHRINK_DB2, "ShrinkDB2", 10, _SHRINK),
    Row(T.NEW_PAGE, "NewPage", 20, "procid:u16 dbid:u8 pgno:u32 objid:u32 dbtime:u64"),
    Row(T.ROOT_PAGE_MOVE, "PageMoveR", 16, "dbtime:u64 dbid:u8 objid:u32 procid:u16"),
    Row(T.SIGNAL_ATTACH_DB, "SAttachDB", 2, "dbid:u8"),
    Row(
        *(T.SCAN_CHECK2, "ScanChk2", 27),
        "dbid:u8 pgno:u32 source:u8 dbtime_page:u64 dbtime:u64 checksum:u32",
    ),
    Row(T.SHRINK_DB3, "ShrinkDB3", 18, f"{_SHRINK} dbtime:u64"),
    Row(T.EXTENT_FREED, "ExtFreed", 11, _FREED),
    Row(T.EXTENT_FREED2, "ExtFreed2", 19, f"{_FREED} dbtime:u64"),
)

CLOSING = frozenset(
    (T.TERM, T.TERM2, T.RECOVERY_QUIT, T.RECOVERY_QUIT2, T.RECOVERY_QUIT_KEEP_ATTACHMENTS)
)
"""The last record of a log that was closed normally."""

FILLERS = frozenset((T.NOP, T.NOP2))
"""Records that say nothing."""

PAGE_TYPES = frozenset(row.type for row in TABLE if row.fields.startswith(_PAGE))
"""Records with the 32-byte page prefix."""

assert {row.type for row in TABLE} == set(RecordType)
