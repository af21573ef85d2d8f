"""Verify the checksums of any ESE file.

Source: format specification 1.1, 11; log specification 3, 5.
"""

from __future__ import annotations

import os.path
from collections.abc import Callable

from hotsplit.errors import HeaderDamaged, Jet, NotEseFile
from hotsplit.ese.check.databasescan import scan_database
from hotsplit.ese.check.pages import PageCheck
from hotsplit.ese.check.result import OnRead, ScanResult
from hotsplit.ese.files.checkpointfile import CheckpointFile
from hotsplit.ese.files.env import Env
from hotsplit.ese.files.flushmapfile import FlushMapFile
from hotsplit.ese.files.identify import FileKind, identify
from hotsplit.ese.files.logfile import LogFile
from hotsplit.ese.files.streamfile import HEADER_PAGES, StreamFile, find_database
from hotsplit.ese.format import checkpoint, flushmap
from hotsplit.ese.format.names import NameKind, parse_name
from hotsplit.report import Reporter, Severity

__all__ = [
    "ScanResult",
    "expected_kind",
    "scan_checkpoint",
    "scan_database",
    "scan_file",
    "scan_flush_map",
    "scan_log",
    "scan_stream",
]

_BY_ENDING = {
    ".edb": FileKind.DATABASE,
    ".dit": FileKind.DATABASE,
    ".sdb": FileKind.DATABASE,
    ".mdb": FileKind.DATABASE,
    ".chk": FileKind.CHECKPOINT,
    ".jfm": FileKind.FLUSH_MAP,
    ".stm": FileKind.STREAMING,
}


def expected_kind(path: str) -> FileKind:
    """Return what a file should be by its name: UNKNOWN if the name says nothing."""
    name = os.path.basename(path)  # noqa: PTH119 - paths are plain strings
    parsed = parse_name(name)
    if parsed is not None and parsed.kind in (NameKind.CURRENT, NameKind.ARCHIVE):
        return FileKind.LOG
    if parsed is not None and parsed.kind in (NameKind.TMP, NameKind.RESERVE):
        return FileKind.RESERVE_LOG
    return _BY_ENDING.get(os.path.splitext(name)[1].lower(), FileKind.UNKNOWN)  # noqa: PTH122


def scan_file(env: Env, path: str, reporter: Reporter, on_read: OnRead | None = None) -> ScanResult:
    """Verify a file, whatever its kind; a name counts only where the content says nothing.

    Raises NotEseFile, the errors of the functions below and what the Env raises.
    """
    kind = identify(env, path)
    if kind in (FileKind.UNKNOWN, FileKind.EMPTY, FileKind.RESERVE_LOG):
        jet = Jet.errFileIOBeyondEOF if kind == FileKind.EMPTY else None
        kind = expected_kind(path)
        if kind == FileKind.UNKNOWN:
            raise NotEseFile("The file is not an ESE file", file=path, jet=jet)
    scanner = _SCANNERS.get(kind)
    if scanner is None:
        result = ScanResult(path, kind, reporter)
        if kind != FileKind.RESERVE_LOG:
            message = f"A {kind} has no checksums that can be verified"
            result.report("not-verified", Severity.NOTE, message, "")
        return result
    return scanner(env, path, reporter, on_read)


def scan_log(env: Env, path: str, reporter: Reporter, on_read: OnRead | None = None) -> ScanResult:
    """Verify a log file of either format. `pages` are its sectors.

    Raises what `LogFile.open` raises: a log without a sound header is not read.
    """
    result = ScanResult(path, FileKind.LOG, reporter)
    begun = env.now()
    with LogFile.open(env, path) as log:
        scan = log.scan()
        header = log.header
    result.bytes = header.file_size
    result.pages = header.file_sectors
    for place in scan.corrected:
        result.correctable += 1
        wrong = "The segment is bad, its shadow copy good"
        if place.bit is not None:
            wrong = f"Bit {place.bit} wrong"
        message = f"{wrong}; readers correct this in memory"
        result.report("log-correctable", Severity.WARNING, message, str(place.position))
    if scan.damage is None:
        used = scan.end.sector + (scan.end.byte > 0)
        result.uninitialized = max(0, header.file_sectors - used)
    else:
        result.bad = 1
        where = str(scan.damage.position)
        message = f"The log cannot be read on from here ({scan.damage.reason})"
        if scan.damage.torn:
            message += "; nothing readable follows, as after a write that was cut short"
        result.report("log-data", Severity.ERROR, message, where, scan.damage.jet)
    result.seconds = (env.now() - begun).total_seconds()
    if on_read is not None:
        on_read(result.bytes)
    return result


def scan_checkpoint(
    env: Env, path: str, reporter: Reporter, on_read: OnRead | None = None
) -> ScanResult:
    """Verify both copies of a checkpoint. Raises CheckpointUnusable when both are bad."""
    result = ScanResult(path, FileKind.CHECKPOINT, reporter)
    begun = env.now()
    found = CheckpointFile.read(env, path)
    result.pages, result.bytes = 2, checkpoint.FILE_SIZE
    for finding in found.findings:
        result.bad += finding.jet is not None
        reporter.report(finding)
    result.seconds = (env.now() - begun).total_seconds()
    if on_read is not None:
        on_read(result.bytes)
    return result


def scan_flush_map(
    env: Env, path: str, reporter: Reporter, on_read: OnRead | None = None
) -> ScanResult:
    """Verify a flush map. Raises HeaderDamaged and UnsupportedVersion."""
    result = ScanResult(path, FileKind.FLUSH_MAP, reporter)
    begun = env.now()
    size = flushmap.PAGE_SIZE
    with FlushMapFile.open(env, path) as file:
        count = file.file.size() // size - 1
        check = PageCheck(result, size, count, count)
        result.pages, result.bytes = 1, size
        for number in range(count):
            data = file.file.pread(size, (number + 1) * size)
            if len(data) < size:
                raise HeaderDamaged("The flush map shrank while it was read", file=path)
            check.take(data, number)
            result.bytes += size
            if on_read is not None:
                on_read(size)
    result.highest_dbtime = result.highest_page = 0
    result.seconds = (env.now() - begun).total_seconds()
    return result


def scan_stream(
    env: Env, path: str, reporter: Reporter, on_read: OnRead | None = None
) -> ScanResult:
    """Verify what can be verified of a streaming file: its header, its size, its database.

    Raises HeaderDamaged when both copies of the header are bad.
    """
    result = ScanResult(path, FileKind.STREAMING, reporter)
    begun = env.now()
    with StreamFile.open(env, path) as file:
        size = file.header.page_size
        result.pages, result.bytes = HEADER_PAGES, HEADER_PAGES * size
        if not file.choice.other_is_good:
            result.bad += 1
            other = "shadow" if file.choice.copy == "primary" else "primary"
            message = f"The {other} copy of the header is unusable; the other one is used"
            jet = Jet.errReadVerifyFailure
            result.report("header-checksum", Severity.ERROR, message, "header", jet)
        if file.rest:
            message = f"The file ends with {file.rest} bytes of a page: it was cut short"
            result.report("file-size", Severity.ERROR, message, "", Jet.errFileIOBeyondEOF)
        _, problem = find_database(env, file)
        if problem:
            jet = Jet.errDatabaseStreamingFileMismatch
            result.report("streaming-file", Severity.WARNING, problem, "", jet)
        message = (
            f"{file.page_count} data pages were not verified: they have no checksums of their own; "
            "those are in the database, in a form that is not published"
        )
        result.report("not-verified", Severity.NOTE, message, "")
    result.seconds = (env.now() - begun).total_seconds()
    if on_read is not None:
        on_read(result.bytes)
    return result


_Scanner = Callable[[Env, str, Reporter, OnRead | None], ScanResult]
_SCANNERS: dict[FileKind, _Scanner] = {
    FileKind.DATABASE: scan_database,
    FileKind.LOG: scan_log,
    FileKind.CHECKPOINT: scan_checkpoint,
    FileKind.FLUSH_MAP: scan_flush_map,
    FileKind.STREAMING: scan_stream,
}
