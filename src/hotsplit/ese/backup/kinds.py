"""Kinds of backup, and the records that tell the log about one.

Source: log specification 8.5 (kinds), 8.6 (records).
"""

from __future__ import annotations

from enum import StrEnum

from hotsplit.ese.format.basics import BackupInfo
from hotsplit.ese.format.logrecord import encode
from hotsplit.ese.format.recordtable import RecordType
from hotsplit.ese.recovery.backupstamp import BackupType, Phase, Scope


class Kind(StrEnum):
    """What a backup holds, and whether logs go afterwards.

    Full and copy hold databases and the logs that these need. Incremental and differential hold
    the logs alone. Logs that nobody needs any more go after a full or an incremental backup.
    """

    FULL = "full"
    COPY = "copy"
    INCREMENTAL = "incremental"
    DIFFERENTIAL = "differential"

    @property
    def has_databases(self) -> bool:
        """Databases are copied, not only logs."""
        return self in (Kind.FULL, Kind.COPY)

    @property
    def truncates(self) -> bool:
        """Old logs are deleted at the end."""
        return self in (Kind.FULL, Kind.INCREMENTAL)

    @property
    def scope(self) -> Scope:
        """The number that the header stamp goes by."""
        return Scope[self.name]


def record(
    phase: Phase,
    kind: Kind,
    type_: BackupType,
    info: BackupInfo,
    dbid: int = 0,
) -> bytes:
    """Return the log record of one step. Only the stamp of a header names the exact kind."""
    scope = kind.scope
    if phase != Phase.UPDATE:
        scope = Scope.FULL if kind.has_databases else Scope.INCREMENTAL
    return encode(
        RecordType.BACKUP2, phase=phase, backup_type=type_, scope=scope, dbid=dbid,
        mark=info.mark, time=info.time, low=info.low, high=info.high,
    )  # fmt: skip
