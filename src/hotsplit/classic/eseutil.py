"""``eseutil``: modes and switches of the database utility. Source: log specification 10.6."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from hotsplit.classic import (
    checksummode,
    copyfile,
    dump,
    integrity,
    rebuild,
    recovery,
    repair,
    restoredump,
    stream,
)
from hotsplit.classic.console import (
    USAGE,
    Console,
    Usage,
    as_error,
    described,
    guarded,
)
from hotsplit.classic.switches import Arguments, Takes, is_switch, parse
from hotsplit.errors import HotsplitError, Jet
from hotsplit.ese.files.env import Env, OsEnv

Run = Callable[[Console, Env, Arguments], Jet | None]
"""Runs a mode; may return a warning. Raises HotsplitError, Usage."""

_HELP = (
    "MODES OF OPERATION:",
    "      Defragmentation:  eseutil /d DATABASE [/tTEMP] [/bBACKUP] [/p]",
    "             Recovery:  eseutil /r BASE [/lLOGS] [/sSYSTEM] [/d[DIR]] [/nNEW[:OLD]] [/i] [/v]",
    "                        ... [/t] [/kDATABASE|/pDATABASE]",
    "                        eseutil /r BASE /rNEWDIR [/a] [/u[LOG]] [/bBACKUP] ...",
    "            Integrity:  eseutil /g DATABASE",
    "             Checksum:  eseutil /k FILE|BASE [/e]",
    "               Repair:  eseutil /p DATABASE [/tTEMP] [/bBACKUP] [/o]",
    "            File Dump:  eseutil /mh DATABASE",
    "                        eseutil /mk CHECKPOINT",
    "                        eseutil /ml LOG|BASE [/v1|/v2] [/s] [/x] [/cCSV] [/rFROM[-TO]]",
    "                        eseutil /mm|/ms DATABASE [/tTABLE]",
    "                        eseutil /mp FLUSHMAP [/pPAGE [/v]]",
    "                        eseutil /m DATABASE /pPAGE [/v] | /nPAGE:NODE | /iPAGE:TAG",
    "            Copy File:  eseutil /y SOURCE [/dTARGET]",
    "               Backup:  eseutil /b FOLDER [/lLOGS] [/sSYSTEM] [/c]",
    "              Restore:  eseutil /cm|/cc [FOLDER]",
    "               Secure:  eseutil /z DATABASE [/tTEMP] [/bBACKUP] [/p]",
    "",
    "A switch may begin with - or /, in either case; /o leaves out the head of the output.",
    "Write - if a value begins with / and could be taken for a path that is there.",
)


@dataclass(frozen=True)
class Mode:
    """A mode: what it does and its switches."""

    run: Run
    switches: Mapping[str, Takes] = field(default_factory=dict)


_MODES = {
    "b": Mode(stream.backup, stream.BACKUP_SWITCHES),
    "c": Mode(restoredump.recover, restoredump.SWITCHES),
    "d": Mode(rebuild.defragment, rebuild.SWITCHES),
    "g": Mode(integrity.run, integrity.SWITCHES),
    "k": Mode(checksummode.run, checksummode.SWITCHES),
    "p": Mode(repair.run, repair.SWITCHES),
    "r": Mode(recovery.run, recovery.SWITCHES),
    "y": Mode(copyfile.run, copyfile.SWITCHES),
    "z": Mode(rebuild.secure, rebuild.SWITCHES),
}
_MODIFIED = {
    "cc": _MODES["c"],
    "cm": Mode(restoredump.dump, restoredump.SWITCHES),
}


def main(argv: list[str] | None = None) -> None:
    """Run the tool and exit."""
    sys.exit(guarded(lambda: run(sys.argv[1:] if argv is None else argv)))


def run(argv: list[str], console: Console | None = None, env: Env | None = None) -> int:
    """Run the tool; return its result: 0, a JET error number, or -1 for wrong arguments."""
    console = console or Console()
    console.line()
    try:
        mode, arguments = _parse(argv)
        if "o" not in arguments:
            console.logo()
        warning = mode.run(console, env or OsEnv(), arguments)
    except Usage as error:
        return _explained(console, str(error))
    except HotsplitError as error:
        return _terminated(console, error)
    except ImportError as error:
        return _terminated(console, as_error(error))
    if warning is None:
        console.line(f"Operation completed successfully in {console.seconds:.3f} seconds.")
    else:
        result = f"{int(warning)} ({warning.title}) after {console.seconds:.3f} seconds."
        console.line(f"Operation completed successfully with {result}")
    console.line()
    return 0


def _explained(console: Console, problem: str) -> int:
    if problem:
        console.line(problem)
        console.line()
    for line in _HELP:
        console.line(line)
    return USAGE


def _terminated(console: Console, error: HotsplitError) -> int:
    console.line()
    console.line()
    result = f"{described(error)} after {console.seconds:.3f} seconds."
    console.line(f"Operation terminated with error {result}")
    console.line()
    return int(error.jet)


def _parse(argv: list[str]) -> tuple[Mode, Arguments]:
    if not argv:
        raise Usage("Usage Error: No mode specified.")
    first = argv[0]
    if not is_switch(first):
        raise Usage("Usage Error: Mode selection must be preceded by '-' or '/'.")
    letter, modifier, rest = first[1].lower(), first[2:].lower(), argv[1:]
    if letter == "?":
        raise Usage("")
    if letter == "m":
        modifier, rest = _dump_modifier(modifier, rest)
        return Mode(partial(dump.run, modifier)), parse(rest, dump.SWITCHES)
    mode = _MODIFIED.get(letter + modifier) if modifier else _MODES.get(letter)
    if mode is None:
        raise Usage("Usage Error: Invalid mode.")
    return mode, parse(rest, mode.switches)


def _dump_modifier(modifier: str, rest: list[str]) -> tuple[str, list[str]]:
    """Return what to dump: the letter behind ``/m``, or the first single switch that names one."""
    if modifier:
        return modifier, rest
    for i, text in enumerate(rest):
        if len(text) == 2 and is_switch(text) and text[1].lower() in dump.MODIFIERS:
            return text[1].lower(), rest[:i] + rest[i + 1 :]
    return "h", rest
