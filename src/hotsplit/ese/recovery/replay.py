"""Redo: the records of a log stream, carried out on the work copies of its databases.

Source: log specification 6.12. One `Replay` is one recovery; its caller gives the databases found
and then the logs in order.
"""

from __future__ import annotations

from collections.abc import Callable

from hotsplit.errors import Jet, RecoveryFailed
from hotsplit.ese.files.logfile import LogFile
from hotsplit.ese.format.attachments import Attachment
from hotsplit.ese.format.basics import LogPosition
from hotsplit.ese.format.logrecord import LogRecord, decode
from hotsplit.ese.format.logsegment import SEGMENT_SIZE
from hotsplit.ese.format.recordparts import database_path
from hotsplit.ese.format.recordtable import CLOSING, PAGE_TYPES
from hotsplit.ese.format.recordtable import RecordType as T
from hotsplit.ese.recovery.attach import Claim
from hotsplit.ese.recovery.core import (
    BEYOND,
    DAMAGED,
    END,
    MISS,
    NEW,
    RECORD,
    TOO_NEW,
    TOO_OLD,
    Core,
)
from hotsplit.ese.recovery.databases import Databases, Setting, Target
from hotsplit.ese.recovery.macros import Macros, carry_out
from hotsplit.ese.recovery.pages import PageAccess, position_number, position_of
from hotsplit.ese.recovery.trees import HANDLERS

_INITS = (T.INIT, T.INIT2)


class Replay:
    """Redo over a set of databases. budget: bytes of pages kept in memory.

    ended: the last record that ends or begins an instance was one that ends it: nothing is open.
    """

    def __init__(self, setting: Setting, targets: list[Target], budget: int) -> None:
        self.core = Core(setting.page_size)
        self.pages = PageAccess(self.core, setting.page_size, budget)
        self.macros = Macros(self.pages)
        self.databases = Databases(self.core, self.pages, targets, setting)
        self.log = setting.log
        self.shutdown = LogPosition()
        self.ended = False

    def begin(self, attachments: list[Attachment], position: LogPosition) -> None:
        """Attach the databases that were attached where replay begins."""
        for entry in attachments:
            claim = Claim(
                *(entry.attach, entry.consistent, entry.signature, self.log, self.log, position),
                dbtime=entry.dbtime,
            )
            self.databases.attach(entry.dbid, claim, entry.path)

    def replay(self, log: LogFile, start: LogPosition, stop: LogPosition | None = None) -> None:
        """Carry out the records of one log from `start` on, up to `stop`. Raises HotsplitError.

        Data behind a torn end of the log is not looked at; its caller decides about that.
        """
        if log.header.has_segments:
            data = b"".join(segment for _, segment in log.segments(start.sector))
            base = LogPosition(log.generation, max(1, start.sector), 0)
            data = _cut(data, base, _boundary(log, stop))
            self._run(data, base, start.byte, framed=True)
        else:
            for position, record in log.records(start):
                if stop is not None and position >= stop:
                    break
                self._run(record, position, 0, framed=False)
        self.pages.check_pending(log.generation)

    def _run(self, data: bytes, base: LogPosition, offset: int, *, framed: bool) -> None:
        self.core.feed(data, position_number(base), offset, framed)
        while (code := self.core.run()) != END:
            self._handle(code)

    def _handle(self, code: int) -> None:
        core = self.core
        if code == RECORD:
            self._record(decode(core.record))
        elif code == MISS:
            self.pages.missing(*core.missing)
        elif code == NEW:
            self.pages.missing_new(*core.missing)
        elif code in (TOO_OLD, TOO_NEW, BEYOND):
            self._mismatch(decode(core.record))
        elif code == DAMAGED:
            raise RecoveryFailed(core.why, position=str(position_of(core.position)))

    def _mismatch(self, record: LogRecord) -> None:
        page = self.core.page(record.dbid, record.pgno)
        assert page is not None
        now = int.from_bytes(page[8:16], "little")
        error = self.pages.mismatch(
            record.dbid, record.pgno, now, record.dbtime, record.dbtime_before
        )
        if error.jet != Jet.errDbTimeTooOld or not self.pages.may_set_aside(record.dbid, error):
            raise error
        self.pages.set_aside(record.dbid, record.pgno, error)

    # Records

    def _record(self, record: LogRecord) -> None:
        if record.type in _STREAM:
            _STREAM[record.type](self, record)
        elif not self.macros.take(record) and record.type in HANDLERS:
            if self._is_replayed(record):
                HANDLERS[record.type](self.pages, record)
        elif record.type in CLOSING:
            self._end(record)
        elif record.type in _INITS:
            self.core.reset_sessions()
            self.macros.clear()
            self.ended = False

    def _is_replayed(self, record: LogRecord) -> bool:
        target = self.databases.replayed(record.dbid)
        if target is None or self.core.position <= target.since:
            return False
        self.core.note(record.dbid, record.dbtime, record.objid)
        return self.core.is_known(record.procid)

    def _macro_commit(self, record: LogRecord) -> None:
        collected = [r for r in self.macros.end(record) if self._is_replayed(r)]
        if collected:
            carry_out(self.pages, collected)

    def _macro_abort(self, record: LogRecord) -> None:
        self.macros.end(record)

    def _end(self, record: LogRecord) -> None:
        """The instance ended: sessions are gone and databases clean, unless they stay attached."""
        if record.type != T.RECOVERY_QUIT_KEEP_ATTACHMENTS:
            self.databases.close_all(self.shutdown)
            self.ended = True
        self.core.reset_sessions()

    def _shutdown_mark(self, _: LogRecord) -> None:
        self.shutdown = self._here

    @property
    def _here(self) -> LogPosition:
        return position_of(self.core.position)

    def _attach(self, record: LogRecord) -> None:
        here = self._here
        consistent = record.consistent if record.consistent < here else LogPosition()
        claim = Claim(
            *(here, consistent, record.db_signature, self.log, record.log_signature),
            *(here, True),
        )
        self.databases.attach(record.dbid, claim, database_path(record))

    def _detach(self, record: LogRecord) -> None:
        self.databases.missing.pop(record.dbid, None)
        if record.dbid in self.databases.attached:
            self.databases.close(record.dbid, self._here)

    def check_complete(self, last_generation: int, *, ignore_missing: bool) -> None:
        """Raise for pages that never became usable and for databases not recovered (-1216)."""
        self.pages.check_pending(last_generation)
        if not ignore_missing:
            self.databases.refuse_deferred()


def _boundary(log: LogFile, stop: LogPosition | None) -> LogPosition | None:
    """Return where the first record at or behind `stop` begins; None if it is not in this log."""
    if stop is None or stop.generation > log.generation:
        return None
    return next((position for position, _ in log.records() if position >= stop), None)


def _cut(data: bytes, base: LogPosition, stop: LogPosition | None) -> bytes:
    """Blank out what lies at and behind `stop`, where a record begins; zeros say nothing."""
    if stop is None:
        return data
    keep = max(0, (stop.sector - base.sector) * SEGMENT_SIZE + stop.byte)
    if keep >= len(data):
        return data
    return data[:keep] + bytes(-keep % SEGMENT_SIZE)


_STREAM: dict[int, Callable[[Replay, LogRecord], None]] = {
    T.MACRO_BEGIN: lambda replay, record: replay.macros.begin(record),
    T.MACRO_COMMIT: Replay._macro_commit,
    T.MACRO_ABORT: Replay._macro_abort,
    T.SHUTDOWN_MARK: Replay._shutdown_mark,
    T.CREATE_DB: lambda replay, record: replay.databases.create(record, replay._here),
    T.CREATE_DB_FINISH: lambda replay, record: replay.databases.finish_creation(record),
    T.ATTACH_DB: Replay._attach,
    T.DETACH_DB: Replay._detach,
    T.REATTACH: lambda replay, record: replay.databases.reattach(record, replay._here),
    T.EXTEND_DB: lambda replay, record: replay.databases.extend(record, replay._here),
    T.SHRINK_DB: lambda replay, record: replay.databases.shrink(record, replay._here),
    T.SHRINK_DB2: lambda replay, record: replay.databases.shrink(record, replay._here),
    T.SHRINK_DB3: lambda replay, record: replay.databases.shrink(record, replay._here),
    T.TRIM_DB: lambda replay, record: replay.databases.trim(record, replay._here),
    T.SET_DB_VERSION: lambda replay, record: replay.databases.set_version(record),
    T.BACKUP2: lambda replay, record: replay.databases.backed_up(record, replay._here),
}

assert PAGE_TYPES.issuperset(set(HANDLERS) - {T.NEW_PAGE, T.CONVERT_FDP})
