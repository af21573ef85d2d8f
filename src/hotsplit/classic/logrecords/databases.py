"""Records of whole databases, their space and backups. Source: log specification 10.7."""

from __future__ import annotations

from hotsplit.classic.logrecords.parts import (
    Detail,
    Writer,
    moment_text,
    page_text,
    place_text,
    signature_text,
    word_text,
)
from hotsplit.ese.format.attachments import ansi_text, utf16_text
from hotsplit.ese.format.logrecord import LogRecord
from hotsplit.ese.format.recordparts import (
    create_version,
    database_path,
    extended_to,
    freed_tree,
    reattached,
    scan_checked,
)
from hotsplit.ese.format.recordtable import RecordType as T

_PHASES = ("?", "Begin", "PrepLogs", "Truncate", "Update", "Torpedos Away!", "Stop")
_BACKUP_TYPES = {0: "External", 1: "OSSnapshot", 2: "Snapshot", 3: "Surrogate"}
_SCOPES = {1: "Full", 2: "Incremental", 5: "Copy", 6: "Differential"}
_MOST_PAGES = 32  # pages of a freed or trimmed range that are listed
_NO_DBTIME = 0xFFFF_FFFF_FFFF_FFFF


def _create_db(r: LogRecord, _: Detail) -> str:
    version, update = create_version(r) or (0, 0)
    text = f"({r.procid:x},{database_path(r)},{r.dbid}) Version: 0x{version:x},0x{update:x}"
    sparse = bool(r.flags & 0x10)
    return f"{text} cpgMax: {r.max_pages} Sig: {signature_text(r.db_signature)} sparse: {sparse:d}"


def _attach_db(r: LogRecord, _: Detail) -> str:
    head = f"({r.procid:x},{database_path(r)},{r.dbid}) cpgMax: {r.max_pages}"
    signatures = (
        f"SigDb: {signature_text(r.db_signature)}   SigLog: {signature_text(r.log_signature)}"
    )
    sparse = bool(r.flags & 0x10)
    return f"{head} consistent:{place_text(r.consistent)}   {signatures} sparse: {sparse:d}"


def _detach_db(r: LogRecord, _: Detail) -> str:
    return f"({r.procid:x},{database_path(r)},{r.dbid})"


def _extend_db(r: LogRecord, _: Detail) -> str:
    dbid, last = extended_to(r)
    return f"[{dbid}:{last}]"


def _set_version(r: LogRecord, _: Detail) -> str:
    return f"(dbid:{r.dbid}, DB ver:{r.major}.{r.update_major}.{r.update_minor})"


def _reattach(r: LogRecord, _: Detail) -> str:
    found = reattached(r)
    places = f"consistent:{place_text(found.consistent)} attach:{place_text(found.attach)}"
    return f"[{found.dbid}:], {places} SigDb: {signature_text(found.signature)}"


def _free_tree(r: LogRecord, _: Detail) -> str:
    tree = freed_tree(r)
    return f"{tree.trx:x}:([{tree.dbid}:{tree.fdp}] ({'T' if tree.kind == 1 else 'I'}))"


def _scan_check(r: LogRecord, _: Detail) -> str:
    found = scan_checked(r)
    return f"{found.dbtime:x},{found.dbtime_before:x}[{found.dbid}:{found.pgno}]"


def _scan_check2(r: LogRecord, _: Detail) -> str:
    objid = "IVO" if r.source & 0x80 else "VO"
    empty = "EP" if r.source & 0x40 else "NEP"
    times = f"{r.dbtime:x},{r.dbtime_page:x}"
    return f"{times}{page_text(r, r.pgno)},source:{r.source & 3},{objid},{empty}"


def _listed(r: LogRecord, first: int, count: int) -> str:
    return "".join(f"[{r.dbid}:{first + i}] " for i in range(1, min(count, _MOST_PAGES)))


def _extent_freed(r: LogRecord, _: Detail) -> str:
    dbtime = r.dbtime if r.type == T.EXTENT_FREED2 else _NO_DBTIME
    extent = f"[{r.dbid}:{r.pgno_first}+{r.cpg_extent}]"
    marks = ("R" if r.flags & 1 else "") + ("E" if r.flags & 2 else "")
    return f"{dbtime:x} {extent},[{marks}] ({_listed(r, r.pgno_first, r.cpg_extent)})"


def _trim(r: LogRecord, _: Detail) -> str:
    extent = f"[{r.dbid}:{r.pgno_first}+{r.cpg_zero}]"
    return f"{extent} ({_listed(r, r.pgno_first, r.cpg_zero)})"


def _shrink(r: LogRecord, _: Detail) -> str:
    dbtime = f"{r.dbtime:x}" if r.type == T.SHRINK_DB3 else ""
    return f"{dbtime}[{r.dbid}:{r.pgno_last}:{r.cpg_shrunk}]"


def _backup2(r: LogRecord, _: Detail) -> str:
    kind = f"{_BACKUP_TYPES.get(r.backup_type, '*Unknown*')}:{_SCOPES.get(r.scope, '*Unknown*')}"
    details = f"[{place_text(r.mark)},{moment_text(r.time)},({r.low},{r.high})]"
    path = f" {ansi_text(r.path)}" if r.path else ""
    phase = word_text(_PHASES, r.phase)
    return f"{phase}( {kind}, dbid={r.dbid}, phaseDetails{details} ){path}"


def _restore(r: LogRecord, _: Detail) -> str:
    text = utf16_text if r.type == T.EXT_RESTORE2 else ansi_text
    width = 2 if r.type == T.EXT_RESTORE2 else 1
    first = text(r.info)
    return f"({first},{text(r.info[(len(first) + 1) * width :])})"


def _path(r: LogRecord, _: Detail) -> str:
    return ansi_text(r.path)


WRITERS: dict[T, Writer] = {
    T.CREATE_DB: _create_db,
    T.ATTACH_DB: _attach_db,
    T.DETACH_DB: _detach_db,
    T.EXTEND_DB: _extend_db,
    T.SHRINK_DB: _shrink,
    T.SHRINK_DB2: _shrink,
    T.SHRINK_DB3: _shrink,
    T.TRIM_DB: _trim,
    T.SET_DB_VERSION: _set_version,
    T.REATTACH: _reattach,
    T.FREE_FDP: _free_tree,
    T.EXTENT_FREED: _extent_freed,
    T.EXTENT_FREED2: _extent_freed,
    T.SCAN_CHECK: _scan_check,
    T.SCAN_CHECK2: _scan_check2,
    T.BACKUP2: _backup2,
    T.EXT_RESTORE: _restore,
    T.EXT_RESTORE2: _restore,
    T.FULL_BACKUP: _path,
    T.INC_BACKUP: _path,
    T.CREATE_DB_FINISH: lambda r, _: f"({r.procid:x},{r.dbid})",
    T.SIGNAL_ATTACH_DB: lambda r, _: f"(dbid:{r.dbid})",
}
