"""What modes do with a stream and its databases through the engine: backup, shrinking, truncation.

Source: log specification 6.11 (options of recovery), 8.1 (streaming backup), 10.6 (switches).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from hotsplit.classic.console import Console
from hotsplit.classic.switches import Arguments, Takes
from hotsplit.ese.backup.folder import back_up
from hotsplit.ese.backup.kinds import Kind
from hotsplit.ese.engine.database import OpenDatabase
from hotsplit.ese.engine.instance import Instance
from hotsplit.ese.engine.opening.inplace import recover_in_place
from hotsplit.ese.engine.session import Session
from hotsplit.ese.engine.settings import Settings
from hotsplit.ese.files.env import Env
from hotsplit.ese.files.logsequence import LogSequence
from hotsplit.ese.recovery.inputs import find_inputs
from hotsplit.ese.recovery.options import Options

BACKUP_SWITCHES = {"l": Takes.PATH, "s": Takes.PATH, "c": Takes.MAYBE_PATH}
_HERE = "<current directory>"


@contextmanager
def _instance(env: Env, logs: str, system: str, base: str | None) -> Iterator[Instance]:
    """Give the instance of the stream in a folder, recovered if need be; close it at the end."""
    sequence = LogSequence.find(env, [logs], base)
    last = sequence.logs[sequence.highest]
    header = last.header
    if last.error is not None:
        raise last.error
    assert header is not None
    settings = Settings(
        logs,
        sequence.base,
        header.page_size,
        header.file_size,
        system_folder=system if system != logs else "",
    )
    with closing(Instance.open(env, settings)) as instance:
        yield instance


def backup(console: Console, env: Env, arguments: Arguments) -> None:
    """``/b FOLDER``: the databases of a stream into a folder. Raises HotsplitError.

    They are those that lie beside the logs; what was not shut down cleanly is recovered first.
    """
    target = arguments.only("backup path")
    logs, system = arguments.value("l"), arguments.value("s")
    console.line("Initiating BACKUP mode...")
    console.line(f"       Log files: {logs or _HERE}")
    console.line(f"    System files: {system or _HERE}")
    console.line()
    kind = Kind.INCREMENTAL if "c" in arguments else Kind.FULL
    console.part(f"Performing {kind} backup...")
    logs = logs or "."
    recover_in_place(env, [logs], [logs], Options(), checkpoint=_checkpoint(env, system))
    with _instance(env, logs, system or logs, None) as instance:
        base = instance.context.settings.base
        for candidate in find_inputs(env, [logs], [logs], base).databases:
            instance.attach_database(candidate.path)
        back_up(instance, target, kind, patch_files=True)
    console.line()
    console.line()


def _checkpoint(env: Env, folder: str) -> str | None:
    """Return the checkpoint of a folder that has one, if a folder was named."""
    found = sorted(n for n in env.listdir(folder) if n.lower().endswith(".chk")) if folder else []
    return f"{folder}/{found[0]}" if len(found) == 1 else None


def give_back(
    env: Env,
    logs: str,
    system: str,
    base: str,
    path: str,
    work: Callable[[Session, OpenDatabase], object],
) -> None:
    """Have `work` give back space of a recovered database. Raises HotsplitError."""
    with _instance(env, logs, system, base) as instance:
        database = instance.attach_database(path)
        work(instance.session(), database)


def remove_archives(env: Env, logs: str, base: str) -> None:
    """Delete all logs but the last: what a recovered stream does not need any more.

    The last is the current one, or stays to begin that after it if there is none.
    """
    sequence = LogSequence.find(env, [logs], base)
    for generation in sorted(sequence.logs):
        if generation < sequence.highest:
            env.remove(sequence.logs[generation].path)
    env.sync_dir(logs)
