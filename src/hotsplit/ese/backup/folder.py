"""A backup into a folder: one call for those who keep files.

The folder appears under its name only when everything in it is complete and durable; only then
headers are stamped and logs deleted. What a crash leaves in between has another name.
"""

from __future__ import annotations

import os.path
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from hotsplit.errors import TargetExists
from hotsplit.ese.backup.kinds import Kind
from hotsplit.ese.backup.streaming import Backup
from hotsplit.ese.engine.database import OpenDatabase
from hotsplit.ese.engine.instance import Instance
from hotsplit.ese.files.env import Env
from hotsplit.ese.files.workplace import work_folder
from hotsplit.ese.format.basics import BackupInfo
from hotsplit.ese.recovery.recover import free_name
from hotsplit.report import Finding, Reporter


@dataclass
class BackupSet:
    """What was written. databases: (path of the original, name in the folder).

    info: mark, time, lowest and highest log. truncated: first and last log deleted afterwards,
    (0, 0) for none. findings: wrong bits put right in the copies.
    """

    folder: str
    kind: Kind
    databases: list[tuple[str, str]] = field(default_factory=list)
    info: BackupInfo = field(default_factory=BackupInfo)
    size: int = 0
    truncated: tuple[int, int] = (0, 0)
    findings: list[Finding] = field(default_factory=list)


def back_up(
    instance: Instance,
    folder: str,
    kind: Kind = Kind.FULL,
    databases: Sequence[OpenDatabase] | None = None,
    *,
    patch_files: bool = False,
) -> BackupSet:
    """Back databases of a running instance up into a new folder; arguments as in `Backup`.

    patch_files: leave an empty .pat file beside each database, by which older restores find it.
    Raises TargetExists, AccessDenied (-1032) while another backup is written there, PageDamaged
    (-1018), LogDamaged (-612), LogsMissing (-569), InvalidUse, DiskFull; nothing is stamped or
    deleted then, and there is no folder. Where only the end of the backup fails, because the
    instance ended, the folder is there, complete.
    """
    env = instance.context.env
    if env.exists(folder):
        raise TargetExists("The folder for the backup is there already", file=folder)
    made, reporter = BackupSet(folder, kind), Reporter()
    with Backup(instance, kind, databases, reporter) as backup:
        with work_folder(env, folder) as work:
            _write_all(env, backup, work, made, patch_files=patch_files)
            env.rename(work, folder)
        env.sync_dir(os.path.dirname(os.path.abspath(folder)))  # noqa: PTH100, PTH120
        backup.finish()
    made.info, made.truncated, made.findings = backup.info, backup.truncated, reporter.findings
    return made


def _write_all(env: Env, backup: Backup, work: str, made: BackupSet, *, patch_files: bool) -> None:
    names: set[str] = set()
    for reader in backup.databases:
        path = reader.database.path
        name = free_name(os.path.basename(path), names)  # noqa: PTH119
        made.databases.append((path, name))
        made.size += _write(env, f"{work}/{name}", reader.chunks())
        if patch_files:
            _write(env, f"{work}/{name.rpartition('.')[0] or name}.pat", [])
    for generation in backup.prepare_logs():
        target = f"{work}/{backup.log_name(generation)}"
        made.size += _write(env, target, backup.read_log(generation))
    env.sync_dir(work)


def _write(env: Env, path: str, chunks: Iterable[bytes]) -> int:
    """Write a file and make it durable; return its size."""
    file, offset = env.open(path, "create"), 0
    try:
        for chunk in chunks:
            file.pwrite(chunk, offset)
            offset += len(chunk)
        file.sync()
    finally:
        file.close()
    return offset
