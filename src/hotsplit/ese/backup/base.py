"""What every backup of a running instance does besides copying: hold, log, stamp, truncate.

Headers are stamped before logs are deleted: what a crash leaves in between costs only space.
Source: log specification 8.1, 8.5, 8.6.
"""

from __future__ import annotations

import os.path
from abc import ABC, abstractmethod
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from hotsplit.errors import InstanceDown, InvalidUse, Jet, LogsMissing
from hotsplit.ese.backup.kinds import Kind, record
from hotsplit.ese.engine.database import OpenDatabase
from hotsplit.ese.engine.instance import Instance
from hotsplit.ese.format.basics import BackupInfo
from hotsplit.ese.format.logrecord import decode
from hotsplit.ese.recovery.backupstamp import BackupType, Phase, stamp
from hotsplit.ese.recovery.events import EventId
from hotsplit.ese.recovery.pages import position_of


class RunningBackup(ABC):
    """A backup under way. databases covered: all that are attached if None.

    Logs alone are always those of all databases. info: mark, time and logs of the backup, as they
    will stand in headers. truncated: first and last generation that `finish` deleted.

    Raises InvalidUse: -526 for a backup of logs where these are deleted by circular logging, -560
    without a full backup before it, -1003 for no database; InstanceDown.
    """

    backup_type = BackupType.STREAMING

    def __init__(
        self,
        instance: Instance,
        kind: Kind = Kind.FULL,
        databases: Sequence[OpenDatabase] | None = None,
    ) -> None:
        self.instance, self.context, self.kind = instance, instance.context, kind
        self.info, self.truncated, self._over = BackupInfo(), (0, 0), False
        with self.context.lock:
            self.context.check()
            attached = list(instance.databases.values())
            chosen = attached if databases is None or not kind.has_databases else list(databases)
            _check_may_begin(instance, kind, chosen)
            self.covered = chosen
            self._hold = self.context.holds.add("backup", 0)
            try:
                self._begin()
                self._tell(_BEGINS[self.backup_type, kind.has_databases], "begins")
            except BaseException:
                self.context.holds.release(self._hold)
                raise

    def _begin(self) -> None:
        context, logs = self.context, self.instance.logs.range()
        low = logs.checkpoint if self.kind.has_databases else logs.lowest
        required = [database.header.gen_min_required for database in self.covered]
        mark, now = position_of(context.log.end), context.now()
        self.info = BackupInfo(mark, now, min([low, *required]))
        self._hold.generation = self.info.low
        self._hold.databases |= {database.dbid for database in self.covered}
        self._note(Phase.BEGIN, BackupInfo(time=now))

    def _tell(self, number: EventId, what: str, *strings: str) -> None:
        self.instance.watch.event(number, f"The {self.kind} backup {what}", *strings)

    def _note(self, phase: Phase, info: BackupInfo, dbid: int = 0) -> tuple[int, bytes]:
        made = record(phase, self.kind, self.backup_type, info, dbid)
        return self.context.journal.note(made), made

    def check(self) -> None:
        """Raise if the backup cannot go on: InstanceDown (-801 and others), InvalidUse (-521)."""
        if self._hold.stopped:
            raise InstanceDown(
                "The instance ended, and the backup with it", jet=Jet.errBackupAbortByServer
            )
        self.context.check()
        if self._over:
            raise out_of_turn("The backup is over")

    # Logs

    def begin_log(self) -> range:
        """Begin a new log; return the generations that belong to the backup, all closed.

        With the lock. Raises LogsMissing (-569) if they do not join on to the backup before.
        """
        context, time = self.context, self.context.now()
        context.log.roll()
        position, _ = self._note(Phase.PREPARE_LOGS, BackupInfo(time=time))
        context.log.flush()
        high = context.log.generation - 1
        self.info = self.info._replace(high=high)
        if not self.kind.has_databases:
            self.info = self.info._replace(mark=position_of(position), time=time)
        self._check_joins()
        names = [self.log_name(generation) for generation in (self.info.low, high)]
        self._tell(EventId.BACKUP_LOG_RANGE, "holds logs " + " to ".join(names), *names)
        return range(self.info.low, high + 1)

    def log_name(self, generation: int) -> str:
        """Return the file name of a closed log."""
        return os.path.basename(self.context.files.archive_path(generation))  # noqa: PTH119

    def _check_joins(self) -> None:
        lowest, wanted = self.instance.logs.range().lowest, self.info.low
        if not self.kind.has_databases:
            wanted = min(_last_saved(database) + 1 for database in self.covered)
        if lowest > wanted:
            raise LogsMissing(
                f"The backup needs logs from {wanted} on, they begin at {lowest}",
                jet=Jet.errMissingFileToBackup,
                file=self.context.settings.folder,
                hint="Make a full backup.",
            )

    # End

    @abstractmethod
    def _check_complete(self) -> None:
        """Raise InvalidUse if something of the backup was not copied."""

    def finish(self) -> None:
        """The backup is kept safely: stamp the headers, then delete logs that nobody needs.

        Raises InvalidUse (-521, -616) if something was not copied, InstanceDown.
        """
        with self.context.lock:
            self.check()
            self._check_complete()
            self._stamp_headers()
            if self.kind.truncates:
                self._truncate()
            self._end()
            self._tell(EventId.BACKUP_FINISHED, "is finished")

    def _stamp_headers(self) -> None:
        notes = [self._note(Phase.UPDATE, self.info, d.dbid)[1] for d in self.covered]
        self.context.log.flush()
        for database, made in zip(self.covered, notes, strict=True):
            stamp(database.header, decode(made))
            database.write_header()

    def _truncate(self) -> None:
        """Delete logs that are saved, and that the next backup, which goes by headers, can miss.

        Headers tell of the one that began last where several were under way.
        """
        logs = self.instance.logs
        low = logs.range().lowest
        saved = min([self.info.high, *map(_last_saved, self.covered)])
        below = logs.limit(min([saved + 1, *self._saved_elsewhere()]), but=self._hold)
        self._note(Phase.TRUNCATE, BackupInfo(low=min(low, below), high=below))
        self.context.log.flush()
        self.truncated = logs.truncate(below, but=self._hold)
        if not self.truncated[0]:
            self._tell(EventId.NO_LOGS_DELETED, "leaves all logs")
            return
        names = [self.log_name(generation) for generation in self.truncated]
        self._tell(EventId.LOGS_DELETED, "deleted logs " + " to ".join(names), *names)

    def _saved_elsewhere(self) -> list[int]:
        """A backup must leave the logs that databases outside of it still need."""
        others = [d for d in self.instance.databases.values() if d not in self.covered]
        return [database.header.backup_full_previous.high for database in others]

    def abort(self, why: BaseException | None = None) -> None:
        """End without success: nothing is stamped, nothing deleted. No error if it is over.

        why: the error that ends it, None if the caller wants no more.
        """
        with self.context.lock:
            if self._over:
                return
            alive = not self.context.closed and self.context.failure is None
            ended_by_server = self._hold.stopped
            if alive and not ended_by_server:
                self._note(Phase.ABORT, BackupInfo())
                self._end()
            self._over = True
            self.context.holds.release(self._hold)
        if ended_by_server:
            self._tell(EventId.BACKUP_ENDED_BY_SERVER, "ended with its instance")
        elif why is not None:
            self._tell(EventId.BACKUP_FAILED, f"failed: {why}", str(why))
        else:
            self._tell(EventId.BACKUP_ABORTED, "was given up")

    def _end(self) -> None:
        self._note(Phase.STOP, BackupInfo())
        self.context.log.flush()
        self._over = True
        self.context.holds.release(self._hold)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.abort(error)


_BEGINS = {
    (BackupType.STREAMING, True): EventId.FULL_BACKUP_BEGINS,
    (BackupType.STREAMING, False): EventId.LOG_BACKUP_BEGINS,
    (BackupType.SNAPSHOT, True): EventId.SNAPSHOT_BACKUP_BEGINS,
    (BackupType.SNAPSHOT, False): EventId.SNAPSHOT_BACKUP_BEGINS,
    (BackupType.SURROGATE, True): EventId.SNAPSHOT_BACKUP_BEGINS,
    (BackupType.SURROGATE, False): EventId.SNAPSHOT_BACKUP_BEGINS,
}


def _check_may_begin(instance: Instance, kind: Kind, chosen: list[OpenDatabase]) -> None:
    if not chosen:
        raise InvalidUse("There is no database to back up", jet=Jet.errInvalidParameter)
    if any(instance.databases.get(database.dbid) is not database for database in chosen):
        raise InvalidUse("The database is not attached here", jet=Jet.errInvalidParameter)
    if kind.has_databases:
        return
    if instance.context.settings.circular:
        raise InvalidUse(
            "With circular logging there are no logs to back up", jet=Jet.errInvalidBackup
        )
    for database in chosen:
        if not database.header.backup_full_previous.high:
            text = f"There is no full backup of {database.path}"
            instance.watch.event(EventId.BACKUP_WITHOUT_FULL, text, database.path)
            raise InvalidUse(
                text,
                jet=Jet.errMissingFullBackup,
                hint="Make a full backup first.",
            )


def _last_saved(database: OpenDatabase) -> int:
    header = database.header
    return max(header.backup_full_previous.high, header.backup_incremental_previous.high)


def out_of_turn(message: str) -> InvalidUse:
    """Return the error for a call that is not due now."""
    return InvalidUse(message, jet=Jet.errInvalidBackupSequence)
