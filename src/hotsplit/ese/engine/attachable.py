"""Whether an instance may attach a database: clean, of its page size, of a format that it writes.

Source: log specification 6.0 (states), 8.4 (backup copies); format specification 1.6 (revisions).
"""

from __future__ import annotations

from hotsplit.errors import (
    BackupNeedsRestore,
    DatabaseMismatch,
    DirtyDatabase,
    Jet,
    UnsupportedVersion,
)
from hotsplit.ese.engine.settings import DATABASE_REVISION
from hotsplit.ese.format.header import DatabaseHeader, DbState

_NEWEST_REVISION = 300


def check_attachable(header: DatabaseHeader, path: str, page_size: int) -> None:
    """Raise DirtyDatabase (-550), BackupNeedsRestore (-544), DatabaseMismatch (-1213).

    Raises UnsupportedVersion for databases of older (-1209) and newer engines (-620).
    """
    _check_revision(header, path)
    if header.backup_full_current.low and header.state != DbState.CLEAN_SHUTDOWN:
        raise BackupNeedsRestore(
            "The database is a streaming backup copy that was not restored yet", file=path
        )
    if header.state != DbState.CLEAN_SHUTDOWN:
        raise DirtyDatabase("The database was not shut down cleanly", file=path)
    if header.page_size != page_size:
        raise DatabaseMismatch(
            f"The database has pages of {header.page_size} bytes, the instance of {page_size}",
            jet=Jet.errPageSizeMismatch,
            file=path,
            hint="Open an instance with the page size of the database.",
        )


def _check_revision(header: DatabaseHeader, path: str) -> None:
    revision = header.update_major
    if DATABASE_REVISION <= revision <= _NEWEST_REVISION:
        return
    newer = revision > _NEWEST_REVISION
    raise UnsupportedVersion(
        f"The database is of format revision {revision}; {DATABASE_REVISION} to {_NEWEST_REVISION}"
        " can be changed here",
        jet=Jet.errEngineFormatVersionNotYetImplementedTooHigh
        if newer
        else Jet.errInvalidDatabaseVersion,
        file=path,
        hint="It can be read, checked, recovered and exported, but not changed.",
    )
