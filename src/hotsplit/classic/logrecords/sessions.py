"""Records of sessions, macros and the instance. Source: log specification 10.7."""

from __future__ import annotations

from hotsplit.classic.logrecords.parts import (
    Detail,
    Writer,
    moment_text,
    place_text,
)
from hotsplit.classic.texts import parameter_lines
from hotsplit.ese.format.attachments import ansi_text
from hotsplit.ese.format.logrecord import LogRecord
from hotsplit.ese.format.recordparts import macro_pages
from hotsplit.ese.format.recordtable import RecordType as T


def _begin(r: LogRecord, _: Detail) -> str:
    first, count = r.levels & 0x0F, r.levels >> 4  # two numbers of four bits
    text = f"({r.procid:x},from:{first},to:{first + count})"
    return text if r.type == T.BEGIN else f"{text} {r.trx:x}"


def _commit(r: LogRecord, _: Detail) -> str:
    text = f"({r.procid:x},to:{r.level_to})"
    return text if r.type == T.COMMIT else f"{text} {r.trx:x}"


def _init(r: LogRecord, _: Detail) -> str:
    parameters = r.parameters
    lines = [moment_text(r.time) if r.type == T.INIT2 else ""]
    lines.append(f"      Env SystemPath:{parameters.system_path}")
    lines.append(f"      Env LogFilePath:{parameters.log_path}")
    return "\n".join([*lines, *parameter_lines(parameters), ""])


def _quit(r: LogRecord, _: Detail) -> str:
    lines = ["" if r.type == T.RECOVERY_QUIT else moment_text(r.time)]
    lines.append(f"      Quit on {'Hard' if r.hard else 'Soft'} Restore.")
    lines.append(f"      RedoFrom:{place_text(r.redo_from)}")
    lines.append(f"      UndoRecordFrom:{place_text(r.position)}")
    return "\n".join([*lines, ""])


def _trace(r: LogRecord, _: Detail) -> str:
    return f"({r.procid:x}) {ansi_text(r.text)}"


def _macro_pages(r: LogRecord, _: Detail) -> str:
    return "".join(f"[{dbid}:{pgno}]," for dbid, pgno in macro_pages(r))


def _nothing(_: LogRecord, __: Detail) -> str:
    return ""


WRITERS: dict[T, Writer] = {
    T.NOP: _nothing,
    T.END: _nothing,
    T.SHUTDOWN_MARK: _nothing,
    T.TERM: _nothing,
    T.RECOVERY_UNDO: _nothing,
    T.INIT: _init,
    T.INIT2: _init,
    T.RECOVERY_QUIT: _quit,
    T.RECOVERY_QUIT2: _quit,
    T.RECOVERY_QUIT_KEEP_ATTACHMENTS: _quit,
    T.BEGIN: _begin,
    T.BEGIN0: _begin,
    T.BEGIN_DT: _begin,
    T.COMMIT: _commit,
    T.COMMIT0: _commit,
    T.MACRO_INFO: _macro_pages,
    T.MACRO_INFO2: _macro_pages,
    T.TRACE: _trace,
    T.FORCE_LOG_ROLLOVER: _trace,
    T.TERM2: lambda r, _: moment_text(r.time),
    T.RECOVERY_UNDO2: lambda r, _: moment_text(r.time),
    T.ROLLBACK: lambda r, _: f"({r.procid:x},{r.levels})",
    T.REFRESH: lambda r, _: f"({r.procid:x},{r.trx:x})",
    T.MACRO_BEGIN: lambda r, _: f"({r.procid:x}) {r.dbtime:x}",
    T.MACRO_COMMIT: lambda r, _: f"({r.procid:x}) {r.dbtime:x}",
    T.MACRO_ABORT: lambda r, _: f"({r.procid:x}) {r.dbtime:x}",
    T.FORCE_WRITE_LOG: lambda r, _: f"({r.procid:x})",
    T.JET_OP: lambda r, _: f"({r.procid:x}) -- {r.operation}",
}
