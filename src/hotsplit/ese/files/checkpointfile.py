"""The checkpoint file: read the better of its two copies, write it safely. Source: log spec. 5."""

from __future__ import annotations

from dataclasses import dataclass

from hotsplit.errors import CheckpointUnusable, Jet
from hotsplit.ese.files.env import Env
from hotsplit.ese.files.opened import located
from hotsplit.ese.format.checkpoint import BLOCK_SIZE, FILE_SIZE, Checkpoint
from hotsplit.report import Finding, Severity


@dataclass(frozen=True, slots=True)
class CheckpointFile:
    """A checkpoint file that was read. copy: ``primary`` or ``shadow``, the one that is used."""

    path: str
    checkpoint: Checkpoint
    copy: str
    findings: tuple[Finding, ...] = ()

    @classmethod
    def read(cls, env: Env, path: str) -> CheckpointFile:
        """Read and check; the primary copy is preferred.

        Raises CheckpointUnusable (-533 when both copies are bad, -1812 for another kind of file)
        and what the Env raises.
        """
        file = env.open(path, "read")
        try:
            data = file.pread(FILE_SIZE, 0)
        finally:
            file.close()
        blocks: list[Checkpoint | CheckpointUnusable] = []
        for offset in (0, BLOCK_SIZE):
            try:
                blocks.append(Checkpoint.unpack(data[offset : offset + BLOCK_SIZE]))
            except CheckpointUnusable as error:
                blocks.append(error)
        primary, shadow = blocks
        with located(path):
            if isinstance(primary, Checkpoint):
                same = isinstance(shadow, Checkpoint) and shadow.raw == primary.raw
                found = () if same else (_bad_copy(path, BLOCK_SIZE, shadow),)
                return cls(path, primary, "primary", found)
            if isinstance(shadow, Checkpoint):
                return cls(path, shadow, "shadow", (_bad_copy(path, 0, primary),))
            if primary.jet == Jet.errFileInvalidType:
                raise primary
            raise CheckpointUnusable("Both copies of the checkpoint are bad")


def write_checkpoint(env: Env, path: str, checkpoint: Checkpoint) -> None:
    """Write both copies, the primary first and each made durable, so that one is always good.

    The file is made if it is not there. Raises what the Env raises.
    """
    block = checkpoint.sealed()
    fresh = not env.exists(path)
    file = env.open(path, "create" if fresh else "write")
    try:
        for offset in (0, BLOCK_SIZE):
            file.pwrite(block, offset)
            file.sync()
        if file.size() != FILE_SIZE:
            file.truncate(FILE_SIZE)
            file.sync()
    finally:
        file.close()
    if fresh:
        env.sync_dir(path.rpartition("/")[0])


def _bad_copy(path: str, offset: int, copy: Checkpoint | CheckpointUnusable) -> Finding:
    known = isinstance(copy, CheckpointUnusable)
    return Finding(
        "checkpoint-copy",
        Severity.WARNING,
        copy.message if isinstance(copy, CheckpointUnusable) else "The two copies differ",
        file=path,
        position=f"offset {offset}",
        jet=Jet.errCheckpointCorrupt if known else None,
    )
