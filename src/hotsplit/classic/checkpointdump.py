"""``eseutil /mk``: a checkpoint file. Source: log specification 10.3."""

from __future__ import annotations

from collections.abc import Iterator

from hotsplit.classic.texts import attachment_lines, parameter_lines
from hotsplit.ese.format.checkpoint import Checkpoint

_LEAD = " " * 8
_SETTINGS = "LogOff VerOn RW"
"""What the original says of every database: it shows its own file table, not the file."""


def checkpoint_lines(block: Checkpoint) -> Iterator[str]:
    """Yield the dump. Raises CheckpointUnusable when the list of databases makes no sense."""
    yield f"      LastFullBackupCheckpoint: {block.backup_position}"
    yield f"      Checkpoint: {block.position}"
    yield f"      DbConsistency: {block.consistency}"
    yield f"      FullBackup: {block.full_backup}"
    yield f"      FullBackup time: {block.full_backup_time}"
    yield f"      IncBackup: {block.incremental_backup}"
    yield f"      IncBackup time: {block.incremental_backup_time}"
    yield f"      Signature: {block.signature}"
    yield from parameter_lines(block.parameters)
    for entry in block.attachments if block.has_attachments else ():
        yield f"{entry.dbid:7} {entry.path} {_SETTINGS}"
        yield from attachment_lines(entry, _LEAD)
