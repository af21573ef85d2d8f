"""Whether an instance may attach a database, and go on with a stream of logs.

A database must be clean and whole, of the instance's page size, of a format that it writes; a
stream must have its page size and its log size.

Source: log specification 1.2 (log sizes), 6.0 (states), 8.4 (backup copies); format specification
1.6 (revisions).
"""

from __future__ import annotations

from hotsplit.errors import (
    BackupNeedsRestore,
    DatabaseMismatch,
    DirtyDatabase,
    FileTruncated,
    InvalidUse,
    Jet,
    UnsupportedVersion,
)
from hotsplit.ese.check.owned import LEAST_PAGES, last_owned_page
from hotsplit.ese.engine.settings import DATABASE_REVISION, Settings
from hotsplit.ese.files.logsequence import LogSequence
from hotsplit.ese.format.header import DatabaseHeader, DbState
from hotsplit.ese.recovery.store import Store

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
        raise _other_page_size("database", header.page_size, page_size, path)


def check_whole(store: Store) -> None:
    """Raise FileTruncated (-4001) for a file that ends before the pages of its database do."""
    count = store.page_count
    owned = LEAST_PAGES if count < LEAST_PAGES else last_owned_page(store) or 0
    if owned > count:
        raise FileTruncated(
            f"The database has pages up to {owned}, the file ends with page {count}",
            file=store.path,
        )


def check_stream(sequence: LogSequence, settings: Settings) -> None:
    """Raise DatabaseMismatch (-1213), InvalidUse (-541): a stream keeps the sizes it began with.

    Raises LogDamaged (-501) if the only log has no sound header.
    """
    current = sequence.current
    if not sequence.logs and current is not None and current.error is not None:
        raise current.error
    last = sequence.logs[sequence.highest]
    header = last.header
    if header is None:  # what is wrong with it is for recovery to say
        return
    if header.page_size != settings.page_size:
        raise _other_page_size("stream of logs", header.page_size, settings.page_size, last.path)
    if header.file_size != settings.log_size:
        raise InvalidUse(
            f"The logs have {header.file_size} bytes, those of the instance {settings.log_size}",
            jet=Jet.errLogFileSizeMismatch,
            file=last.path,
            hint="Open the instance with the log size that the stream has.",
        )


def _other_page_size(what: str, found: int, wanted: int, path: str) -> DatabaseMismatch:
    return DatabaseMismatch(
        f"The {what} has pages of {found} bytes, the instance of {wanted}",
        jet=Jet.errPageSizeMismatch,
        file=path,
        hint=f"Open an instance with the page size of the {what}.",
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
