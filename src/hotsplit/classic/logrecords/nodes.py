"""Records of single nodes. Source: log specification 10.7."""

from __future__ import annotations

from hotsplit.classic.logrecords.parts import (
    Detail,
    Writer,
    flags_text,
    head_text,
    node_text,
    objid_text,
    page_text,
    session_text,
    shown_data,
)
from hotsplit.ese.format.logrecord import LARGE_DIFF, LogRecord
from hotsplit.ese.format.recordtable import RecordType as T


def _insert(r: LogRecord, detail: Detail) -> str:
    sizes = f"{r.prefix_size},{r.suffix_size},{r.data_size}"
    flags = flags_text(r, "UVDPSC")
    end = f"{sizes},rceid:{r.rceid},{objid_text(r)})"
    return f"{head_text(r)}{node_text(r)},{flags},{end}{shown_data(r.body, detail)}"


def _flag_insert(r: LogRecord, _: Detail) -> str:
    return (
        f"{head_text(r)}{node_text(r)},{flags_text(r, 'UVDPSC')},rceid:{r.rceid},{objid_text(r)})"
    )


def _flag_insert_and_replace(r: LogRecord, detail: Detail) -> str:
    ids = f"rceidInsert:{r.rceid},rceidReplace:{r.rceid_replace},{objid_text(r)})"
    flags = f"{flags_text(r, 'UVPSC')},{r.key_size + r.data_size:5}"
    return f"{head_text(r)}{node_text(r)},{flags},{ids}{shown_data(r.body, detail)}"


def _flag_delete(r: LogRecord, _: Detail) -> str:
    return f"{head_text(r)}{node_text(r)},{flags_text(r, 'UVPSC')}),rceid:{r.rceid},{objid_text(r)}"


def _replace(r: LogRecord, detail: Detail) -> str:
    sizes = f"{r.change_size & ~LARGE_DIFF:5},{r.new_size:5},{r.old_size:5}"
    end = f"{sizes},rceid:{r.rceid},{objid_text(r)})"
    data = shown_data(r.body, detail) if r.type == T.REPLACE else ""
    return f"{head_text(r)}{node_text(r)},{flags_text(r, 'UVPSC')},{end}{data}"


def _delete(r: LogRecord, _: Detail) -> str:
    return f"{head_text(r)}{node_text(r)},{flags_text(r, 'UPS')},{objid_text(r)})"


def _undo_info(r: LogRecord, detail: Detail) -> str:
    sizes = f"{r.key_size},{r.bookmark_data_size},{r.data_size}"
    end = f"{sizes},rceid:{r.rceid},{objid_text(r)})"
    head = f"{session_text(r)}{page_text(r, r.pgno)},{flags_text(r, 'US')}"
    return f"{head},{end}{shown_data(r.body, detail)}"


def _undo(r: LogRecord, _: Detail) -> str:
    end = f"{r.level_undo},{r.operation},rceid:{r.rceid})"
    return f"{head_text(r)}{node_text(r)},{flags_text(r, 'US')},{end}"


def _delta(r: LogRecord, _: Detail) -> str:
    end = f"{r.delta},offset:{r.offset},rceid:{r.rceid},{objid_text(r)})"
    return f"{head_text(r)}{node_text(r)},{flags_text(r, 'UVSC')},{end}"


def _set_external_header(r: LogRecord, detail: Detail) -> str:
    end = f"{r.data_size:5}){shown_data(r.body, detail)}"
    return f"{head_text(r)}{page_text(r, r.pgno)},{flags_text(r, 'UPS')},{end}"


def _scrub(r: LogRecord, detail: Detail) -> str:
    page = "unused page" if r.scrub_flags & 1 else "used page"
    end = f"{page},{r.operation_count},{r.data_size:5}){shown_data(r.body, detail)}"
    return f"{head_text(r)}{page_text(r, r.pgno)},{flags_text(r, 'UPS')},{end}"


WRITERS: dict[T, Writer] = {
    T.INSERT: _insert,
    T.FLAG_INSERT: _flag_insert,
    T.FLAG_INSERT_AND_REPLACE: _flag_insert_and_replace,
    T.FLAG_DELETE: _flag_delete,
    T.REPLACE: _replace,
    T.REPLACE_DIFF: _replace,
    T.DELETE: _delete,
    T.UNDO_INFO: _undo_info,
    T.UNDO: _undo,
    T.DELTA: _delta,
    T.DELTA64: _delta,
    T.SET_EXTERNAL_HEADER: _set_external_header,
    T.SCRUB: _scrub,
}
