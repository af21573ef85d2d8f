"""A restore instance: databases of backup sets come to life beside the instances that serve.

The databases are recovered into the folder of the new instance and attached there, under a log
stream and a base name of its own. Nothing of the sets or of a serving instance changes.

Source: log specification 8.7 (hard recovery, target instance).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from hotsplit.errors import FileMissing, InvalidUse, Jet
from hotsplit.ese.backup.restoreenv import RestoredDatabase, RestoreEnv
from hotsplit.ese.engine.instance import Instance
from hotsplit.ese.engine.settings import Settings
from hotsplit.ese.files.env import Env
from hotsplit.ese.format.basics import LogPosition
from hotsplit.ese.recovery.events import Watch
from hotsplit.ese.recovery.options import Options
from hotsplit.ese.recovery.recover import Recovered, recover


def restore(
    env: Env,
    sets: Sequence[str],
    settings: Settings,
    *,
    databases: Sequence[str] = (),
    until: LogPosition | None = None,
    forward: Instance | None = None,
    watch: Watch | None = None,
) -> Instance:
    """Restore databases from folders of backup sets; return the open instance they live in.

    sets: first the one with the databases (full or copy), then those with later logs. settings: of
    the new instance; its folder must not exist. databases: names in the first set, all if empty.
    until: stop before this position. forward: a serving instance whose logs are replayed too, up
    to its last commit; it goes on meanwhile. `restore.env` in the folder of the new instance says
    what was done. Raises HotsplitError, and nothing is left then.
    """
    if not sets:
        raise InvalidUse("There is no backup set to restore", jet=Jet.errInvalidParameter)
    sources = [f"{sets[0].rstrip('/')}/{name}" for name in databases] or [sets[0]]
    with _logs_of(forward, until) as (more, until):
        options = Options(hard=True, until=until, ignore_missing=True, budget=settings.cache_size)
        done = recover(env, sources, [*sets, *more], settings.folder, options, watch)
    with contextlib.ExitStack() as undo:
        undo.callback(env.remove_tree, settings.folder)
        if not done.databases:
            raise FileMissing(
                "No database is in the set, and its logs make none",
                file=sets[0],
                hint="Give the set with the databases, full or copy, first.",
            )
        instance = undo.enter_context(Instance.open(env, settings))
        for path, _, _ in done.databases:
            instance.attach_database(path)
        _environment(sets, settings, done, env).write(env)
        undo.pop_all()
    return instance


def _environment(sets: Sequence[str], settings: Settings, done: Recovered, env: Env) -> RestoreEnv:
    first = sets[0].rstrip("/")
    databases = [
        RestoredDatabase(name := path.rpartition("/")[2], f"{first}/{name}", path, signature)
        for path, _, signature in done.databases
    ]
    time = env.now().isoformat()
    return RestoreEnv(
        list(sets), settings.folder, settings.base, done.first, done.last, time, databases
    )


@contextlib.contextmanager
def _logs_of(
    forward: Instance | None, until: LogPosition | None
) -> Iterator[tuple[list[str], LogPosition | None]]:
    """Close the log of a serving instance and hold all; yield (its folders, where to stop)."""
    if forward is None:
        yield [], until
        return
    context = forward.context
    with context.lock:
        context.check()
        hold = context.holds.add("restore", forward.logs.range().lowest)
        context.log.roll()
        closed = LogPosition(context.log.generation - 1, 0, 0)
    try:
        yield [context.settings.folder], min(until or closed, closed)
    finally:
        with context.lock:
            context.holds.release(hold)
