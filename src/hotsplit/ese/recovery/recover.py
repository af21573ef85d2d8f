"""Recovery of a set of files into a new folder: the source is only read."""

from __future__ import annotations

import ntpath
import os.path
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from hotsplit.errors import AccessDenied, DiskFull, HotsplitError, IoFailed, TargetExists
from hotsplit.ese.files.env import Env
from hotsplit.ese.files.workplace import work_folder
from hotsplit.ese.format.basics import LogTime
from hotsplit.ese.format.header import DatabaseHeader, DbState
from hotsplit.ese.recovery.databases import Setting, Target
from hotsplit.ese.recovery.events import EventId, NoWatch, Watch, report_failure
from hotsplit.ese.recovery.hard import complete_header
from hotsplit.ese.recovery.inputs import Inputs, find_inputs, nothing_found
from hotsplit.ese.recovery.options import Options
from hotsplit.ese.recovery.plan import Plan, make_plan
from hotsplit.ese.recovery.run import Done, run
from hotsplit.ese.recovery.store import Store, WorkStore
from hotsplit.ese.recovery.streams import copy_stream, note_streams
from hotsplit.report import Finding


@dataclass
class Recovered:
    """What a recovery did. databases: (path, state, signature) of each result.

    first, last: generations replayed, 0 for none; volume: bytes of records; seconds: of it all;
    undone: operations taken back.
    """

    databases: list[tuple[str, str, str]] = field(default_factory=list)
    first: int = 0
    last: int = 0
    records: int = 0
    volume: int = 0
    seconds: float = 0.0
    undone: int = 0
    warnings: list[Finding] = field(default_factory=list)


def recover(
    env: Env,
    sources: list[str],
    log_folders: list[str],
    into: str,
    options: Options = Options(),  # noqa: B008 - a frozen value
    watch: Watch | None = None,
    *,
    base: str | None = None,
    checkpoint: str | None = None,
) -> Recovered:
    """Recover copies of the databases in `sources` with the logs of one stream into a new folder.

    sources: database files, or folders that hold them. log_folders: where the logs are; the
    sources' folders if empty. into: must not exist; it appears only when everything in it is
    complete. base: base name of the logs (E00), told by the databases if None. checkpoint: the
    checkpoint file if it is not beside the logs. Raises HotsplitError.
    """
    if env.exists(into):
        raise TargetExists("The folder for the result is there already", file=into)
    watch = watch or NoWatch()
    watch.event(EventId.RECOVERY_BEGINS, f"Recovery begins: {', '.join(sources)}", *sources)
    try:
        inputs, plan = prepare(env, sources, log_folders, options, base, checkpoint)
        if inputs.explicit:
            options = replace(options, ignore_missing=True)
        if plan.error is not None:
            raise plan.error
        result = _into(env, inputs, plan, into, options, watch)
    except HotsplitError as error:
        report_failure(watch, error)
        raise
    watch.event(EventId.RECOVERY_COMPLETED, "Recovery is complete")
    return result


def prepare(
    env: Env,
    sources: list[str],
    log_folders: list[str],
    options: Options,
    base: str | None = None,
    checkpoint: str | None = None,
) -> tuple[Inputs, Plan]:
    """Find what there is and plan its recovery. Raises FileMissing when there is nothing."""
    relocated = [path for path in options.paths.values() if env.exists(path)]
    inputs = find_inputs(env, [*sources, *relocated], log_folders, base)
    if not inputs.databases and inputs.sequence is None:
        raise nothing_found(inputs, sources)
    if checkpoint is not None and inputs.sequence is not None:
        inputs.sequence.checkpoint_path = checkpoint
    plan = make_plan(env, inputs, options)
    note_streams(env, inputs, plan)
    return inputs, plan


def _into(
    env: Env, inputs: Inputs, plan: Plan, into: str, options: Options, watch: Watch
) -> Recovered:
    begun = time.monotonic()
    with work_folder(env, into) as work:
        targets, done = _recover_copies(env, inputs, plan, work, options, watch)
        env.sync_dir(work)
        env.rename(work, into)
    env.sync_dir(os.path.dirname(os.path.abspath(into)))  # noqa: PTH100, PTH120
    result = summary(targets, done, into)
    result.warnings = [replace(w, file=_moved(w.file, work, into)) for w in result.warnings]
    result.seconds = time.monotonic() - begun
    return result


def _moved(path: str, work: str, into: str) -> str:
    """Return where a file of the result lies at the end."""
    return into.rstrip("/") + path.removeprefix(work) if path.startswith(f"{work}/") else path


def _recover_copies(
    env: Env, inputs: Inputs, plan: Plan, work: str, options: Options, watch: Watch
) -> tuple[list[Target], Done]:
    names: set[str] = set()
    targets: list[Target] = []
    sources: dict[str, str] = {}  # by copy

    def create(path: str, header: DatabaseHeader) -> Store:
        lies_now = options.paths.get(path.lower(), ntpath.basename(path))
        name = free_name(os.path.basename(lies_now), names)  # noqa: PTH119
        watch.event(EventId.DATABASE_CREATED, f"The logs create {path}", path)
        return WorkStore.create(env, f"{work}/{name}", header)

    def discard(store: Store) -> None:
        store.close()
        env.remove(store.path)
        names.discard(os.path.basename(store.path).casefold())  # noqa: PTH119

    setting = setting_for(env, inputs, plan, options, None if inputs.explicit else create)
    setting = replace(setting, discard=discard)
    try:
        for candidate in inputs.databases:
            copy = f"{work}/{free_name(os.path.basename(candidate.path), names)}"  # noqa: PTH119
            sources[copy] = candidate.path
            env.copy(candidate.path, copy)
            copy_stream(env, candidate, copy)
            store = WorkStore.open_work(env, copy)
            if candidate.trailer is not None:
                complete_header(store, candidate.trailer)
            targets.append(Target(store.header.db_signature, store))
        done = run(env, plan, targets, options, setting, watch)
        for path in done.left_out:
            env.remove(path)
        for target in targets:
            _settle(target.store)
        return targets, done
    except HotsplitError as error:
        if not isinstance(error, AccessDenied | DiskFull | IoFailed):  # those are of the copy
            error.file = sources.get(error.file, error.file)
        raise
    finally:
        for target in targets:
            target.store.close()


def _settle(store: Store) -> None:
    """Make a result durable that needed no replay, and both copies of its header good."""
    if isinstance(store, WorkStore) and not store.choice.copies_equal:
        store.write_header(store.header)
    store.sync()


def setting_for(
    env: Env,
    inputs: Inputs,
    plan: Plan,
    options: Options,
    create: Callable[[str, DatabaseHeader], Store | None] | None,
) -> Setting:
    """Return what replay needs to know besides the databases."""
    return Setting(
        plan.sequence.signature if plan.sequence else inputs.databases[0].header.log_signature,
        inputs.page_size,
        create,
        inputs.unusable,
        options.hard,
        lambda: LogTime.from_datetime(env.now()),
    )


def summary(targets: list[Target], done: Done, folder: str) -> Recovered:
    """Return what was done, for its caller. folder: where the databases lie now."""
    return Recovered(
        [
            (
                os.path.join(folder, os.path.basename(t.store.path)),  # noqa: PTH118, PTH119
                DbState(t.header.state).name,
                str(t.signature),
            )
            for t in targets
        ],
        *(done.first, done.last, done.records, done.volume),
        undone=done.undone,
        warnings=done.warnings,
    )


def free_name(name: str, taken: set[str]) -> str:
    """Return a file name that no other database of the result has, and that is only a name."""
    name = name.replace("/", "_").replace("\0", "_").lstrip(".") or "database.edb"
    stem, dot, extension = name.rpartition(".")
    free, number = name, 1
    while free.casefold() in taken:
        number += 1
        free = f"{stem}-{number}{dot}{extension}" if dot else f"{name}-{number}"
    taken.add(free.casefold())
    return free
