"""Whether an instance may attach a database, and go on with a stream of logs.

A database must be clean and whole, of the instance's page size, of a format that it writes; a
stream must have its page size and its log size.

Source: log specification 1.2 (log sizes), 6.0 (states), 8.4 (backup copies); format specification
1.6 (revisions).
"""

from __future__ import annotations

import os.path

from hotsplit.errors import (
    BackupNeedsRestore,
    DatabaseMismatch,
    DirtyDatabase,
    FileTruncated,
    ForeignFile,
    InvalidUse,
    Jet,
    LogSequenceBroken,
    UnsupportedVersion,
)
from hotsplit.ese.check.owned import LEAST_PAGES, last_owned_page
from hotsplit.ese.engine.settings import DATABASE_REVISION, Settings
from hotsplit.ese.files.env import Env
from hotsplit.ese.files.logsequence import LogSequence, same_content
from hotsplit.ese.format.basics import LogPosition, Signature
from hotsplit.ese.format.header import DatabaseHeader, DbState
from hotsplit.ese.recovery.store import Store

_NEWEST_REVISION = 300
AHEAD = (
    "Bring the newest logs back, or take all logs and the checkpoint away: the database needs none"
    " of them, and a new stream begins."
)


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


def check_not_ahead(
    header: DatabaseHeader, path: str, signature: Signature, end: LogPosition
) -> None:
    """Raise DatabaseMismatch (-539) for a database that was closed behind the end of its stream.

    What is logged for it now would never be replayed: it counts as contained.
    """
    if header.log_signature == signature and header.consistent > end:
        raise DatabaseMismatch(
            f"The database was closed at {header.consistent}, the logs end at {end}",
            jet=Jet.errDatabaseLogSetMismatch,
            file=path,
            hint=AHEAD,
        )


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


def check_end(env: Env, sequence: LogSequence) -> None:
    """Raise unless the current log, if there is one, is the last of its stream.

    Another one would get the name of the log before the next, which is another log's. Raises
    LogDamaged (-501), ForeignFile (-530), LogSequenceBroken (-515), LogsMissing (-528) if there is
    none and the checkpoint says that there was.
    """
    newest = sequence.logs.get(sequence.highest)
    if newest is None or newest.is_current:
        return
    folder = os.path.dirname(newest.path)  # noqa: PTH120
    for log in (sequence.current, *sequence.duplicates, *sequence.foreign):
        if log is None or not log.is_current or os.path.dirname(log.path) != folder:  # noqa: PTH120
            continue
        if log in sequence.foreign:
            raise ForeignFile("The current log is of another stream than the others", file=log.path)
        if log.error is not None:
            raise log.error
        if log.generation != newest.generation or not same_content(env, log.path, newest.path):
            raise LogSequenceBroken(
                f"The current log is log {log.generation}, there are logs up to"
                f" {newest.generation}: these are files of two times",
                file=log.path,
                hint="Take the logs away that do not belong to the databases and the current log,"
                " or bring the current log that does.",
            )
    found = sequence.read_checkpoint(env) if sequence.current is None else None
    if found is not None and found.checkpoint.position.generation > sequence.highest:
        sequence.replay_start(found.checkpoint)


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
