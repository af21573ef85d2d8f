"""Whether a database file is the one that a log speaks of, at the place where the log stands.

Source: log specification 6.2. The two functions answer for one attachment (from the list in a log
header, an AttachDB or a CreateDB record) and the header of the file found for it, if any.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from hotsplit.errors import (
    BackupNeedsRestore,
    DatabaseMismatch,
    Jet,
    LogsMissing,
    RecoveryFailed,
)
from hotsplit.ese.format.basics import NO_SIGNATURE, LogPosition, Signature
from hotsplit.ese.format.header import DatabaseHeader, DbState


class Outcome(StrEnum):
    """What to do with a database."""

    NOW = "attached"
    CREATE = "created"
    DEFER = "deferred"
    DEFER_FUTURE = "already newer"
    DENIED = "access denied"
    UNFINISHED = "creation broken off"


class Decision(NamedTuple):
    """The answer, with the engine's word for the reason of a deferral."""

    outcome: Outcome
    reason: str = ""


class Claim(NamedTuple):
    """What the log says of the database.

    from_record: an AttachDB record, not the list of a log header.
    replaying: the position at which replay stands.
    previous_log: the log stream the database belonged to before (the record's; else `log`).
    dbtime: all changes that lie before `replaying` in the logs have at most this one; 0 if the log
    does not say.
    """

    attach: LogPosition
    consistent: LogPosition
    database: Signature
    log: Signature
    previous_log: Signature
    replaying: LogPosition
    from_record: bool = False
    dbtime: int = 0


_NOW = Decision(Outcome.NOW)
_READABLE = (DbState.DIRTY_SHUTDOWN, DbState.CLEAN_SHUTDOWN, DbState.DIRTY_AND_PATCHED_SHUTDOWN)


def _defer(reason: str) -> Decision:
    return Decision(Outcome.DEFER, reason)


def refuse_state(state: int) -> None:
    """Raise for the states that no recovery can start from."""
    if state == DbState.INCREMENTAL_RESEED_IN_PROGRESS:
        jet, what = Jet.errDatabaseIncompleteIncrementalReseed, "an incremental reseed"
    elif state == DbState.REVERT_IN_PROGRESS:
        jet, what = Jet.errDatabaseIncompleteRevert, "a revert to a snapshot"
    else:
        return
    raise DatabaseMismatch(
        f"The database is in the middle of {what}",
        jet=jet,
        hint="Finish or repeat that operation where it was begun, or use another copy.",
    )


def decide_create(claim: Claim, header: DatabaseHeader | None) -> Decision:
    """Decide at a CreateDB record; `header` is None for a missing or unreadable file."""
    if header is None or header.state not in _READABLE:
        return Decision(Outcome.CREATE)
    if header.log_signature != claim.log:
        return _defer("log signature")
    if header.attach == claim.attach:
        if header.db_signature != claim.database:
            return _defer("database signature")
        if claim.attach <= header.consistent:
            return Decision(Outcome.DEFER_FUTURE, "consistent future")
        return _NOW
    return _defer("attach future" if header.attach > claim.attach else "unlogged update")


def decide_attach(claim: Claim, header: DatabaseHeader) -> Decision:
    """Decide for a list entry or an AttachDB record and a readable header.

    Raises DatabaseMismatch (-1216, -551, -1226, -1935), RecoveryFailed (-1206).
    """
    refuse_state(header.state)
    if header.state == DbState.JUST_CREATED:
        return _defer("header state bad")
    if header.state not in _READABLE:
        raise RecoveryFailed(
            f"The database header has the impossible state {header.state}",
            jet=Jet.errDatabaseCorrupted,
        )
    same = header.db_signature == claim.database
    if header.log_signature != claim.log:
        return _foreign_log(claim, header, same)
    difference = _compare(header.consistent, claim.consistent)
    unchanged = claim.previous_log not in (header.log_signature, NO_SIGNATURE)
    if unchanged or difference == 0 or header.consistent == LogPosition():
        return _same_history(claim, header, same)
    if difference > 0 and (not claim.from_record or header.consistent > claim.replaying):
        return Decision(Outcome.DEFER_FUTURE, "consistent future")
    if same:
        raise _consistent_mismatch(claim, header)
    return _defer("unlogged update")


def _foreign_log(claim: Claim, header: DatabaseHeader, same: bool) -> Decision:
    """The file still carries another log stream: the one it came from, or a foreign one."""
    if header.log_signature != claim.previous_log:
        return _defer("log signature")
    if header.consistent == claim.consistent:
        return _NOW if same else _defer("database signature")
    if same:
        raise _consistent_mismatch(claim, header)
    return _defer("database signature")


def _same_history(claim: Claim, header: DatabaseHeader, same: bool) -> Decision:
    if not same:
        return _defer("database signature")
    order = _compare(header.attach, claim.attach)
    if order == 0:
        return _NOW
    if order > 0:
        return _defer("attach future")
    if claim.from_record:
        return _NOW
    raise DatabaseMismatch(
        f"The database was last attached at {header.attach}, the logs say {claim.attach}",
        hint="The database copy is older than the logs: bring the logs from before the attach.",
    )


def _consistent_mismatch(claim: Claim, header: DatabaseHeader) -> DatabaseMismatch:
    return DatabaseMismatch(
        f"The database was last consistent at {header.consistent}, the logs say {claim.consistent}",
        jet=Jet.errConsistentTimeMismatch,
        hint="Logs between these two points are missing, or the database was changed without logs.",
    )


def _compare(a: LogPosition, b: LogPosition) -> int:
    return (a > b) - (a < b)


def check_range(header: DatabaseHeader, generation: int, path: str, *, hard: bool) -> None:
    """Raise unless replay that stands in `generation` began early enough for the database.

    Raises LogsMissing (-543), BackupNeedsRestore (-544).
    """
    lowest, highest = header.gen_min_required, header.gen_max_required
    patched = header.state == DbState.DIRTY_AND_PATCHED_SHUTDOWN
    if lowest and not patched and lowest < generation:
        raise LogsMissing(
            f"The database needs logs {lowest}-{highest}, replay begins at {generation}",
            file=path,
            hint="The checkpoint is newer than the database copy or logs are missing: recover "
            "without the checkpoint (--ignore-checkpoint) and bring the logs from "
            f"{lowest} on.",
        )
    if not hard and header.backup_full_current.low and not header.backup_full_current.high:
        raise BackupNeedsRestore(
            "The database is a streaming backup copy that was not restored", file=path
        )
