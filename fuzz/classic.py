"""The classic tools over the files of a case: dumps, checks and copies, no switch that writes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from fuzz.place import Place, WrongOutcome, run_command
from hotsplit.classic import esefile as esefile_tool
from hotsplit.classic import eseutil as eseutil_tool
from hotsplit.classic.console import exit_status
from hotsplit.ese.files.identify import FileKind

_DATABASE = (
    ("/mh",), ("/mh", "/v"), ("/mm",), ("/mm", "/v"), ("/ms",), ("/ms", "/v"), ("/g",), ("/k",),
    ("/m", "/p1"), ("/m", "/p4", "/v"), ("/m", "/p20", "/v"), ("/m", "/n4:0"), ("/m", "/i20:1"),
)  # fmt: skip
_LOG = (("/ml",), ("/ml", "/v2"), ("/ml", "/s"), ("/k",))
_MODES = {
    FileKind.DATABASE: _DATABASE,
    FileKind.LOG: _LOG,
    FileKind.CHECKPOINT: (("/mk",), ("/k",)),
    FileKind.FLUSH_MAP: (("/mp",), ("/mp", "/v")),
}
_ENDS = re.compile(r"(completed|completes) successfully|terminated with error (-?\d+) \(\w+, ")


def eseutil(place: Place) -> str:
    """Show the files by all dump modes of eseutil, and check them."""
    return " ".join(_run(eseutil_tool.main, *args) for args in _eseutil_calls(place))


def _eseutil_calls(place: Place) -> Iterator[tuple[str, ...]]:
    for kind, modes in _MODES.items():
        for path in place.of_kind(kind):
            for mode, *switches in modes:
                yield mode, str(path), *switches
    yield "/ml", str(place.folder / "E00")


def esefile(place: Place) -> str:
    """Sum the files, show pages of them, copy them."""
    return " ".join(_run(esefile_tool.main, *args) for args in _esefile_calls(place))


def _esefile_calls(place: Place) -> Iterator[tuple[str, ...]]:
    for number, file in enumerate(map(str, place.changed)):
        yield "/s", file
        yield "/x", file, "4"
        yield "/d", file, "4"
        yield "/c", file, str(place.scratch / str(number))


def _run(main: Callable[[list[str]], None], *args: str) -> str:
    """Run a tool; it says how it ended, and its exit status says the same."""
    status, text = run_command(main, *args)
    end = _ENDS.search(text)
    if end is None or status != exit_status(int(end[2] or 0)):
        raise WrongOutcome(f"exit status {status} of {args}: {text[-300:]}")
    return end[2] or "0"
