"""``eseutil /k``: the checksums of a database, checkpoint, flush map, log or set of logs."""

from __future__ import annotations

from hotsplit.classic.checksum import Checksums, run_checksums
from hotsplit.classic.console import Console
from hotsplit.classic.logmode import LogSet, is_base_name, verify_one
from hotsplit.classic.switches import Arguments, Takes
from hotsplit.errors import DataDamaged, HeaderDamaged, HotsplitError, Jet, NotEseFile, PageDamaged
from hotsplit.ese.check.scan import expected_kind
from hotsplit.ese.files.env import Env
from hotsplit.ese.files.flushmapfile import FlushMapFile
from hotsplit.ese.files.identify import FileKind, identify
from hotsplit.ese.format.flushmap import PAGE_SIZE, FlushMapPage

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
        console.line()
        LogSet(console, env, path).verify()
        _space(console)
        return
    kind = _kind(console, env, path)
    console.line("Initiating CHECKSUM mode...")
    if kind == FileKind.LOG:
        console.line(f"      Log File: {path}")
        console.line()
        verify_one(console, env, path)
        _space(console)
        return
    console.line(f"{_LABELS[kind]}: {path}")
    if kind == FileKind.FLUSH_MAP:
        _flush_map(console, env, path)
    elif "e" not in arguments:
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


def _flush_map(console: Console, env: Env, path: str) -> None:
    """Verify the pages of a flush map, as the original does without a ruler."""
    with FlushMapFile.open(env, path) as file:
        pages = range(1, file.page_count + 1)
        damaged = {
            n - 1 for n in pages if not _is_sound(file.file.pread(PAGE_SIZE, n * PAGE_SIZE), n)
        }
    _space(console)
    text = "."  # one for the header and ten pages each, wherever complaints stand
    for page in pages:
        if page - 1 in damaged:
            what = f"page {page - 1} (0x{page - 1:08x}) failed verification with error code"
            text += f"ERROR: {what} {int(Jet.errReadVerifyFailure)}.\n"
        text += "" if page % 10 else "."
    for line in text.split("\n"):
        console.line(line)
    console.line(f"{len(pages) + 1} page(s) verified.")
    console.line(f"{len(damaged)} page(s) failed verification.")
    console.line("0 page(s) passed verification with a warning.")
    console.line()
    if damaged:
        _space(console)
        raise PageDamaged("The flush map is damaged", jet=Jet.errReadVerifyFailure, file=path)


def _is_sound(data: bytes, page: int) -> bool:
    """Say whether a page of a flush map, counted with its header, is empty or has its checksum."""
    return not any(data) or FlushMapPage.unpack(data, page - 1) is not None


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
