"""``eseutil /ml`` and the logs of ``/k``: one log file, or all of a stream."""

from __future__ import annotations

import contextlib
import os.path
import re
from dataclasses import dataclass

from hotsplit.classic.console import Console, Usage
from hotsplit.classic.logcsv import CsvFile
from hotsplit.classic.logdump import damage_text, dump_log
from hotsplit.classic.logrecords import Detail
from hotsplit.errors import FileMissing, HotsplitError, Jet, LogDamaged, LogsMissing
from hotsplit.ese.files.env import Env
from hotsplit.ese.files.logfile import LogFile
from hotsplit.ese.files.logsequence import LogInfo, LogSequence, checksum_link
from hotsplit.ese.format.logheader import LogHeader

_BASE = re.compile(r"[^./]{3}\Z")
_RANGE = re.compile(r"([0-9a-f]+)(?:-([0-9a-f]+))?\Z", re.I)
_LEAD, _DEEP = " " * 6, " " * 16
_LAST = 0x7FFFFFFF

Problem = tuple[str, HotsplitError]
"""What is printed, and the error that it is."""


def is_base_name(text: str) -> bool:
    """Tell the base name of a stream (E00), which has no extension, from a file."""
    return _BASE.match(os.path.basename(text)) is not None  # noqa: PTH119


def base_name(path: str) -> str:
    """Return the base name of the stream that a log file belongs to."""
    return os.path.basename(path)[:3]  # noqa: PTH119 - paths are plain strings


def parse_range(text: str) -> tuple[int, int]:
    """Read a range of generations (``/r``). Raises Usage."""
    found = _RANGE.match(text)
    low, high = (int(part or "0", 16) for part in found.groups()) if found else (-1, -1)
    if found is None or 0 < high < low:
        raise Usage("Usage Error: Invalid log generation range specification.")
    return max(1, low), high or _LAST


def _unreadable(error: HotsplitError) -> str:
    return f"ERROR: Cannot read log file header. Error {int(error.jet)}."


def dump_one(
    console: Console, env: Env, path: str, detail: Detail, *, summary: bool = False
) -> None:
    """Dump one log file. Raises the error of a damaged one, behind the dump."""
    console.line(f"{_LEAD}Base name: {base_name(path)}")
    console.line(f"{_LEAD}Log file: {path}")
    try:
        LogFile.open(env, path).close()
    except HotsplitError as error:
        console.line(f"{_DEEP}{_unreadable(error)}")
        raise
    dump_log(console, env, path, base_name(path), detail, summary=summary)
    console.line()


def dump_csv(console: Console, env: Env, path: str, target: str) -> None:
    """Write the records of a log to a file as values. Raises the error of a damaged log."""
    console.line(f"{_LEAD}Base name: {base_name(path)}")
    console.line(f"{_LEAD}Log file: {path}")
    LogFile.open(env, path).close()  # before a file is made
    with CsvFile(env, target) as csv:
        console.line(f"{_LEAD}Csv file: {target}")
        csv.add(env, path)
    console.line()


def verify_one(console: Console, env: Env, path: str) -> None:
    """Verify one log file and say so. Raises the error of a damaged one."""
    with LogFile.open(env, path) as log:
        if log.damage is not None:
            console.line(_LEAD + damage_text(log.scan()))
        log.check()
    console.line(f"Integrity check passed for log file: {path}")


class LogSet:
    """All logs of a stream, verified or dumped in order; the first error is the result.

    base: base name of the stream, with its folder if that is not the current one. csv: takes the
    records of all logs.
    """

    def __init__(
        self,
        console: Console,
        env: Env,
        base: str,
        detail: Detail = Detail.NONE,
        csv: CsvFile | None = None,
    ) -> None:
        folder, self._base = os.path.split(base)
        self._console, self._env, self._detail = console, env, detail
        self._stream = _find(env, folder or ".", self._base)
        self._before: _Link | None = None
        self._error: HotsplitError | None = None
        self._csv = csv

    def verify(self, bounds: tuple[int, int] | None = None) -> None:
        """Go through the generations in `bounds`. Raises the first error, behind all lines."""
        console, stream = self._console, self._stream
        lead = _LEAD if self._detail else _LEAD[1:]
        low, high = bounds or (1, _LAST)
        console.line("Verifying log files...")
        console.line(f"{lead}Base name: {self._base}")
        if bounds is not None:
            console.line(f"{lead}Log generation range: 0x{low:X}-0x{high:X}")
        if not self._detail:
            console.line()
        gaps = dict(stream.gaps)
        for generation in sorted(number for number in stream.logs if low <= number <= high):
            self._verify(stream.logs[generation], generation)
            if generation + 1 in gaps and gaps[generation + 1] < high:
                self._report_gap(generation + 1, gaps[generation + 1])
        if self._error is not None:
            raise self._error
        console.line()
        console.line("No damaged log files were found.")

    def _verify(self, info: LogInfo, generation: int) -> None:
        """Print the line of one log, or its dump, and what is wrong with it."""
        console = self._console
        start = f"{_LEAD}Log file: {info.path}"
        try:
            problem = self._problem(info, generation)
        except HotsplitError as error:
            problem = _unreadable(error), error
        else:
            self._write_csv(info)
        if self._detail:
            console.line()
            console.line(start)
        elif problem is None:
            console.line(f"{start} - OK")
        else:
            console.line(start)
        if problem is not None:
            console.line(_DEEP + problem[0])
            self._error = self._error or problem[1]
        elif self._detail:
            dump_log(console, self._env, info.path, self._base, self._detail)
            console.line()

    def _write_csv(self, info: LogInfo) -> None:
        if self._csv is not None:
            with contextlib.suppress(LogDamaged):  # is told of all the same
                self._csv.add(self._env, info.path)

    def _problem(self, info: LogInfo, generation: int) -> Problem | None:
        """Return what is wrong with a log, or between it and the one before."""
        before, self._before = self._before, None
        with LogFile.open(self._env, info.path) as log:
            header, scan = log.header, log.scan()
        problem = None if before is None else before.problem(info, header)
        if problem is None and scan.damage is not None:
            error = LogDamaged("The log is damaged", jet=scan.damage.jet, file=info.path)
            problem = damage_text(scan), error
        if problem is None and header.generation != generation:
            problem = _wrong_name(info, header.generation, generation)
        if problem is None:
            self._before = _Link(header, scan.checksum)
        return problem

    def _report_gap(self, first: int, last: int) -> None:
        stream = self._stream
        stem = len(stream.base)
        numbers = [stream.name_of(n)[stem:].partition(".")[0] for n in (first, last)]
        text = f"Missing log file: {stream.name_of(first)}"
        if first != last:
            inside = " - ".join(numbers)
            text = f"Missing log files: {stream.base}{{{inside}}}.{stream.extension}"
        self._console.line(_LEAD + text)
        self._before = None
        self._error = self._error or LogsMissing(text, jet=Jet.errMissingLogFile)


@dataclass(frozen=True)
class _Link:
    """What the next log must continue."""

    header: LogHeader
    checksum: int

    def problem(self, info: LogInfo, header: LogHeader) -> Problem | None:
        """Return why a log does not follow this one, or None."""
        start = "ERROR: Invalid log sequence. Previous generation"
        found, expected = header.previous_created, self.header.created
        if found != expected:
            text = f"{start} time is [{found}], but expected [{expected}]."
            return text, _does_not_follow(info, Jet.errInvalidLogSequence)
        if checksum_link(self.checksum, info) is not None:
            sums = f"0x{header.previous_checksum:016x}, but expected 0x{self.checksum:016x}"
            text = f"{start} accumulated segment checksum is {sums}."
            return text, _does_not_follow(info, Jet.errLogSequenceChecksumMismatch)
        return None


def _does_not_follow(info: LogInfo, jet: Jet) -> HotsplitError:
    return LogDamaged("The log does not follow the one before it", jet=jet, file=info.path)


def _wrong_name(info: LogInfo, found: int, expected: int) -> Problem:
    text = (
        f"ERROR: Mismatched log generation {found} (0x{found:X}) with log file name. "
        f"Expected generation {expected} (0x{expected:X})."
    )
    jet = Jet.errLogGenerationMismatch
    return text, LogDamaged("The log has the wrong name", jet=jet, file=info.path)


def _find(env: Env, folder: str, base: str) -> LogSequence:
    try:
        return LogSequence.find(env, [folder], base)
    except LogsMissing as error:
        message = f"There are no logs of {base} in {folder}"
        raise FileMissing(message, jet=Jet.errFileNotFound) from error
