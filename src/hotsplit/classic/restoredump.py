"""``eseutil /cm``: what `restore.env` says of a restore; ``/cc``: hard recovery by it.

The original's file is of the backup client library of Exchange, whose form is published nowhere;
here it is the one that `hotsplit.ese.backup.restore` leaves. What is restored there is recovered
already, so ``/cc`` has nothing left to do but to look whether it is still there.
"""

from __future__ import annotations

import os.path

from hotsplit.classic.console import Console
from hotsplit.classic.switches import Arguments, Takes
from hotsplit.errors import FileMissing
from hotsplit.ese.backup.restoreenv import NAME, RestoreEnv
from hotsplit.ese.files.database import DatabaseFile
from hotsplit.ese.files.env import Env

SWITCHES = {"t": Takes.MAYBE, "f": Takes.PATH, "k": Takes.NOTHING}


def dump(console: Console, env: Env, arguments: Arguments) -> None:
    """``/cm FOLDER``: show the file. Raises FileMissing, DataDamaged."""
    console.line("Initiating RESTORE mode...")
    _show(console, _read(env, arguments))


def recover(console: Console, env: Env, arguments: Arguments) -> None:
    """``/cc FOLDER``: show the file; its databases must be there.

    Raises FileMissing, DataDamaged, and what opening a database raises.
    """
    console.line("Initiating RESTORE mode...")
    restored = _read(env, arguments)
    _show(console, restored)
    for one in restored.databases:
        DatabaseFile.open(env, one.target).close()
        console.line(f"  {one.target}: recovered already")
    console.line()


def _read(env: Env, arguments: Arguments) -> RestoreEnv:
    path = arguments.names[0] if arguments.names else "."
    folder = path if env.is_dir(path) else os.path.dirname(path) or "."  # noqa: PTH120
    if not env.is_dir(path) and os.path.basename(path).lower() != NAME:  # noqa: PTH119
        raise FileMissing(f"There is no {NAME}", file=path)
    return RestoreEnv.read(env, folder)


def _show(console: Console, restored: RestoreEnv) -> None:
    rows = [
        ("Restore log path", restored.folder),
        ("Log base name", restored.base),
        ("Logs replayed", f"{restored.low}-{restored.high}"),
        ("Restored at", restored.time),
        *(("Backup set", folder) for folder in restored.sets),
    ]
    for one in restored.databases:
        rows += [
            ("Database", one.name),
            ("Source", one.source),
            ("Target", one.target),
            ("Signature", one.signature),
        ]
    for label, value in rows:
        console.line(f"{label:>21}: {value}")
    console.line()
