"""Records of splits, merges, new and converted trees. Source: log specification 10.7."""

from __future__ import annotations

from hotsplit.classic.logrecords.parts import (
    Detail,
    Writer,
    flags_text,
    head_text,
    image_text,
    objid_text,
    page_text,
    session_text,
    shown_data,
    word_text,
)
from hotsplit.ese.format.logrecord import LogRecord
from hotsplit.ese.format.recordtable import RecordType as T

_SPLITS = ("SplitVertical", "SplitRight", "Append")
_RIGHT, _INSERTING = 1, 1
_OPERATIONS = ("None", "Insert", "Replace", "FlagInsertAndReplaceData")
_MERGES = (
    *("None", "EmptyPage", "FullRight", "PartialRight", "EmptyTree", "FullLeft", "PartialLeft"),
    "PageMove",
)


def _split(r: LogRecord, _: Detail) -> str:
    if not r.pgno_new:
        parent = f"parent:{r.dbtime_parent_before:x},{page_text(r, r.pgno)})"
        return f"ParentOfSplitPage {head_text(r)}{parent}"
    last = r.line_count - 1
    hot = r.split_operation == _INSERTING and r.iline_split == r.iline_operation == last
    kind = word_text(_SPLITS, r.split_type)
    if r.split_type == _RIGHT and hot:
        kind = "SplitHotpoint"
    pages = (
        f"split:[{r.dbid}:{r.pgno}:{r.iline_split}],oper/last:[{r.iline_operation}/{last}],"
        f"new:{page_text(r, r.pgno_new)},"
        f"parent:{r.dbtime_parent_before if r.pgno_parent else 0:x},{page_text(r, r.pgno_parent)},"
        f"right:{r.dbtime_right_before if r.pgno_right else 0:x},{page_text(r, r.pgno_right)}"
    )
    operation = f"splitoper:{word_text(_OPERATIONS, r.split_operation)}"
    tree = f"{objid_text(r)}, {flags_text(r, 'UPSC')}"
    return f"{kind} {head_text(r)}{pages}, {tree}, {operation}, {image_text(r)})"


def _merge(r: LogRecord, detail: Detail) -> str:
    flags = r.merge_flags
    words = (
        *("KC" if flags & 1 else "NKC", "EP" if flags & 4 else "NEP"),
        *("D" if flags & 2 else "ND", word_text(_MERGES, r.merge_type)),
    )
    pages = (
        f"merge:[{r.dbid}:{r.pgno}:{r.iline_merge}],"
        f"right:{r.dbtime_right_before if r.pgno_right else 0:x},{page_text(r, r.pgno_right)},"
        f"left:{r.dbtime_left_before if r.pgno_left else 0:x},{page_text(r, r.pgno_left)},"
        f"parent:{r.dbtime_parent_before if r.pgno_parent else 0:x},{page_text(r, r.pgno_parent)}"
    )
    sizes = f"size:{r.size_total},maxsize:{r.size_max_total},uncfree:{r.uncommitted_free_target}"
    head = f"{head_text(r)}{pages},{flags_text(r, 'UPS')}:{':'.join(words)}"
    return f"{head},{sizes},{image_text(r)}){shown_data(r.parent_key, detail)}"


def _page_move(r: LogRecord, _: Detail) -> str:
    pages = (
        f"source:{page_text(r, r.pgno)},destination:{page_text(r, r.pgno_target)},"
        f"right:{r.dbtime_right_before:x},{page_text(r, r.pgno_right)},"
        f"left:{r.dbtime_left_before:x},{page_text(r, r.pgno_left)},"
        f"parent:{r.dbtime_parent_before:x},[{r.dbid}:{r.pgno_parent}:{r.iline_parent}]"
    )
    sizes = f"header:{r.page_header_size},trailer:{r.page_trailer_size}"
    end = f"{objid_text(r)},flags:{r.move_flags:x}, {flags_text(r, 'S')})"
    return f"{head_text(r)}{pages},{sizes},{end}"


def _empty_tree(r: LogRecord, detail: Detail) -> str:
    end = f"{objid_text(r)},{flags_text(r, 'UPS')},{r.pages_size})"
    return f"{head_text(r)}{page_text(r, r.pgno)},{end}{shown_data(r.body, detail)}"


def _create_multiple(r: LogRecord, _: Detail) -> str:
    pages = (
        f"FDP:{page_text(r, r.pgno)},OE:{page_text(r, r.pgno_oe)},AE:{page_text(r, r.pgno_ae)},"
        f"FDPParent:{page_text(r, r.pgno_parent)},{objid_text(r)},PageFlags:[0x{r.page_flags:x}]"
    )
    return f"{r.dbtime:x},{session_text(r)}{pages},{r.cpg_primary},{flags_text(r, 'US')})"


def _create_single(r: LogRecord, _: Detail) -> str:
    pages = f"{page_text(r, r.pgno)},{page_text(r, r.pgno_parent)},[{r.objid}]"
    flags = f"PageFlags:[0x{r.page_flags:x}]{r.cpg_primary},{flags_text(r, 'US')})"
    return f"{r.dbtime:x},{session_text(r)}{pages},{flags}"


def _convert(r: LogRecord, _: Detail) -> str:
    tree = f"{page_text(r, r.pgno)},{page_text(r, r.pgno_parent)},[{r.objid}],+{r.cpg_primary}"
    second = f"{page_text(r, r.pgno_secondary)},+{r.cpg_secondary},{flags_text(r, 'US')})"
    return f"{head_text(r)}{tree},{second}"


def _new_page(r: LogRecord, _: Detail) -> str:
    return f"{r.dbtime:x},({r.procid:x},page:{page_text(r, r.pgno)},{objid_text(r)})"


WRITERS: dict[T, Writer] = {
    T.SPLIT: _split,
    T.SPLIT2: _split,
    T.MERGE: _merge,
    T.MERGE2: _merge,
    T.PAGE_MOVE: _page_move,
    T.EMPTY_TREE: _empty_tree,
    T.CREATE_MULTIPLE_EXTENT_FDP: _create_multiple,
    T.CREATE_SINGLE_EXTENT_FDP: _create_single,
    T.CONVERT_FDP: _convert,
    T.CONVERT_FDP2: _convert,
    T.NEW_PAGE: _new_page,
    T.ROOT_PAGE_MOVE: lambda r, _: f"{r.dbtime:x},({r.procid:x},{objid_text(r)})",
    T.PAGE_PATCH_REQUEST: lambda r, _: f"{r.dbtime:x},{page_text(r, r.pgno)}",
}
