"""Verify a database: both headers, every page, the backup trailer, the flush map beside it.

Source: format specification 1.1 to 1.4, 2.3, 11.2, 11.3. Counts are those of the engine's own
checksum tool (``eseutil /k``), which sees every page slot of the file.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from hotsplit.errors import BackupNeedsRestore, HotsplitError, Jet
from hotsplit.ese.check.owned import LEAST_PAGES, last_owned_page
from hotsplit.ese.check.pages import PageCheck
from hotsplit.ese.check.result import OnRead, ScanResult
from hotsplit.ese.files.database import HEADER_BYTES, DatabaseFile
from hotsplit.ese.files.env import Env
from hotsplit.ese.files.flushmapfile import FlushMapFile, flush_map_path
from hotsplit.ese.files.identify import FileKind
from hotsplit.ese.files.streamfile import find_pair
from hotsplit.ese.format.checksum import PageRun, header_checksum
from hotsplit.ese.format.header import DbState
from hotsplit.ese.format.patch import read_trailer
from hotsplit.report import Reporter, Severity

BATCH = 512 * 1024
"""Bytes of one read: small enough to be summed while still in the processor's cache."""


def scan_database(
    env: Env, path: str, reporter: Reporter, on_read: OnRead | None = None
) -> ScanResult:
    """Verify the checksums of a whole database file.

    Raises HeaderDamaged when neither header copy is usable, NotEseFile, UnsupportedVersion and what
    the Env raises; all other damage is reported and counted.
    """
    result = ScanResult(path, FileKind.DATABASE, reporter)
    begun = env.now()
    with DatabaseFile.open(env, path) as file, _flush_map(env, file, result) as flush_map:
        size, start = file.file.size(), file.file.pread(HEADER_BYTES, 0)
        _check_headers(file, start, result)
        pair = find_pair(env, path, file.header)
        found = None if pair is None else pair.finding(path)
        if found is not None:
            reporter.report(found)
        _check_pages(file, result, flush_map, on_read)
        _check_end(file, size, result)
        result.changed = (size, start) != (file.file.size(), file.file.pread(HEADER_BYTES, 0))
    result.seconds = (env.now() - begun).total_seconds()
    return result


def _check_headers(file: DatabaseFile, start: bytes, result: ScanResult) -> None:
    """Judge the two copies, which the engine calls pages -1 and 0."""
    size = file.page_size
    copies = [start[:size], start[size : 2 * size]]
    good = [
        len(c) == size and any(c) and int.from_bytes(c[:4], "little") == header_checksum(c)
        for c in copies
    ]
    for number, (copy, sound) in enumerate(zip(copies, good, strict=True), start=-1):
        result.pages += 1
        result.bytes += size
        if not sound:
            result.uninitialized += not any(copy)
            result.bad += any(copy)
            result.report(
                "header-checksum",
                Severity.ERROR,
                "This copy of the header is unusable; the other one is used",
                f"page {number} (header)",
                Jet.errReadVerifyFailure,
            )
    if all(good) and copies[0] != copies[1]:
        message = "The two copies differ, as after a crash between two writes; the first one counts"
        result.report("header-copies", Severity.NOTE, message, "page 0 (header)")


def _check_pages(
    file: DatabaseFile, result: ScanResult, flush_map: FlushMapFile | None, on_read: OnRead | None
) -> None:
    last = file.page_count
    owned = last_owned_page(file)
    check = PageCheck(result, file.page_size, last, last if owned is None else owned)
    batch = BATCH // file.page_size
    for first in range(1, last + 1, batch):
        count = min(batch, last + 1 - first)
        run, size = _check_batch(file, check, first, count)
        result.bytes += size
        if flush_map is not None:
            _compare(run.flush_types, flush_map, file, first, result)
        if on_read is not None:
            on_read(size)


def _check_batch(
    file: DatabaseFile, check: PageCheck, first: int, count: int
) -> tuple[PageRun, int]:
    """Read and judge adjacent pages; return what was found and the number of bytes.

    The buffer is gone before the next one is read, which then takes its place in the cache.
    """
    data = file.read_raw(first, count)
    data = data[: len(data) - len(data) % file.page_size]
    return check.take(data, first), len(data)


def _check_end(file: DatabaseFile, size: int, result: ScanResult) -> None:
    """Check what is no numbered page: the trailer of a backup copy, a part of a page."""
    if file.has_trailer:
        result.pages += 1
        result.bytes += file.page_size
        try:
            read_trailer(file.read_raw(file.page_count + 1), file.header)
        except BackupNeedsRestore as error:
            result.bad += 1
            result.report(
                "backup-trailer", Severity.ERROR, error.message, error.position, error.jet
            )
    rest = size % file.page_size
    if rest:
        message = f"The file ends with {rest} bytes of a page: it was cut short"
        where = f"offset {size - rest}"
        result.report("file-size", Severity.ERROR, message, where, Jet.errFileIOBeyondEOF)
    _check_length(file, result)


def _check_length(file: DatabaseFile, result: ScanResult) -> None:
    """Report pages that the database owns but the file does not have.

    A database that crashed while it shrank may own more for now; replay puts that right.
    """
    last = file.page_count
    owned = last_owned_page(file) if last >= LEAST_PAGES else LEAST_PAGES
    if owned is None or owned <= last:
        return
    shrinking = file.header.state != DbState.CLEAN_SHUTDOWN and file.header.shrink_count
    result.report(
        "file-truncated",
        Severity.WARNING if shrinking else Severity.ERROR,
        f"The database has pages up to {owned}, the file ends with page {last}",
        f"page {last + 1}",
        Jet.errFileIOBeyondEOF,
    )


@contextlib.contextmanager
def _flush_map(env: Env, file: DatabaseFile, result: ScanResult) -> Iterator[FlushMapFile | None]:
    """Yield the flush map beside the database if it is the one of the file as it lies."""
    path = flush_map_path(file.path)
    if path == file.path or not env.exists(path):
        yield None
        return
    try:
        flush_map = FlushMapFile.open(env, path)
    except HotsplitError as error:
        message = f"The flush map beside the database cannot be used: {error.message}"
        result.report("flush-map", Severity.NOTE, message, path)
        yield None
        return
    with flush_map:
        yield flush_map if flush_map.header.belongs_to(file.header) else None


def _compare(
    found: bytearray, flush_map: FlushMapFile, file: DatabaseFile, first: int, result: ScanResult
) -> None:
    """Compare pages with the map. Only a map closed together with the database proves a lost write.

    While the engine runs, the map on disk lags behind the pages.
    """
    known = flush_map.flush_types(first, len(found))
    if found == known:
        return
    proven = flush_map.header.is_clean and file.header.state == DbState.CLEAN_SHUTDOWN
    for pgno, (page, expected) in enumerate(zip(found, known, strict=True), start=first):
        if not page or not expected or page == expected:
            continue
        if not proven:
            result.flush_suspects.append(pgno)
            continue
        result.report(
            "lost-flush",
            Severity.ERROR,
            f"The page is not as last written: flush type {page}, the flush map says {expected}",
            f"page {pgno}",
            Jet.errReadLostFlushVerifyFailure,
        )
