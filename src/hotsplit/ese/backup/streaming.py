"""Streaming backup: the protocol between an instance and whoever keeps the bytes.

    with Backup.begin(instance, Kind.FULL) as backup:
        for reader in backup.databases:
            keep(reader.database.path, reader.chunks())
        for generation in backup.prepare_logs():
            keep(backup.log_name(generation), backup.read_log(generation))
        ...  # make all that durable
        backup.finish()

Nothing stops meanwhile. Several backups may be under way: each holds the logs that it will need.
Only `finish` stamps headers and deletes logs; a backup that ends otherwise leaves no trace but
records in the log that replay passes over.

Source: log specification 8.1, 8.5, 8.6.
"""

from __future__ import annotations

import os.path
from collections.abc import Iterator, Sequence
from enum import StrEnum
from types import TracebackType
from typing import Self

from hotsplit.errors import InstanceDown, InvalidUse, Jet, LogsMissing
from hotsplit.ese.backup.databasereader import BATCH, DatabaseReader
from hotsplit.ese.backup.kinds import Kind, record
from hotsplit.ese.backup.logreader import read_log
from hotsplit.ese.engine.database import OpenDatabase
from hotsplit.ese.engine.instance import Instance
from hotsplit.ese.format.basics import BackupInfo
from hotsplit.ese.format.logrecord import decode
from hotsplit.ese.recovery.backupstamp import Phase, stamp
from hotsplit.ese.recovery.pages import position_of
from hotsplit.report import Reporter


class _State(StrEnum):
    DATABASES = "databases are being read"
    LOGS = "logs are being read"
    OVER = "the backup is over"


class Backup:
    """One backup under way. `databases`: readers, none for a backup of logs alone.

    info: mark, time and logs of the backup, as they will stand in headers. truncated: first and
    last generation that `finish` deleted. Corrected pages are told to `reporter`.
    """

    def __init__(self, instance: Instance, kind: Kind, reporter: Reporter) -> None:
        self._instance, self._context, self.kind = instance, instance.context, kind
        self._reporter = reporter
        self._state = _State.DATABASES
        self._hold = self._context.holds.add("backup", 0)
        self._covered: list[OpenDatabase] = []
        self._unread: set[int] = set()
        self.databases: list[DatabaseReader] = []
        self.info = BackupInfo()
        self.truncated = (0, 0)

    @classmethod
    def begin(
        cls,
        instance: Instance,
        kind: Kind = Kind.FULL,
        databases: Sequence[OpenDatabase] | None = None,
        reporter: Reporter | None = None,
    ) -> Self:
        """Begin a backup of databases, all that are attached if None.

        Logs alone are always those of all databases. Raises InvalidUse: -526 for a backup of logs
        where these are deleted by circular logging, -560 without a full backup before it, -1003
        for no database; InstanceDown.
        """
        with instance.context.lock:
            instance.context.check()
            attached = list(instance.databases.values())
            chosen = attached if databases is None or not kind.has_databases else list(databases)
            _check_may_begin(instance, kind, chosen)
            backup = cls(instance, kind, reporter or Reporter())
            try:
                backup._begin(chosen)
            except BaseException:
                instance.context.holds.release(backup._hold)
                raise
            return backup

    def _begin(self, chosen: list[OpenDatabase]) -> None:
        context, logs = self._context, self._instance.logs.range()
        self._covered = chosen
        low = logs.checkpoint if self.kind.has_databases else logs.lowest
        required = [d.header.gen_min_required for d in chosen]
        self.info = BackupInfo(position_of(context.log.end), context.now(), min([low, *required]))
        self._hold.generation = self.info.low
        context.journal.note(record(Phase.BEGIN, self.kind))
        self._hold.databases |= {database.dbid for database in chosen}
        if self.kind.has_databases:
            self.databases = [DatabaseReader(d, self.info, self._reporter) for d in chosen]

    # Logs

    def prepare_logs(self) -> range:
        """Begin a new log; return the generations that belong to the backup, all closed.

        Raises InvalidUse (-521) unless all databases were read, LogsMissing (-569) if the logs do
        not join on to the backup before.
        """
        with self._context.lock:
            self._check(_State.DATABASES)
            if not all(reader.complete for reader in self.databases):
                raise _out_of_turn("Not all databases were read to the end")
            context = self._context
            time = context.now()
            context.log.roll()
            info = self.info._replace(time=time)
            position = context.journal.note(record(Phase.PREPARE_LOGS, self.kind, info))
            context.log.flush()
            high = context.log.generation - 1
            if self.kind.has_databases:
                self.info = self.info._replace(high=high)
            else:
                self.info = BackupInfo(position_of(position), time, self.info.low, high)
            self._check_joins()
            self._state = _State.LOGS
            generations = range(self.info.low, high + 1)
            self._unread = set(generations)
            return generations

    def _check_joins(self) -> None:
        lowest = self._instance.logs.range().lowest
        wanted = self.info.low
        if not self.kind.has_databases:
            wanted = min(_last_saved(database) + 1 for database in self._covered)
        if lowest > wanted:
            raise LogsMissing(
                f"The backup needs logs from {wanted} on, they begin at {lowest}",
                jet=Jet.errMissingFileToBackup,
                file=self._context.settings.folder,
                hint="Make a full backup.",
            )

    def log_name(self, generation: int) -> str:
        """Return the file name of a closed log."""
        return os.path.basename(self._context.files.archive_path(generation))  # noqa: PTH119

    def read_log(self, generation: int) -> Iterator[bytes]:
        """Yield a log. Raises what `logreader.read_log` raises, and InvalidUse (-521)."""
        self._check(_State.LOGS)
        files = self._context.files
        yield from read_log(
            self._context.env, files.archive_path(generation), files.signature, BATCH
        )
        self._unread.discard(generation)

    # End

    def finish(self) -> None:
        """The backup is kept safely: stamp the headers, then delete logs that nobody needs.

        Raises InvalidUse (-616) if a log was not read, (-801) if the instance has ended.
        """
        with self._context.lock:
            self._check(_State.LOGS)
            if self._unread:
                raise InvalidUse(
                    f"Log {min(self._unread)} was not read", jet=Jet.errLogFileNotCopied
                )
            self._stamp_headers()
            if self.kind.truncates:
                self._truncate()
            self._end()

    def _stamp_headers(self) -> None:
        context = self._context
        records = [record(Phase.UPDATE, self.kind, self.info, d.dbid) for d in self._covered]
        for made in records:
            context.journal.note(made)
        context.log.flush()
        for database, made in zip(self._covered, records, strict=True):
            stamp(database.header, decode(made))
            database.write_header()

    def _truncate(self) -> None:
        logs = self._instance.logs
        below = min([self.info.high + 1, *self._saved_elsewhere()])
        low = logs.range().lowest
        info = BackupInfo(low=low, high=max(low, below))
        self._context.journal.note(record(Phase.TRUNCATE, self.kind, info))
        self._context.log.flush()
        self.truncated = logs.truncate(below, but=self._hold)

    def _saved_elsewhere(self) -> list[int]:
        """A full backup must leave the logs that databases outside of it still need."""
        others = [d for d in self._instance.databases.values() if d not in self._covered]
        return [database.header.backup_full_previous.high for database in others]

    def abort(self) -> None:
        """End without success: nothing is stamped, nothing deleted."""
        with self._context.lock:
            if self._state == _State.OVER:
                return
            alive = not self._context.closed and self._context.failure is None
            if alive and not self._hold.stopped:
                self._context.journal.note(record(Phase.ABORT, self.kind))
                self._end()
            self._state = _State.OVER
            self._context.holds.release(self._hold)

    def _end(self) -> None:
        self._context.journal.note(record(Phase.STOP, self.kind))
        self._context.log.flush()
        self._state = _State.OVER
        self._context.holds.release(self._hold)

    def _check(self, wanted: _State) -> None:
        if self._hold.stopped:
            raise InstanceDown(
                "The instance ended, and the backup with it", jet=Jet.errBackupAbortByServer
            )
        self._context.check()
        if self._state != wanted:
            raise _out_of_turn(f"Not now: {self._state}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.abort()


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
            raise InvalidUse(
                f"There is no full backup of {database.path}",
                jet=Jet.errMissingFullBackup,
                hint="Make a full backup first.",
            )


def _last_saved(database: OpenDatabase) -> int:
    header = database.header
    return max(header.backup_full_previous.high, header.backup_incremental_previous.high)


def _out_of_turn(message: str) -> InvalidUse:
    return InvalidUse(message, jet=Jet.errInvalidBackupSequence)
