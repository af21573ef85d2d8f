"""Soft recovery of a set of files into a new folder: the source is only read."""

from __future__ import annotations

import os.path
from dataclasses import dataclass, field

from hotsplit.errors import (
    DatabaseMismatch,
    HotsplitError,
    Jet,
    LogSequenceBroken,
    LogsMissing,
    TargetExists,
)
from hotsplit.ese.files.env import Env
from hotsplit.ese.files.logfile import LogFile
from hotsplit.ese.files.logsequence import LogInfo, LogSequence
from hotsplit.ese.format.basics import LogPosition
from hotsplit.ese.format.header import DbState
from hotsplit.ese.recovery.replay import Replay, Target
from hotsplit.ese.recovery.store import WorkStore
from hotsplit.ese.recovery.undo import undo_all

_WORK = ".hotsplit-work"
DEFAULT_BUDGET = 256 << 20


@dataclass
class Recovered:
    """What a recovery did. first, last: generations replayed; undone: operations taken back."""

    databases: list[tuple[str, str, str]] = field(default_factory=list)
    first: int = 0
    last: int = 0
    records: int = 0
    volume: int = 0
    undone: int = 0
    warnings: list[str] = field(default_factory=list)


def recover(
    env: Env, databases: list[str], log_folders: list[str], into: str, *, undo: bool = True
) -> Recovered:
    """Recover copies of `databases` with the logs of one stream into the new folder `into`.

    The folder appears only when everything in it is complete. Raises HotsplitError.
    """
    if env.exists(into):
        raise TargetExists("The folder for the result is there already", file=into)
    sequence = LogSequence.find(env, log_folders)
    work = into.rstrip("/") + _WORK
    env.remove_tree(work)
    env.mkdir(work)
    try:
        targets = [_work_copy(env, path, work) for path in databases]
        try:
            result = _run(env, sequence, targets, undo=undo)
        finally:
            for target in targets:
                target.store.close()
        result.databases = [
            (
                os.path.join(into, os.path.basename(t.store.path)),  # noqa: PTH118, PTH119
                DbState(t.header.state).name,
                str(t.signature),
            )
            for t in targets
        ]
        env.sync_dir(work)
        env.rename(work, into)
        env.sync_dir(os.path.dirname(os.path.abspath(into)))  # noqa: PTH100, PTH120
    except BaseException:
        env.remove_tree(work)
        raise
    return result


def _work_copy(env: Env, path: str, work: str) -> Target:
    copy = os.path.join(work, os.path.basename(path))  # noqa: PTH118, PTH119
    env.copy(path, copy)
    store = WorkStore.open_work(env, copy)
    return Target(store.header.db_signature, store)


def _run(env: Env, sequence: LogSequence, targets: list[Target], *, undo: bool) -> Recovered:
    dirty = [t for t in targets if t.header.state != DbState.CLEAN_SHUTDOWN]
    result = Recovered()
    if not dirty:
        return result
    _refuse_foreign(sequence, dirty)
    start = _start(sequence, dirty)
    info = _log(sequence, start.generation)
    assert info.header is not None
    page_size = dirty[0].store.page_size
    replay = Replay(page_size, sequence.signature, targets, DEFAULT_BUDGET)
    replay.begin(info.header.attachments, start)
    result.first = start.generation
    generation = start.generation
    while True:
        with LogFile.open(env, info.path) as log:
            replay.replay(log, start)
            end = log.end
        result.last = generation
        generation += 1
        following = sequence.logs.get(generation)
        if following is None:
            _refuse_gap(sequence, generation)
            break
        _check_link(info, following)
        info, start = following, LogPosition(generation, 1, 0)
    _check_required(dirty, result.last)
    replay.check_complete(result.last)
    result.records, result.volume = replay.core.records, replay.core.volume
    if undo:
        result.undone = undo_all(replay.pages)
        for dbid in list(replay.by_dbid):
            replay.close_database(dbid, end)
        _refuse_dirty(targets)
    else:
        for dbid, target in replay.by_dbid.items():
            replay.pages.flush(dbid)
            target.store.write_header(target.header)
    return result


def _start(sequence: LogSequence, dirty: list[Target]) -> LogPosition:
    """Begin at the lowest log that a database requires, else at the oldest one."""
    required = [t.header.gen_min_required for t in dirty if t.header.gen_min_required]
    generation = min(required, default=sequence.lowest)
    return LogPosition(generation, 1, 0)


def _log(sequence: LogSequence, generation: int) -> LogInfo:
    info = sequence.logs.get(generation)
    if info is None:
        raise LogsMissing(
            f"Log {sequence.name_of(generation)} is required and missing", jet=Jet.errMissingLogFile
        )
    if info.error is not None:
        raise info.error
    return info


def _refuse_gap(sequence: LogSequence, generation: int) -> None:
    if sequence.highest > generation:
        raise LogSequenceBroken(f"Log {sequence.name_of(generation)} is missing")


def _check_link(before: LogInfo, after: LogInfo) -> None:
    if after.error is not None:
        raise after.error
    assert before.header is not None
    assert after.header is not None
    if after.header.previous_created != before.header.created:
        raise LogSequenceBroken(
            "The log does not follow the one before it", file=after.path, position="header"
        )


def _refuse_foreign(sequence: LogSequence, dirty: list[Target]) -> None:
    for target in dirty:
        if target.header.log_signature != sequence.signature:
            raise DatabaseMismatch(
                f"The database belongs to another log stream than {sequence.base}",
                file=target.store.path,
                hint="Recover it with the logs of its own stream; `hotsplit inspect` shows both.",
            )


def _refuse_dirty(targets: list[Target]) -> None:
    """Raise for a database that the logs never attached: it must not pass for recovered."""
    for target in targets:
        if target.header.state != DbState.CLEAN_SHUTDOWN:
            raise DatabaseMismatch("The logs do not speak of this database", file=target.store.path)


def _check_required(dirty: list[Target], last: int) -> None:
    for target in dirty:
        header = target.header
        if header.gen_max_required > last:
            error: HotsplitError = LogsMissing(
                f"The database needs logs up to {header.gen_max_required}, they end at {last}"
            )
        elif header.gen_max_committed > last:
            error = LogsMissing(
                f"Logs up to {header.gen_max_committed} hold committed work, they end at {last}",
                jet=Jet.errCommittedLogFilesMissing,
            )
        else:
            continue
        raise error.at(file=target.store.path)
