"""``esefile``: checksums, page dumps and copies of ESE files, as Exchange 2000's tool did them.

Its help and the output of ``/s`` are known from what administrators wrote down; of ``/x``, ``/d``
and ``/c`` only what they do.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from hotsplit.classic.checksum import run_checksums
from hotsplit.classic.console import USAGE, Console, Usage, as_error, described, guarded
from hotsplit.classic.copyfile import copy_file
from hotsplit.classic.pagedump import page_lines
from hotsplit.classic.switches import is_switch, page_number
from hotsplit.errors import DataDamaged, HotsplitError
from hotsplit.ese.files.env import Env, OsEnv

_HELP = (
    "esefile /s FILE              verify the checksums of a database, log or checkpoint",
    "esefile /x FILE PAGE         verify one page of a database and say what it holds",
    "esefile /d FILE PAGE         the same, and the bytes of the page",
    "esefile /c SOURCE TARGET     copy a file",
    "",
    "A switch may begin with - or /, in either case. PAGE is decimal, or hexadecimal with 0x;",
    "-1 and 0 are the two copies of the header.",
)
Run = Callable[[Console, Env, list[str]], None]


def main(argv: list[str] | None = None) -> None:
    """Run the tool and exit."""
    sys.exit(guarded(lambda: run(sys.argv[1:] if argv is None else argv)))


def run(argv: list[str], console: Console | None = None, env: Env | None = None) -> int:
    """Run the tool; return its result: 0, a JET error number, or -1 for wrong arguments."""
    console = console or Console()
    console.line()
    try:
        mode, names = _parse(argv)
        console.logo()
        mode(console, env or OsEnv(), names)
    except Usage as error:
        console.line(str(error))
        console.line()
        for line in _HELP:
            console.line(line)
        return USAGE
    except HotsplitError as error:
        return _failed(console, error)
    except ImportError as error:
        return _failed(console, as_error(error))
    console.line()
    console.line(f"esefile completes successfully after {console.seconds:.0f} seconds")
    return 0


def _failed(console: Console, error: HotsplitError) -> int:
    console.line()
    result = f"error {described(error)} after {console.seconds:.0f} seconds"
    console.line(f"esefile terminated with {result}")
    return int(error.jet)


def _parse(argv: list[str]) -> tuple[Run, list[str]]:
    if not argv or not is_switch(argv[0]):
        raise Usage("Usage Error: No mode specified.")
    known = _MODES.get(argv[0][1:].lower())
    if known is None:
        raise Usage(f"Usage Error: Invalid option '{argv[0]}'.")
    mode, count = known
    if len(argv) != count + 1:
        raise Usage(f"Usage Error: {argv[0]} takes {count} argument{'s' if count > 1 else ''}.")
    return mode, argv[1:]


def _checksum(console: Console, env: Env, names: list[str]) -> None:
    console.line("Checksumming")
    console.line()
    checksums = run_checksums(console, env, names[0], title="")
    result = checksums.result
    console.line()
    console.line(f"{result.pages} pages seen")
    console.line(f"{result.bad} bad checksums")
    if result.correctable:
        console.line(f"{result.correctable} correctable checksums")
    console.line(f"{result.uninitialized} uninitialized pages")
    console.line(f"{result.wrong_page_number} wrong page numbers")
    if not checksums.is_good:
        raise DataDamaged("Non database file or corrupted db")


def _page(console: Console, env: Env, names: list[str], *, with_bytes: bool) -> None:
    for line in page_lines(env, names[0], page_number(names[1]), with_bytes=with_bytes):
        console.line(line)


def _copy(console: Console, env: Env, names: list[str]) -> None:
    copy_file(console, env, names[0], names[1])


def _describe(console: Console, env: Env, names: list[str]) -> None:
    _page(console, env, names, with_bytes=False)


def _dump(console: Console, env: Env, names: list[str]) -> None:
    _page(console, env, names, with_bytes=True)


_MODES: dict[str, tuple[Run, int]] = {
    "s": (_checksum, 1),
    "x": (_describe, 2),
    "d": (_dump, 2),
    "c": (_copy, 2),
}
