"""``eseutil /ml LOG /cFILE``: log records as lines of values, for programs that read them.

The file is UTF-16 with CR LF. The first value is the kind of line: LHGI and LHAI of the header,
LRPI a page that a record changes, LRDI a database, LRRI and LRTI a change of its size, LRCI a
checksum, LRMI any other record, LTEL the end of a sound log. Source: log specification 10.1.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Self

from hotsplit.classic.logdump import shown_records
from hotsplit.ese.files.env import Env
from hotsplit.ese.files.logfile import LogFile
from hotsplit.ese.format.basics import LogPosition, Signature
from hotsplit.ese.format.logheader import CIRCULAR_NOW, LogHeader
from hotsplit.ese.format.logrecord import NO_DBTIME, TAGS, LogRecord
from hotsplit.ese.format.recordparts import (
    database_path,
    emptied_pages,
    extended_to,
    macro_pages,
)
from hotsplit.ese.format.recordtable import TABLE
from hotsplit.ese.format.recordtable import RecordType as T

END = "LTEL"
_NIL = NO_DBTIME
_MOST_SHRUNK = 1 << 20
"""Pages of one shrinking that are listed; a record could name four billion."""

_FIXED = {row.type: row.size for row in TABLE}
_SHORT = {
    T.SPLIT2: T.SPLIT,
    T.MERGE2: T.MERGE,
    T.EXTENT_FREED2: T.EXTENT_FREED,
}  # what newer records have more is not summed
_FIXED_ONLY = frozenset(
    (T.FLAG_INSERT, T.DELTA, T.DELTA64, T.SPLIT, T.SPLIT2, T.UNDO, T.EXTENT_FREED2)
)

_FLUSH = 1 << 16  # characters


class Change(NamedTuple):
    """A page that a record changes: its dbtime before, NO_DBTIME if unknown, and after."""

    pgno: int
    objid: int
    dbid: int
    before: int
    after: int


# The record's other pages: field, field of the dbtime before; "" where it is not known.
_ALWAYS = {
    T.CREATE_MULTIPLE_EXTENT_FDP: ("pgno_oe", "pgno_ae", "pgno_parent"),
    T.CREATE_SINGLE_EXTENT_FDP: ("pgno_parent",),
    T.CONVERT_FDP: ("pgno_parent", "pgno_oe", "pgno_ae", "pgno_secondary"),
    T.CONVERT_FDP2: ("pgno_parent", "pgno_oe", "pgno_ae", "pgno_secondary"),
}
_PARENT = ("pgno_parent", "dbtime_parent_before")
_RIGHT = ("pgno_right", "dbtime_right_before")
_LEFT = ("pgno_left", "dbtime_left_before")
_IF_NAMED = {
    **dict.fromkeys((T.SPLIT, T.SPLIT2), (("pgno_new", ""), _PARENT, _RIGHT)),
    **dict.fromkeys((T.MERGE, T.MERGE2), (_PARENT, _RIGHT, _LEFT)),
    T.PAGE_MOVE: (("pgno_target", ""), _PARENT, _LEFT, _RIGHT),
}
_ONE_PAGE = (
    *(T.INSERT, T.FLAG_INSERT, T.FLAG_INSERT_AND_REPLACE, T.FLAG_DELETE, T.REPLACE),
    *(T.REPLACE_DIFF, T.DELETE, T.UNDO_INFO, T.DELTA, T.DELTA64, T.SET_EXTERNAL_HEADER),
    *(T.UNDO, T.SCRUB),
)
_PREFIXED = frozenset((*_ALWAYS, *_IF_NAMED, *_ONE_PAGE, T.EMPTY_TREE))


def changes(r: LogRecord) -> Iterator[Change]:
    """Yield the pages that a record changes. Raises LogDamaged when its content makes no sense."""
    if r.type in _PREFIXED:
        yield Change(r.pgno, r.objid, r.dbid, r.dbtime_before, r.dbtime)
        yield from _other_pages(r)
    elif r.type in (T.MACRO_INFO, T.MACRO_INFO2):
        for dbid, pgno in macro_pages(r):
            yield Change(pgno, 0, dbid, 0, 0)
    elif r.type == T.NEW_PAGE:
        yield Change(r.pgno, r.objid, r.dbid, _NIL, r.dbtime)
    elif r.type in (T.SHRINK_DB2, T.SHRINK_DB3):
        after = r.dbtime if r.type == T.SHRINK_DB3 else _NIL
        for i in range(min(r.cpg_shrunk, _MOST_SHRUNK)):
            yield Change(r.pgno_last + 1 + i, 0, r.dbid, _NIL, after)


def _other_pages(r: LogRecord) -> Iterator[Change]:
    for name in _ALWAYS.get(r.type, ()):
        yield Change(getattr(r, name), r.objid, r.dbid, _NIL, r.dbtime)
    if r.type in (T.SPLIT, T.SPLIT2) and not r.pgno_new:
        return
    for name, before in _IF_NAMED.get(r.type, ()):
        if pgno := getattr(r, name):
            then = getattr(r, before) if before else _NIL
            yield Change(pgno, r.objid, r.dbid, then, r.dbtime)
    if r.type == T.EMPTY_TREE:
        for page in emptied_pages(r):
            yield Change(page.pgno, r.objid, r.dbid, page.dbtime_before, r.dbtime)


def header_lines(header: LogHeader) -> Iterator[str]:
    """Yield the lines of a log's header."""
    circular = "0x1" if header.flags & CIRCULAR_NOW else "0x0"
    version = ".".join(map(str, header.version))
    times = ", ".join(t.text(zone=False) for t in (header.created, header.previous_created))
    numbers = f"{header.generation:08X}, {header.checksum:08X}"
    rest = f"{version}, {circular}, {header.sector_size}"
    yield f"LHGI, {header.signature}, {numbers}, {times}, {rest}"
    for entry in header.attachments:
        yield f'LHAI, {entry.dbid}, "{entry.path}", {_hex(entry.signature)}'


def _hex(signature: Signature) -> str:
    return signature.pack().hex(" ").upper() + " "


def record_lines(at: LogPosition, r: LogRecord) -> Iterator[str]:
    """Yield the lines of a record, none of a NOP; only the first has its size.

    Raises LogDamaged when the content of the record makes no sense.
    """
    if r.type == T.NOP:
        return
    where = f"{at.generation:08X}:{at.sector:04X}:{at.byte:04X}"
    sums, size = f"{_other_sum(r):08X}{_sum(at, r):08X}", len(r.raw)
    for kind, values in _lines(r):
        yield ", ".join((kind, where, f"{size:04X}", sums, *values))
        size = 0


def _lines(r: LogRecord) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the kind of each line and its own values."""
    tag = f"{TAGS[r.type]:<9}"
    if r.type == T.CHECKSUM:
        yield "LRCI", ()
    elif r.type in (T.CREATE_DB, T.ATTACH_DB, T.DETACH_DB):
        signature = Signature() if r.type == T.DETACH_DB else r.db_signature
        yield "LRDI", (tag, str(r.dbid), f'"{database_path(r)}"', _hex(signature))
    elif r.type in (T.EXTEND_DB, T.SHRINK_DB, T.TRIM_DB):
        dbid = extended_to(r)[0] if r.type == T.EXTEND_DB else r.dbid
        yield "LRTI" if r.type == T.TRIM_DB else "LRRI", (tag, str(dbid))
    else:
        yield from _page_lines(r, tag)


def _page_lines(r: LogRecord, tag: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    any_page = False
    for c in changes(r):
        any_page = True
        pages = (f"{c.pgno:08X}", f"{c.objid:08X}", f"{c.dbid:08X}")
        yield "LRPI", (tag, *pages, f"{c.before:016X}", f"{c.after:016X}")
    if not any_page:
        yield "LRMI", (tag,)


def _other_sum(r: LogRecord) -> int:
    """Return the short checksum of a record of checksums, 0 of others."""
    return int(r.short_checksum) if r.type == T.CHECKSUM and r.use_short else 0


def _sum(at: LogPosition, r: LogRecord) -> int:
    """Return the checksum of a record and its place: exclusive or of 32-bit words."""
    if r.type == T.CHECKSUM:
        return int(r.checksum)
    raw = r.raw[: _summed(r)]
    found = at.generation ^ (at.sector << 16 | at.byte)
    for word in memoryview(raw + bytes(-len(raw) % 4)).cast("I"):
        found ^= word
    return found & 0xFFFFFFFF


def _summed(r: LogRecord) -> int:
    """Return how many bytes of a record the checksum covers; of some types not the values."""
    size = _FIXED[_SHORT.get(r.type, r.type)]
    if r.type in _FIXED_ONLY:
        return size
    if r.type == T.UNDO_INFO:
        return size + int(r.data_size)
    if r.type in (T.MERGE, T.MERGE2):
        return size + int(r.parent_key_size)
    if r.type in (T.TRACE, T.FORCE_LOG_ROLLOVER):
        return size + len(r.body.partition(b"\0")[0])
    return len(r.raw)


def _log_lines(log: LogFile) -> Iterator[str]:
    yield from header_lines(log.header)
    for at, record in shown_records(log):
        yield from record_lines(at, record)
    if log.damage is None:
        yield END


class CsvFile:
    """The file that lines go to, written in portions. Raises TargetExists and the like."""

    def __init__(self, env: Env, path: str) -> None:
        self.path = path
        self._file, self._end = env.open(path, "create"), 0
        self._lines, self._size = ["\ufeff"], 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._write()
        finally:
            self._file.close()

    def add(self, env: Env, path: str) -> None:
        """Add all lines of a log. Raises LogDamaged for a damaged one, behind what is sound."""
        with LogFile.open(env, path) as log:
            for line in _log_lines(log):
                self._lines.append(line + "\r\n")
                self._size += len(line)
                if self._size > _FLUSH:
                    self._write()
            log.check()

    def _write(self) -> None:
        data = "".join(self._lines).encode("utf-16-le", "surrogatepass")
        self._file.pwrite(data, self._end)
        self._end += len(data)
        self._lines, self._size = [], 0
