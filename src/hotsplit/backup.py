"""Backup and restore of databases in use, in one import: see `hotsplit.ese.backup`.

from hotsplit import backup

made = backup.back_up(instance, "/backup/monday")
with backup.restore(["/backup/monday"], engine.Settings("/aside")) as aside:
    ...
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from hotsplit.ese.backup import folder as writing
from hotsplit.ese.backup import restore as restoring
from hotsplit.ese.backup.folder import BackupSet
from hotsplit.ese.backup.kinds import Kind
from hotsplit.ese.backup.snapshot import SnapshotBackup
from hotsplit.ese.backup.streaming import Backup
from hotsplit.ese.backup.surrogate import SurrogateBackup
from hotsplit.ese.engine.database import OpenDatabase
from hotsplit.ese.engine.instance import Instance
from hotsplit.ese.engine.settings import Settings
from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.format.basics import LogPosition
from hotsplit.ese.recovery.events import Watch

__all__ = [
    "Backup", "BackupSet", "Kind", "SnapshotBackup", "SurrogateBackup", "back_up", "restore",
]  # fmt: skip


def back_up(
    instance: Instance,
    folder: str | os.PathLike[str],
    kind: Kind = Kind.FULL,
    databases: Sequence[OpenDatabase] | None = None,
    *,
    patch_files: bool = False,
) -> BackupSet:
    """Back databases of a running instance up into a new folder.

    See `hotsplit.ese.backup.folder.back_up`.
    """
    target = os.fspath(folder)
    return writing.back_up(instance, target, kind, databases, patch_files=patch_files)


def restore(
    sets: Iterable[str | os.PathLike[str]],
    settings: Settings,
    *,
    databases: Sequence[str] = (),
    until: LogPosition | None = None,
    forward: Instance | None = None,
    watch: Watch | None = None,
) -> Instance:
    """Restore databases from folders of backup sets; return the open instance they live in.

    See `hotsplit.ese.backup.restore.restore`.
    """
    folders = [os.fspath(folder) for folder in sets]
    return restoring.restore(
        OsEnv(), folders, settings, databases=databases, until=until, forward=forward, watch=watch
    )
