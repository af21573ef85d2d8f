"""``eseutil /d`` and ``/z``: a database written anew takes the place of the old one."""

from __future__ import annotations

import os
from collections.abc import Callable

from hotsplit.classic.console import Console, Ruler
from hotsplit.classic.switches import Arguments, Takes
from hotsplit.errors import TargetExists
from hotsplit.ese.files.database import DatabaseFile
from hotsplit.ese.files.env import Env
from hotsplit.ese.rebuild.compact import compact
from hotsplit.ese.rebuild.scrub import scrub

SWITCHES = {
    "t": Takes.PATH,
    "b": Takes.PATH,
    "p": Takes.NOTHING,
    "v": Takes.MAYBE,
    "u": Takes.MAYBE,
}
_NOTE = (
    "  It is recommended that you immediately perform a full backup",
    "  of this database. If you restore a backup made before the",
    "  {}, the database will be rolled back to the state",
    "  it was in at the time of that backup.",
)

Rebuild = Callable[[DatabaseFile, str, Callable[[int], None]], object]


def defragment(console: Console, env: Env, arguments: Arguments) -> None:
    """``/d``: write the database anew and put the result in its place. Raises HotsplitError."""
    path = arguments.only("source database")
    console.line("Initiating DEFRAGMENTATION mode...")
    console.line(f"            Database: {path}")

    def work(file: DatabaseFile, into: str, on_page: Callable[[int], None]) -> object:
        return compact(env, file, path, into, on_page)

    _rebuild(console, env, arguments, "Defragmentation", work)
    _note(console, "defragmentation")


def secure(console: Console, env: Env, arguments: Arguments) -> None:
    """``/z``: the same, every page in its place, what is deleted zeroed. Raises HotsplitError."""
    path = arguments.only("source database")
    console.line("Initiating SECURE mode...")
    console.line(f"        Database: {path}")

    def work(file: DatabaseFile, into: str, on_page: Callable[[int], None]) -> object:
        return scrub(env, file, path, into, on_page)

    _rebuild(console, env, arguments, "Securing", work)
    console.line("Warning:")
    console.line("  You MUST delete the logfiles for this database")
    console.line()
    _note(console, "repair")


def _note(console: Console, operation: str) -> None:
    console.line("Note:")
    for line in _NOTE:
        console.line(line.format(operation))
    console.line()


def _rebuild(console: Console, env: Env, arguments: Arguments, title: str, work: Rebuild) -> None:
    path = arguments.only("source database")
    folder = os.path.dirname(path)  # noqa: PTH120 - paths are plain strings
    default = os.path.join(folder, f"TEMPDFRG{os.getpid()}.EDB")  # noqa: PTH118
    temporary = arguments.value("t") or default
    with DatabaseFile.open(env, path) as file:
        ruler = Ruler(console, file.page_count)
        console.line()
        ruler.begin(f"{title} Status (% complete)")
        try:
            work(file, temporary, ruler.advance)
        finally:
            ruler.end()
    console.line()
    if "p" not in arguments:
        _instate(console, env, temporary, path, arguments.value("b"))


def _instate(console: Console, env: Env, temporary: str, path: str, backup: str) -> None:
    """Put the new database in the place of the old one, which is kept if `backup` names a file."""
    if backup:
        if env.exists(backup):
            raise TargetExists("The file is there already", file=backup)
        _move(console, env, path, backup)
    _move(console, env, temporary, path)


def _move(console: Console, env: Env, source: str, target: str) -> None:
    console.part(f"Moving '{source}' to '{target}'...")
    try:
        env.rename(source, target)
        env.sync_dir(os.path.dirname(target))  # noqa: PTH120
    except BaseException:
        console.line(" FAILED!")
        raise
    console.line(" DONE!")
