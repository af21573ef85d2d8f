"""Surrogate backup: another machine backs up its copy of the databases, this instance takes note.

    with SurrogateBackup(instance, Kind.FULL, first=40, last=52) as backup:
        ...  # the copy, which has replayed the logs of this stream up to 52, is backed up
        backup.finish()

The logs of the range stay meanwhile. `finish` stamps the headers as after a snapshot backup, and
with a full or an incremental one deletes the logs that nobody needs any more.

Source: log specification 8.12, 8.5.
"""

from __future__ import annotations

from collections.abc import Sequence

from hotsplit.errors import InvalidUse, Jet
from hotsplit.ese.backup.base import RunningBackup
from hotsplit.ese.backup.kinds import Kind
from hotsplit.ese.engine.database import OpenDatabase
from hotsplit.ese.engine.instance import Instance
from hotsplit.ese.format.basics import BackupInfo
from hotsplit.ese.recovery.backupstamp import BackupType, Phase
from hotsplit.ese.recovery.pages import position_of


class SurrogateBackup(RunningBackup):
    """One backup of a copy. first, last: generations of the logs that the copy's backup holds.

    Raises as `RunningBackup`, and InvalidUse: -526 where circular logging deletes logs, -1003 for
    generations that the stream has not reached.
    """

    backup_type = BackupType.SURROGATE

    def __init__(
        self,
        instance: Instance,
        kind: Kind = Kind.FULL,
        databases: Sequence[OpenDatabase] | None = None,
        *,
        first: int,
        last: int,
    ) -> None:
        self._first, self._last = first, last
        if instance.context.settings.circular:
            raise InvalidUse(
                "With circular logging there are no logs to back up", jet=Jet.errInvalidBackup
            )
        super().__init__(instance, kind, databases)

    def _begin(self) -> None:
        context, now = self.context, self.context.now()
        if not 1 <= self._first <= self._last <= context.log.generation:
            raise InvalidUse(
                f"No logs of the stream: {self._first} to {self._last}",
                jet=Jet.errInvalidParameter,
            )
        self.info = BackupInfo(position_of(context.log.end), now, self._first, self._last)
        self._hold.generation = self._first
        self._hold.databases |= {database.dbid for database in self.covered}
        self._note(Phase.BEGIN, BackupInfo(time=now))

    def _check_complete(self) -> None:
        """What was copied is for the other machine to know."""
