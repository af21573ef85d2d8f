"""``eseutil /k``: the checksums of a database, checkpoint, flush map, log or set of logs."""

from __future__ import annotations

from hotsplit.classic.checksum import Checksums, run_checksums
from hotsplit.classic.console import Console
from hotsplit.classic.logmode import LogSet, is_base_name, verify_one
from hotsplit.classic.switches import Arguments, Takes
from hotsplit.errors import DataDamaged, HeaderDamaged, HotsplitError, Jet, NotEseFile
from hotsplit.ese.check.scan import expected_kind
from hotsplit.ese.files.env import Env
from hotsplit.ese.files.identify import FileKind, identify

SWITCHES = {"t": Takes.PATH, "e": Takes.NOTHING, "i": Takes.NOTHING}

_CORRUPTED = "Non database file or corrupted db"
_LABELS = {
    FileKind.CHECKPOINT: " Checkpoint File",
    FileKind.FLUSH_MAP: "      Flush Map File",
    FileKind.DATABASE: "        Database",
}


def run(console: Console, env: Env, arguments: Arguments) -> None:
    """Verify what is named. Raises HotsplitError when anything is damaged."""
    path = arguments.only("source database")
    if is_base_name(path) and not env.exists(path):
        console.line("Initiating CHECKSUM mode...")
        LogSet(console, env, path).verify()
        _space(console)
        return
    kind = _kind(console, env, path)
    console.line("Initiating CHECKSUM mode...")
    if kind == FileKind.LOG:
        console.line(f"      Log File: {path}")
        verify_one(console, env, path)
        _space(console)
        return
    console.line(f"{_LABELS[kind]}: {path}")
    if "e" not in arguments:
        _checksum(console, env, path)
    _space(console)


def _kind(console: Console, env: Env, path: str) -> FileKind:
    """Return what to verify; a name counts only where the content says nothing."""
    kind = identify(env, path)
    if kind not in (*_LABELS, FileKind.LOG):
        kind = expected_kind(path)
    if kind in (*_LABELS, FileKind.LOG):
        return kind
    error = NotEseFile("The file is not an ESE file", file=path, jet=Jet.errDatabaseCorrupted)
    refuse(console, path, error)
    raise error


def refuse(console: Console, path: str, error: HotsplitError) -> None:
    """Say that a database cannot be opened, as the original does."""
    number = int(error.jet)
    console.line(f"Error: Access to source database '{path}' failed with Jet error {number}.")
    console.line()


def _checksum(console: Console, env: Env, path: str) -> None:
    _space(console)
    console.line(f"File: {path}")
    console.line()
    try:
        checksums = run_checksums(console, env, path)
    except HeaderDamaged as error:
        raise DataDamaged(_CORRUPTED, file=path) from error
    for line in counter_lines(checksums):
        console.line(line)
    if not checksums.is_good:
        _space(console)
        raise DataDamaged(_CORRUPTED)


def counter_lines(checksums: Checksums) -> list[str]:
    """Return all counters and the times of the reads."""
    result = checksums.result
    page = result.bytes // result.pages if result.pages else 1
    return [
        "",
        "",
        f"{result.pages} pages seen",
        f"{result.bad} bad checksums",
        f"{result.correctable} correctable checksums",
        f"{result.uninitialized} uninitialized pages",
        f"{result.wrong_page_number} wrong page numbers",
        f"0x{result.highest_dbtime:x} highest dbtime (pgno 0x{result.highest_page:x})",
        "",
        *checksums.reads.lines(result.pages * page >> 20),
        "",
    ]


def _space(console: Console) -> None:
    console.line()
    console.line()
