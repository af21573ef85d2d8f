"""One closed log as a stream of bytes, verified.

Source: log specification 8.1 (log files).
"""

from __future__ import annotations

from collections.abc import Iterator

from hotsplit.errors import FileMissing, Jet, LogDamaged, LogsMissing
from hotsplit.ese.files.env import Env
from hotsplit.ese.files.logfile import LogFile
from hotsplit.ese.format.basics import Signature


def read_log(env: Env, path: str, signature: Signature, batch: int) -> Iterator[bytes]:
    """Yield a log in chunks of `batch` bytes, after all of it was verified.

    Raises LogDamaged (-612), ForeignFile (-530), LogsMissing (-569), and what the Env raises.
    """
    try:
        log = LogFile.open(env, path, signature=signature)
    except FileMissing as error:
        raise LogsMissing(
            "A log that the backup needs is not there", jet=Jet.errMissingFileToBackup, file=path
        ) from error
    with log:
        damage = log.damage
    if damage is not None:
        raise LogDamaged(
            f"The log is damaged ({damage.reason})",
            jet=Jet.errLogReadVerifyFailure,
            file=path,
            position=str(damage.position),
            hint="Make a full backup: it does not need this log once the checkpoint has passed it.",
        )
    file = env.open(path, "read")
    try:
        for offset in range(0, file.size(), batch):
            yield file.pread(batch, offset)
    finally:
        file.close()
