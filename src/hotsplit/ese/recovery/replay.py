"""Redo: the records of a log stream, carried out on the work copies of its databases.

Source: log specification 6.12. One `Replay` is one recovery; its caller gives the databases found
and then the logs in order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hotsplit.errors import DatabaseMismatch, Jet, RecoveryFailed, UnsupportedVersion
from hotsplit.ese.files.logfile import LogFile
from hotsplit.ese.format.attachments import Attachment
from hotsplit.ese.format.basics import LogPosition, Signature
from hotsplit.ese.format.header import DatabaseHeader, DbState
from hotsplit.ese.format.logrecord import LogRecord, decode
from hotsplit.ese.format.recordparts import extended_to
from hotsplit.ese.format.recordtable import CLOSING, PAGE_TYPES
from hotsplit.ese.format.recordtable import RecordType as T
from hotsplit.ese.recovery.attach import (
    Claim,
    Outcome,
    check_range,
    decide_attach,
    decide_create,
)
from hotsplit.ese.recovery.core import (
    BEYOND,
    DAMAGED,
    END,
    MISS,
    RECORD,
    TOO_NEW,
    TOO_OLD,
    Core,
)
from hotsplit.ese.recovery.macros import Macros, carry_out
from hotsplit.ese.recovery.pages import PageAccess, position_number, position_of
from hotsplit.ese.recovery.store import WorkStore
from hotsplit.ese.recovery.trees import HANDLERS

_INITS = (T.INIT, T.INIT2)
_NOT_YET = (T.REATTACH, T.RECOVERY_QUIT_KEEP_ATTACHMENTS)


@dataclass
class Target:
    """A database of the stream and what became of it."""

    signature: Signature
    store: WorkStore
    outcome: Outcome = Outcome.DEFER
    dbid: int = 0

    @property
    def header(self) -> DatabaseHeader:
        """The header as recovery sees it now; written when recovery ends."""
        return self.store.header


class Replay:
    """Redo over a set of databases. budget: bytes of pages kept in memory."""

    def __init__(self, page_size: int, log: Signature, targets: list[Target], budget: int) -> None:
        self.core = Core(page_size)
        self.pages = PageAccess(self.core, page_size, budget)
        self.macros = Macros(self.pages)
        self.targets = targets
        self.log = log
        self.by_dbid: dict[int, Target] = {}
        self.missing: dict[int, Signature] = {}
        self.shutdown = LogPosition()

    # Databases

    def begin(self, attachments: list[Attachment], position: LogPosition) -> None:
        """Attach the databases that were attached where replay begins."""
        for entry in attachments:
            claim = Claim(
                entry.attach, entry.consistent, entry.signature, self.log, self.log, position
            )
            self._attach(entry.dbid, claim)

    def _attach(self, dbid: int, claim: Claim) -> None:
        target = next((t for t in self.targets if t.signature == claim.database), None)
        self.core.detach(dbid)
        self.by_dbid.pop(dbid, None)
        if target is None:
            self.missing[dbid] = claim.database
            return
        self.missing.pop(dbid, None)
        target.outcome = decide_attach(claim, target.header).outcome
        self._enter(dbid, claim, target)

    def _create(self, record: LogRecord) -> None:
        here = position_of(self.core.position)
        claim = Claim(here, LogPosition(), record.db_signature, self.log, self.log, here)
        target = next((t for t in self.targets if t.signature == claim.database), None)
        if target is None:
            self.missing[record.dbid] = claim.database
            return
        target.outcome = decide_create(claim, target.header).outcome
        self._enter(record.dbid, claim, target)

    def _enter(self, dbid: int, claim: Claim, target: Target) -> None:
        self.by_dbid[dbid] = target
        target.dbid = dbid
        if target.outcome != Outcome.NOW:
            return
        header = target.header
        if header.state != DbState.CLEAN_SHUTDOWN:
            check_range(header, claim.replaying.generation, target.store.path, hard=False)
        header.state = DbState.DIRTY_SHUTDOWN
        header.dbid, header.attach = dbid, claim.attach
        header.log_signature = self.log
        self.pages.stores[dbid] = target.store
        self.pages.required[dbid] = header.gen_max_required
        self.core.attach(dbid, position_number(claim.attach), header.gen_max_required)
        self.core.note(dbid, header.dbtime, header.objid_last)

    def close_database(self, dbid: int, position: LogPosition) -> None:
        """Make a database clean as of `position`: pages written, then the header (6.8)."""
        target = self.by_dbid.pop(dbid)
        self.core.detach(dbid)
        if target.outcome != Outcome.NOW:
            return
        self.pages.flush(dbid)
        header = target.header
        header.dbtime, header.objid_last = self.core.counters(dbid)
        header.state = DbState.CLEAN_SHUTDOWN
        header.consistent = header.detach = position
        header.gen_min_required = header.gen_max_required = header.gen_max_committed = 0
        header.gen_min_consistent = header.gen_recovering = 0
        header.pre_redo_min_consistent = header.pre_redo_min_required = 0
        target.store.write_header(header)

    # Records

    def replay(self, log: LogFile, start: LogPosition) -> None:
        """Carry out the records of one log from `start` on. Raises HotsplitError."""
        if not log.header.has_segments:
            raise UnsupportedVersion(
                "Logs of format v7 cannot be replayed yet", jet=Jet.errBadLogVersion, file=log.path
            )
        log.check()
        data = b"".join(segment for _, segment in log.segments(start.sector))
        base = position_number(LogPosition(log.generation, max(1, start.sector), 0))
        self.core.feed(data, base, start.byte if start.byte else 0, True)
        while (code := self.core.run()) != END:
            self._handle(code)
        self.pages.check_pending(log.generation)

    def _handle(self, code: int) -> None:
        core = self.core
        if code == RECORD:
            self._record(decode(core.record))
        elif code == MISS:
            self.pages.missing(*core.missing)
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

    def _record(self, record: LogRecord) -> None:
        if record.type in _NOT_YET:
            raise RecoveryFailed(
                f"A {record.tag} record cannot be replayed yet",
                position=str(position_of(self.core.position)),
                hint="Databases that stay attached over a recovery are not supported yet.",
            )
        if record.type in _STREAM:
            _STREAM[record.type](self, record)
        elif not self.macros.take(record) and record.type in HANDLERS:
            if self._is_replayed(record):
                HANDLERS[record.type](self.pages, record)
        elif record.type in CLOSING:
            self._close_all()
        elif record.type in _INITS:
            self.core.reset_sessions()
            self.macros.clear()

    def _is_replayed(self, record: LogRecord) -> bool:
        target = self.by_dbid.get(record.dbid)
        if target is None or target.outcome != Outcome.NOW:
            return False
        if self.core.position <= position_number(target.header.attach):
            return False
        self.core.note(record.dbid, record.dbtime, record.objid)
        return self.core.is_known(record.procid)

    def _macro_commit(self, record: LogRecord) -> None:
        collected = [r for r in self.macros.end(record) if self._is_replayed(r)]
        if collected:
            carry_out(self.pages, collected)

    def _close_all(self) -> None:
        for dbid in list(self.by_dbid):
            self.close_database(dbid, self.shutdown)
        self.missing.clear()
        self.core.reset_sessions()

    def _shutdown_mark(self, _: LogRecord) -> None:
        self.shutdown = position_of(self.core.position)

    def _attach_record(self, record: LogRecord) -> None:
        here = position_of(self.core.position)
        consistent = record.consistent if record.consistent < here else LogPosition()
        claim = Claim(
            *(here, consistent, record.db_signature, self.log, record.log_signature),
            *(here, True),
        )
        self._attach(record.dbid, claim)

    def _detach_record(self, record: LogRecord) -> None:
        self.missing.pop(record.dbid, None)
        if record.dbid in self.by_dbid:
            self.close_database(record.dbid, position_of(self.core.position))

    def _extend(self, record: LogRecord) -> None:
        dbid, last = extended_to(record)
        target = self.by_dbid.get(dbid)
        if target is not None and target.outcome == Outcome.NOW:
            target.store.extend(last)

    def _set_version(self, record: LogRecord) -> None:
        target = self.by_dbid.get(record.dbid)
        if target is not None and target.outcome == Outcome.NOW:
            target.header.update_major = record.update_major
            target.header.update_minor = record.update_minor

    def check_complete(self, last_generation: int) -> None:
        """Raise for databases that the logs know and that were not there (-1216)."""
        self.pages.check_pending(last_generation)
        if self.missing or any(t.outcome != Outcome.NOW for t in self.by_dbid.values()):
            raise DatabaseMismatch("A database that the logs know is not there or is another one")


_STREAM: dict[int, Callable[[Replay, LogRecord], None]] = {
    T.MACRO_BEGIN: lambda replay, record: replay.macros.begin(record),
    T.MACRO_COMMIT: Replay._macro_commit,
    T.MACRO_ABORT: lambda replay, record: [replay.macros.end(record)].clear(),
    T.SHUTDOWN_MARK: Replay._shutdown_mark,
    T.CREATE_DB: Replay._create,
    T.ATTACH_DB: Replay._attach_record,
    T.DETACH_DB: Replay._detach_record,
    T.EXTEND_DB: Replay._extend,
    T.SET_DB_VERSION: Replay._set_version,
}

assert PAGE_TYPES.issuperset(set(HANDLERS) - {T.NEW_PAGE, T.CONVERT_FDP})
