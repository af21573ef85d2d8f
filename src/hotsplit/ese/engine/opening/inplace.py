"""Recovery in place: the databases and their stream become what a clean shutdown leaves.

In the order that can be broken off anywhere and begun again: redo in memory and in a scratch file;
the undo, and the end of the stream, to the log; the pages; the headers; the checkpoint. Until the
log is written nothing of the databases changes, and from then on the log has all that is needed.

Source: log specification 6.6, 6.8.
"""

from __future__ import annotations

import contextlib
import os.path
import time
from collections.abc import Iterator

from hotsplit.errors import HotsplitError, InvalidUse, Jet, UnsupportedVersion
from hotsplit.ese.engine.opening.attachable import check_end
from hotsplit.ese.engine.opening.restart import Restart, cut_unfinished_write, take_up
from hotsplit.ese.engine.pages.pagejournal import PageJournal
from hotsplit.ese.engine.settings import Settings
from hotsplit.ese.files.database import DatabaseFile
from hotsplit.ese.files.env import Env
from hotsplit.ese.files.logsequence import LogInfo, LogSequence
from hotsplit.ese.format.header import DbState
from hotsplit.ese.recovery.events import EventId, NoWatch, Watch, report_failure
from hotsplit.ese.recovery.inputs import Inputs
from hotsplit.ese.recovery.options import Options
from hotsplit.ese.recovery.plan import Plan
from hotsplit.ese.recovery.recover import Recovered, prepare

_INTO = "Recover into a new folder instead: --into."


def recover_in_place(
    env: Env,
    sources: list[str],
    log_folders: list[str],
    options: Options = Options(),  # noqa: B008 - a frozen value
    watch: Watch | None = None,
    *,
    base: str | None = None,
    checkpoint: str | None = None,
) -> Recovered:
    """Recover databases where they lie; arguments as in `recover`.

    Databases that are clean already are left alone; the file of one whose creation was broken off
    is removed, with a warning. Raises HotsplitError; if it is raised before the log was continued,
    no file has changed.
    """
    watch = watch or NoWatch()
    watch.event(EventId.RECOVERY_BEGINS, f"Recovery begins: {', '.join(sources)}", *sources)
    begun = time.monotonic()
    try:
        _refuse(options)
        inputs, plan = prepare(env, sources, log_folders, options, base, checkpoint)
        journal = _journal(env, plan)
        if journal is None or (_is_clean(inputs) and not journal.exists):
            result = _recover(env, inputs, plan, options, watch, interrupted=False)
        else:
            with _alone(env, journal.folder):
                _reread(env, inputs, plan)
                interrupted = _take_up(env, plan, journal)
                # What the files say has changed, or may have until nobody else was at them.
                inputs, plan = prepare(env, sources, log_folders, options, base, checkpoint)
                result = _recover(env, inputs, plan, options, watch, interrupted=interrupted)
    except HotsplitError as error:
        report_failure(watch, error)
        raise
    result.seconds = time.monotonic() - begun
    watch.event(EventId.RECOVERY_COMPLETED, "Recovery is complete")
    return result


def _refuse(options: Options) -> None:
    """Raise for what would leave the logs at odds with the databases."""
    named = {
        "--until": options.until is not None,
        "--accept-lost-logs": options.accept_lost_logs,
        "--without-undo": not options.undo,
        "--hard": options.hard,
        "--cut-torn-tail": options.cut_torn_tail,
    }
    for name, given in named.items():
        if given:
            raise InvalidUse(
                f"{name} would leave the logs at odds with the databases in place",
                jet=Jet.errInvalidParameter,
                hint=_INTO,
            )


def _journal(env: Env, plan: Plan) -> PageJournal | None:
    """Return the journal of the stream, None without logs."""
    sequence = plan.sequence
    if sequence is None or not sequence.logs:
        return None
    return PageJournal(env, _folder(sequence.logs[sequence.highest]), sequence.base)


@contextlib.contextmanager
def _alone(env: Env, folder: str) -> Iterator[None]:
    """Keep the folder of the logs. Raises AccessDenied (-1032) if an instance has it."""
    lock = env.lock(folder)
    try:
        yield
    finally:
        lock.release()


def _reread(env: Env, inputs: Inputs, plan: Plan) -> None:
    """Read from the device what a program whose last sync failed may have left in memory alone."""
    assert plan.sequence is not None
    current = plan.sequence.current
    for path in [c.path for c in inputs.databases] + ([] if current is None else [current.path]):
        env.reread(path)


def _is_clean(inputs: Inputs) -> bool:
    return bool(inputs.databases) and not any(c.needs_logs for c in inputs.databases)


def _take_up(env: Env, plan: Plan, journal: PageJournal) -> bool:
    """Go on with a recovery in place that was broken off; tell whether there was one."""
    if not take_up(env, journal):
        return False
    assert plan.sequence is not None
    cut_unfinished_write(env, plan.sequence)
    return True


def _folder(log: LogInfo) -> str:
    return os.path.dirname(log.path) or "."  # noqa: PTH120 - paths are plain strings


def _recover(
    env: Env,
    inputs: Inputs,
    plan: Plan,
    options: Options,
    watch: Watch,
    *,
    interrupted: bool,
) -> Recovered:
    if plan.error is not None:
        raise plan.error
    if not plan.logs or (_is_clean(inputs) and not interrupted):
        return Recovered(_states(env, inputs))
    assert plan.sequence is not None
    settings = _settings(plan.sequence, plan.logs[-1], options)
    _check_writable(env, inputs, plan.sequence)
    check_end(env, plan.sequence)
    work = Restart(env, settings, plan.sequence, inputs, plan, options, watch)
    done = work.run()
    return Recovered(
        _states(env, inputs),
        *(done.first, done.last, done.records, work.done.volume),
        undone=done.undone,
        warnings=work.done.warnings,
    )


def _settings(sequence: LogSequence, last: LogInfo, options: Options) -> Settings:
    """Return the settings of an instance that can continue the stream."""
    assert last.header is not None
    if not last.header.has_segments:
        raise UnsupportedVersion(
            "Logs of format v7 are not continued",
            jet=Jet.errBadLogVersion,
            file=last.path,
            hint=_INTO,
        )
    return Settings(
        _folder(last),
        sequence.base,
        last.header.page_size,
        last.header.file_size,
        cache_size=options.budget,
    )


def _check_writable(env: Env, inputs: Inputs, sequence: LogSequence) -> None:
    """Raise AccessDenied now, not when half of the files are written."""
    paths = [candidate.path for candidate in inputs.databases]
    paths += [sequence.current.path] if sequence.current is not None else []
    for path in paths:
        env.open(path, "write").close()


def _states(env: Env, inputs: Inputs) -> list[tuple[str, str, str]]:
    found = []
    for candidate in inputs.databases:
        if not env.exists(candidate.path):  # its creation was broken off
            continue
        with DatabaseFile.open(env, candidate.path) as file:
            header = file.header
            found.append((candidate.path, DbState(header.state).name, str(header.db_signature)))
    return found
