"""``eseutil /r``: recovery in place, or with ``/r`` into a new folder. Source: log spec. 10.6."""

from __future__ import annotations

import os.path
import re

from hotsplit.classic.console import Console, Ruler, Usage
from hotsplit.classic.stream import give_back, remove_archives
from hotsplit.classic.switches import Arguments, Takes
from hotsplit.errors import HotsplitError, Jet, RecoveryFailed, Unsupported
from hotsplit.ese.engine.opening.inplace import recover_in_place
from hotsplit.ese.engine.upkeep.leaks import reclaim
from hotsplit.ese.engine.upkeep.maintenance import shrink
from hotsplit.ese.files.env import Env
from hotsplit.ese.format.basics import LogPosition
from hotsplit.ese.recovery.events import EventId
from hotsplit.ese.recovery.options import Options
from hotsplit.ese.recovery.recover import recover

SWITCHES = {
    "l": Takes.PATH,
    "s": Takes.PATH,
    "d": Takes.MAYBE_PATH,
    "n": Takes.PATH,
    "b": Takes.PATH,
    "r": Takes.PATH,
    "u": Takes.MAYBE,
    "i": Takes.NOTHING,
    "a": Takes.NOTHING,
    "t": Takes.NOTHING,
    "e": Takes.MAYBE,
    "c": Takes.MAYBE,
    "w": Takes.MAYBE,
    "v": Takes.MAYBE,
    "k": Takes.MAYBE,
    "m": Takes.MAYBE,
    "p": Takes.MAYBE,
}
_ONLY_IN_PLACE = ("t", "k", "p")
_NEEDS_FOLDER = {
    "a": "/a loses transactions that the logs still have",
    "u": "/u leaves the databases dirty, or older than their logs",
    "b": "/b restores a copy",
}
_LOSSY = {
    Jet.errCommittedLogFilesMissing: "is",
    Jet.errCommittedLogFileCorrupt: "is",
    Jet.errMissingLogFile: "might be",
}
_TITLE = "Restore Status (% complete)"
_HERE = "<current directory>"
_LABELS = (("l", "Log files"), ("s", "System files"), ("d", "Database Directory"))
_POSITION = re.compile(r"(\d+)(?::(\d+):(\d+))?\Z")


def run(console: Console, env: Env, arguments: Arguments) -> None:
    """Recover. Raises HotsplitError, Usage."""
    base = arguments.only("logfile base name")
    _refuse(arguments)
    options = _options(arguments)
    console.line("Initiating RECOVERY mode...")
    console.line(f"    Logfile base name: {base}")
    for letter, label in _LABELS:
        if letter != "d" or letter in arguments:
            console.line(f"{label:>21}: {arguments.value(letter) or _HERE}")
    for new, old in _mapped(arguments):
        was = f", Original Database Location: {old}" if old else ""
        console.line(f"   New Database Location: {new}{was}")
    console.line()
    hard = "b" in arguments
    console.line(f"Performing {'hard' if hard else 'soft'} recovery...")
    try:
        _recover(console, env, arguments, base, options)
        _afterwards(env, arguments, base)
    except HotsplitError as error:
        _hint(console, error)
        raise
    console.line()
    console.line()
    if not options.undo:
        raise RecoveryFailed(
            "Everything was redone; open transactions are not undone, as asked",
            jet=Jet.errRecoveredWithoutUndo,
        )


def _hint(console: Console, error: HotsplitError) -> None:
    word = _LOSSY.get(error.jet)
    if word is not None:
        text = f"Recovery has indicated that there {word} a lossy recovery option."
        console.line()
        console.line(f"  \t{text}  Run recovery with the /a argument.")


def _refuse(arguments: Arguments) -> None:
    """Raise for what cannot be done at all, or not in place."""
    if "p" in arguments and "k" in arguments:
        raise Usage("Usage Error: Only one of /k and /p can be done.")
    for letter in ("k", "p"):
        if letter in arguments and not arguments.value(letter):
            raise Usage(f"Usage Error: Invalid option '/{letter}': it needs a database.")
    for letter in _ONLY_IN_PLACE:
        if letter in arguments and "r" in arguments:
            raise Usage(
                f"Usage Error: Invalid option '/{letter}': /r leaves the files as they are."
            )
    if "d" in arguments and ("n" in arguments or "b" in arguments):
        raise Usage("Usage Error: Only one type of recovery allowed.")
    for letter, why in _NEEDS_FOLDER.items():
        if letter in arguments and "r" not in arguments:
            raise Unsupported(f"{why}: not done in place, name a new folder with /r")


def _options(arguments: Arguments) -> Options:
    return Options(
        undo="u" not in arguments,
        until=_position(arguments.value("u")) if arguments.value("u") else None,
        ignore_missing="i" in arguments,
        accept_lost_logs="a" in arguments,
        hard="b" in arguments,
        paths={old.lower(): new for new, old in _mapped(arguments) if old},
    )


def _position(text: str) -> LogPosition:
    """Read where to stop: a generation, or generation:sector:byte, decimal. Raises Usage."""
    found = _POSITION.match(text)
    if found is None or not int(found[1]):
        raise Usage("Usage Error: Invalid stop recovery option.")
    return LogPosition(*(int(part or 0) for part in found.groups()))


def _mapped(arguments: Arguments) -> list[tuple[str, str]]:
    """Return (new place, place in the logs or nothing) of each database named with ``/n``."""
    values = [value for value in arguments.given.get("n", []) if value != "*"]
    pairs = [value.partition(":") for value in values]
    return [(new, old) for new, _, old in pairs]


def _recover(console: Console, env: Env, arguments: Arguments, base: str, options: Options) -> None:
    logs = arguments.value("l") or "."
    sources = [new for new, _ in _mapped(arguments)]
    if "b" in arguments:
        sources = [arguments.value("b")]
    elif not sources or "*" in arguments.given.get("n", []):
        place = (arguments.value("d") or ".") if "d" in arguments else logs
        sources.append(place)
    folders = [logs] if "b" not in arguments or "l" in arguments else []
    checkpoint = os.path.join(arguments.value("s") or ".", f"{base}.chk")  # noqa: PTH118
    found = checkpoint if env.exists(checkpoint) else None
    watch = _Watch(console, verbose="v" in arguments)
    into = arguments.value("r")
    with watch:
        if into:
            recover(env, sources, folders, into, options, watch, base=base, checkpoint=found)
        else:
            recover_in_place(env, sources, folders, options, watch, base=base, checkpoint=found)


def _afterwards(env: Env, arguments: Arguments, base: str) -> None:
    """Do what was asked for after a recovery in place: give space back, delete old logs."""
    logs = arguments.value("l") or "."
    system = arguments.value("s") or logs
    if "k" in arguments:
        path = arguments.value("k")
        full = path[:1].lower() == "f" and env.exists(path[1:])
        path = path[1:] if full and not env.exists(path) else path
        give_back(env, logs, system, base, path, shrink)
    if "p" in arguments:
        give_back(env, logs, system, base, arguments.value("p"), reclaim)
    if "t" in arguments:
        remove_archives(env, logs, base)


class _Watch:
    """Shows how recovery goes on: the ruler, or with ``/v`` its events."""

    def __init__(self, console: Console, *, verbose: bool) -> None:
        self._console, self._verbose = console, verbose
        self._ruler: Ruler | None = None

    def event(self, number: EventId, text: str, *strings: str) -> None:
        """See `Watch`."""
        if self._verbose:
            self._console.line(f"        Event {int(number)}: {text}")

    def begin(self, total: int) -> None:
        """See `Watch`."""
        if self._ruler is None and not self._verbose:
            self._ruler = Ruler(self._console, total)
            self._console.line()
            self._ruler.begin(_TITLE)

    def advance(self, amount: int) -> None:
        """See `Watch`."""
        if self._ruler is not None:
            self._ruler.advance(amount)

    def __enter__(self) -> None:
        """Nothing is shown before replay begins."""

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._ruler is not None:
            self._ruler.end()
