"""Databases written anew that take the place of the old one: ``eseutil /d`` and ``/z``."""

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
    **dict.fromkeys("cnwxe", Takes.MAYBE),
}
_NOTE = (
    "Note:",
    "  It is recommended that you immediately perform a full backup",
    "  of this database. If you restore a backup made before the",
    "  {}, the database will be rolled back to the state",
    "  it was in at the time of that backup.",
    "",
)

OnPage = Callable[[int], None]


def defragment(console: Console, env: Env, arguments: Arguments) -> None:
    """``/d``: write the database anew and put the result in its place. Raises HotsplitError."""
    path = arguments.only("source database")
    console.line("Initiating DEFRAGMENTATION mode...")
    console.line(f"            Database: {path}")
    place = Place(console, env, path, arguments, "TEMPDFRG")
    with DatabaseFile.open(env, path) as file:
        place.build(
            "Defragmentation",
            file.page_count,
            lambda into, on_page: compact(env, file, path, into, on_page),
        )
    place.instate()
    note(console, "defragmentation")


def secure(console: Console, env: Env, arguments: Arguments) -> None:
    """``/z``: the same, every page in its place, what is deleted zeroed. Raises HotsplitError."""
    path = arguments.only("source database")
    console.line("Initiating SECURE mode...")
    console.line(f"        Database: {path}")
    place = Place(console, env, path, arguments, "TEMPSCRUB")
    with DatabaseFile.open(env, path) as file:
        place.build(
            "Securing",
            file.page_count,
            lambda into, on_page: scrub(env, file, path, into, on_page),
        )
    place.instate()
    console.line("Warning:")
    console.line("  You MUST delete the logfiles for this database")
    console.line()
    note(console, "repair")


def note(console: Console, operation: str) -> None:
    """Print what the original says at the end."""
    for line in _NOTE:
        console.line(line.format(operation))


class Place:
    """Where a new database is written, and where it goes.

    Switches: ``/t`` names the new file, ``/p`` leaves it there, ``/b`` keeps the old one under a
    name; `backup` if that is not given. Raises TargetExists when that name is taken.
    """

    def __init__(
        self,
        console: Console,
        env: Env,
        path: str,
        arguments: Arguments,
        prefix: str,
        backup: str = "",
    ) -> None:
        folder = os.path.dirname(path)  # noqa: PTH120 - paths are plain strings
        default = os.path.join(folder, f"{prefix}{os.getpid()}.EDB")  # noqa: PTH118
        self.temporary = arguments.value("t") or default
        self._console, self._env, self._path = console, env, path
        self._backup = arguments.value("b") or backup
        self._keeps_both = "p" in arguments
        if self._backup and not self._keeps_both and env.exists(self._backup):
            raise TargetExists("The file is there already", file=self._backup)

    def build(self, title: str, pages: int, work: Callable[[str, OnPage], object]) -> None:
        """Let `work` write the new database, under the ruler."""
        ruler = Ruler(self._console, pages)
        self._console.line()
        ruler.begin(f"{title} Status (% complete)")
        try:
            work(self.temporary, ruler.advance)
        finally:
            ruler.end()
        self._console.line()

    def instate(self) -> None:
        """Put the new database in the place of the old one."""
        if self._keeps_both:
            return
        if self._backup:
            self._move(self._path, self._backup)
        self._move(self.temporary, self._path)

    def _move(self, source: str, target: str) -> None:
        self._console.part(f"Moving '{source}' to '{target}'...")
        try:
            self._env.rename(source, target)
            self._env.sync_dir(os.path.dirname(target))  # noqa: PTH120
        except BaseException:
            self._console.line(" FAILED!")
            raise
        self._console.line(" DONE!")
