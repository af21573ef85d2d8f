"""Copies of files under the ruler: ``eseutil /y`` and ``esefile /c``."""

from __future__ import annotations

import os.path

from hotsplit.classic.checksum import file_size
from hotsplit.classic.console import Console, Ruler
from hotsplit.classic.switches import Arguments, Takes
from hotsplit.errors import TargetExists, Unsupported
from hotsplit.ese.files.env import Env

SWITCHES = {"d": Takes.PATH, "i": Takes.NOTHING}
_TITLE = "Copy Progress (% complete)"


def run(console: Console, env: Env, arguments: Arguments) -> None:
    """``eseutil /y SOURCE [/dTARGET]``. Raises HotsplitError."""
    if "i" in arguments:
        raise Unsupported("/i: no copy without what cannot be read; mend it with /p")
    source = arguments.only("source file")
    target = arguments.value("d") or os.path.basename(source)  # noqa: PTH119 - plain strings
    console.line("Initiating COPY FILE mode...")
    copy_file(console, env, source, target)
    console.line()
    console.line()


def copy_file(console: Console, env: Env, source: str, target: str) -> None:
    """Copy a file to a name that is not there yet, or into a folder, durably.

    Raises TargetExists, SourceChanged and what the Env raises.
    """
    if env.is_dir(target):
        target = os.path.join(target, os.path.basename(source))  # noqa: PTH118, PTH119
    console.line(f"     Source File: {source}")
    console.line(f"Destination File: {target}")
    console.line()
    size = file_size(env, source)
    if env.exists(target):
        raise TargetExists("The file is there already", file=target)
    ruler = Ruler(console, size)
    ruler.begin(_TITLE)
    try:
        _copy(env, source, target)
    finally:
        ruler.end()
    console.line()
    for word in ("read", "written"):
        label = f"Total bytes {word}"
        console.line(f"\t{label:<32}= {size:#x} ({size}) ({size >> 20} MB)")


def _copy(env: Env, source: str, target: str) -> None:
    try:
        env.copy(source, target)
        file = env.open(target, "write")
        try:
            file.sync()
        finally:
            file.close()
    except BaseException:
        if env.exists(target):
            env.remove(target)
        raise
    env.sync_dir(os.path.dirname(target))  # noqa: PTH120
