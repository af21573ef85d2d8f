"""``eseutil /m``: dumps of headers, checkpoints, logs, pages, tables and their space."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from hotsplit.classic.checkpointdump import checkpoint_lines
from hotsplit.classic.console import Console, Usage
from hotsplit.classic.flushmapdump import HEADER, flush_map_lines
from hotsplit.classic.headerdump import header_lines, open_headed
from hotsplit.classic.logcsv import CsvFile
from hotsplit.classic.logmend import mend_log
from hotsplit.classic.logmode import LogSet, dump_csv, dump_one, is_base_name, parse_range
from hotsplit.classic.logrecords import Detail
from hotsplit.classic.metadump import space_lines, table_lines, tree_lines
from hotsplit.classic.pagedump import node_lines, page_lines
from hotsplit.classic.switches import Arguments, Takes, page_number
from hotsplit.errors import DataDamaged, HeaderDamaged, Unsupported
from hotsplit.ese.files.checkpointfile import CheckpointFile
from hotsplit.ese.files.env import Env

SWITCHES = {
    "v": Takes.MAYBE,
    "s": Takes.NOTHING,
    "r": Takes.VALUE,
    "c": Takes.PATH,
    "p": Takes.MAYBE,
    "t": Takes.VALUE,
    "x": Takes.NOTHING,
    "n": Takes.VALUE,
    "i": Takes.VALUE,
}
_OTHER_DUMPS = {
    "b": "block caches are not read",
    "c": "pages are not told by the space they belong to; /ms says what each tree owns",
    "f": "no database is made to look clean; recover it with /r, or mend it with /p",
    "n": "records are not dumped byte by byte; `hotsplit rows` shows them, /m /n one",
    "r": "rollback snapshots are not read",
    "t": "trace files are not read",
}
_NODE = re.compile(r"(?:[0-9]+:)?([0-9]{1,10}):([0-9]{1,10})\Z")
_DETAILS = {"": Detail.DATA, "1": Detail.STRUCTURE, "2": Detail.DATA}


def run(modifier: str, console: Console, env: Env, arguments: Arguments) -> None:
    """Dump what is named. Raises HotsplitError, Usage."""
    path = arguments.only("database/filename")
    if modifier in _OTHER_DUMPS:
        raise Unsupported(f"/m{modifier}: {_OTHER_DUMPS[modifier]}")
    if modifier.isdecimal():
        arguments.given.setdefault("p", []).append(modifier)
    elif modifier not in _DUMPERS:
        raise Usage("Usage Error: Invalid mode.")
    dumper = _DUMPERS.get(modifier, _page)
    if modifier != "p" and "p" in arguments:
        dumper = _page
    if "n" in arguments or "i" in arguments:
        dumper = _node
    console.line("Initiating FILE DUMP mode...")
    dumper(console, env, path, arguments)
    console.line()


def _print(console: Console, lines: Iterable[str]) -> None:
    for line in lines:
        console.line(line)


def _header(console: Console, env: Env, path: str, arguments: Arguments) -> None:
    console.line(f"         Database: {path}")
    console.line()
    try:
        with open_headed(env, path) as file:
            _print(console, header_lines(file, both="v" in arguments))
    except HeaderDamaged as error:
        console.line()
        console.line("WARNING: primary header has a checksum error.")
        console.line("WARNING: shadow header has a checksum error.")
        raise DataDamaged(str(error)) from error
    console.line()


def _checkpoint(console: Console, env: Env, path: str, _: Arguments) -> None:
    console.line(f"      Checkpoint file: {path}")
    console.line()
    _print(console, checkpoint_lines(CheckpointFile.read(env, path).checkpoint))
    console.line()


def _log(console: Console, env: Env, path: str, arguments: Arguments) -> None:
    detail = Detail.NONE
    if "v" in arguments:
        value = arguments.value("v")
        if value not in _DETAILS:
            raise Usage(f"Usage Error: Invalid option '/v{value}'.")
        detail = _DETAILS[value]
    console.line()
    several = is_base_name(path) and not env.exists(path)
    if "x" in arguments and not several:  # the original mends single logs, too
        mend_log(env, path)
    if several:
        _log_set(console, env, path, arguments, detail)
    elif "c" in arguments:
        dump_csv(console, env, path, arguments.value("c"))
    else:
        dump_one(console, env, path, detail, summary="s" in arguments)
    console.line()


def _log_set(console: Console, env: Env, base: str, arguments: Arguments, detail: Detail) -> None:
    bounds = parse_range(arguments.value("r")) if "r" in arguments else None
    if "c" not in arguments:
        LogSet(console, env, base, detail).verify(bounds)
        return
    target = arguments.value("c")
    with CsvFile(env, target) as csv:
        console.line(f"      Csv file: {target}")
        LogSet(console, env, base, csv=csv).verify(bounds)


def _page(console: Console, env: Env, path: str, arguments: Arguments) -> None:
    pgno = page_number(arguments.value("p"))
    console.line(f"      Database: {path}")
    console.line(f"          Page: {pgno}")
    console.line()
    _print(console, page_lines(env, path, pgno, with_bytes="v" in arguments))
    console.line()


def _node(console: Console, env: Env, path: str, arguments: Arguments) -> None:
    is_tag = "i" in arguments
    text = arguments.value("i" if is_tag else "n")
    found = _NODE.match(text.strip("[]"))
    if found is None:
        raise Usage(f"Usage Error: Invalid node specification '{text}'.")
    pgno, number = map(int, found.groups())
    console.line(f"      Database: {path}")
    console.line(f"          {' Tag' if is_tag else 'Node'}: {pgno}:{number}")
    console.line()
    _print(console, node_lines(env, path, pgno, number, is_tag=is_tag))
    console.line()


def _flush_map(console: Console, env: Env, path: str, arguments: Arguments) -> None:
    number = page_number(arguments.value("p")) if "p" in arguments else HEADER
    console.line(f"Flush map file: {path}")
    if number != HEADER:
        console.line(f"          Page: {number}")
    console.line()
    _print(console, flush_map_lines(env, path, number, with_states="v" in arguments))
    console.line()


def _meta_data(console: Console, env: Env, path: str, arguments: Arguments) -> None:
    console.line(f"         Database: {path}")
    console.line()
    lines = table_lines if "v" in arguments else tree_lines
    _print(console, lines(env, path, arguments.value("t")))


def _space(console: Console, env: Env, path: str, arguments: Arguments) -> None:
    console.line(f"         Database: {path}")
    console.line()
    _print(console, space_lines(env, path, arguments.value("t")))


_Dumper = Callable[[Console, Env, str, Arguments], None]
_DUMPERS: dict[str, _Dumper] = {
    "h": _header,
    "k": _checkpoint,
    "l": _log,
    "m": _meta_data,
    "p": _flush_map,
    "s": _space,
}
MODIFIERS = "".join(_DUMPERS)
