"""``eseutil``: modes and switches of the database utility. Source: log specification 10.6."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from hotsplit.classic import checksummode, copyfile, dump, integrity, rebuild, recovery
from hotsplit.classic.console import USAGE, Console, Usage, as_error, described, guarded
from hotsplit.classic.switches import Arguments, Takes, is_switch, parse
from hotsplit.errors import HotsplitError
from hotsplit.ese.files.env import Env, OsEnv

Run = Callable[[Console, Env, Arguments], None]


@dataclass(frozen=True)
class Mode:
    """A mode: its switches and what it does."""

    run: Run
    switches: Mapping[str, Takes]


_MODES = {
    "d": Mode(rebuild.defragment, rebuild.SWITCHES),
    "g": Mode(integrity.run, integrity.SWITCHES),
    "k": Mode(checksummode.run, checksummode.SWITCHES),
    "r": Mode(recovery.run, recovery.SWITCHES),
    "z": Mode(rebuild.secure, rebuild.SWITCHES),
    "y": Mode(copyfile.run, copyfile.SWITCHES),
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
        mode.run(console, env or OsEnv(), arguments)
    except Usage as error:
        console.line(str(error))
        console.line()
        return USAGE
    except HotsplitError as error:
        return _terminated(console, error)
    except ImportError as error:
        return _terminated(console, as_error(error))
    console.line(f"Operation completed successfully in {console.seconds:.3f} seconds.")
    console.line()
    return 0


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
    letter, modifier = first[1].lower(), first[2:].lower()
    if letter == "m":
        modifier, rest = _dump_modifier(modifier, argv[1:])
        mode = Mode(partial(_dump, modifier), dump.SWITCHES)
        return mode, parse(rest, mode.switches)
    known = _MODES.get(letter)
    if known is None or modifier:
        raise Usage("Usage Error: Invalid mode.")
    return known, parse(argv[1:], known.switches)


def _dump(modifier: str, console: Console, env: Env, arguments: Arguments) -> None:
    dump.run(console, env, modifier, arguments)


def _dump_modifier(modifier: str, rest: list[str]) -> tuple[str, list[str]]:
    """Return what to dump: the letter behind ``/m``, or the first single switch that names one."""
    if modifier:
        return modifier, rest
    for i, text in enumerate(rest):
        if len(text) == 2 and is_switch(text) and text[1].lower() in dump.MODIFIERS:
            return text[1].lower(), rest[:i] + rest[i + 1 :]
    return "h", rest
