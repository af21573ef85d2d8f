"""What a database's header says of its backups, as a log record tells it.

The engine stamps a header by the record that it has just logged, replay by the one that it reads.
Source: log specification 8.5, 8.6.
"""

from __future__ import annotations

from enum import IntEnum

from hotsplit.ese.format.basics import BackupInfo
from hotsplit.ese.format.header import DatabaseHeader
from hotsplit.ese.format.logrecord import LogRecord


class Phase(IntEnum):
    """Step of a backup that a Backup2 record tells of."""

    BEGIN = 1
    PREPARE_LOGS = 2
    TRUNCATE = 3
    UPDATE = 4
    ABORT = 5
    STOP = 6


class Scope(IntEnum):
    """Kind of backup in a Backup2 record."""

    FULL = 1
    INCREMENTAL = 2
    COPY = 5
    DIFFERENTIAL = 6


class BackupType(IntEnum):
    """How the files were copied."""

    STREAMING = 0
    SNAPSHOT = 1
    SURROGATE = 3


_SCOPES = {int(scope) for scope in Scope}


def stamp(header: DatabaseHeader, record: LogRecord) -> None:
    """Enter the backup of a Backup2 record, phase Update, unless the header knows a newer one."""
    if record.scope not in _SCOPES:
        return
    scope = Scope(record.scope)
    field = scope.name.lower()
    before: BackupInfo = getattr(header, f"backup_{field}_previous")
    if before.mark > record.mark:
        return
    info = BackupInfo(record.mark, record.time, record.low, record.high)
    # That of another machine's snapshot counts as one.
    type_ = min(record.backup_type, BackupType.SNAPSHOT)
    setattr(header, f"backup_{field}_previous", info)
    setattr(header, f"backup_type_{field}_previous", type_)
    if scope == Scope.FULL:
        header.backup_incremental_previous = header.backup_differential_previous = BackupInfo()
        header.backup_type_incremental_previous = BackupType.STREAMING
        header.backup_type_differential_previous = BackupType.STREAMING
    if scope in (Scope.FULL, Scope.INCREMENTAL) and type_ == BackupType.STREAMING:
        header.backup_snapshot_current = BackupInfo()
