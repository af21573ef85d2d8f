"""Snapshot backup: the files are copied by others, in one instant, while nothing changes.

    with SnapshotBackup(instance, Kind.FULL) as backup:
        with backup.freeze() as freeze:
            ...  # split the mirror, take the snapshot
        ...  # mount it, verify it: see `hotsplit assess` and `hotsplit verify`
        backup.finish()

The copy is recovered like any crashed instance; nothing of it needs hard recovery. Only `finish`
stamps the headers and deletes logs.

Source: log specification 8.11.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from hotsplit.ese.backup.base import RunningBackup, out_of_turn
from hotsplit.ese.engine.freeze import DEADLINE, Freeze
from hotsplit.ese.recovery.backupstamp import BackupType


class SnapshotBackup(RunningBackup):
    """One snapshot backup. Logs up to `info.high` are complete in the copy."""

    backup_type = BackupType.SNAPSHOT
    _copied = False

    @contextlib.contextmanager
    def freeze(self, deadline: float = DEADLINE) -> Iterator[Freeze]:
        """Begin a new log and freeze the instance for the copy.

        Raises what `Freeze` raises: FreezeExpired (-2402) if the copy is not of one instant.
        """
        with self.context.lock:
            self.check()
            if self._copied:
                raise out_of_turn("The snapshot was taken before")
            self.begin_log()
        with self.instance.freeze(deadline) as freeze:
            yield freeze
        self._copied = True

    def _check_complete(self) -> None:
        if not self._copied:
            raise out_of_turn("No snapshot was taken")
