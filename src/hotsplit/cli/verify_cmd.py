"""``hotsplit verify``: check every page and segment of ESE files."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import click

from hotsplit.cli.output import Output, Progress
from hotsplit.errors import (
    CheckpointUnusable,
    FileTruncated,
    HeaderDamaged,
    HotsplitError,
    LogDamaged,
    NotEseFile,
    SourceChanged,
)
from hotsplit.ese.check.scan import ScanResult, expected_kind, scan_file
from hotsplit.ese.files.env import Env, OsEnv
from hotsplit.ese.files.identify import FileKind, identify
from hotsplit.report import Finding, Reporter, Severity

CORRECTABLE, DAMAGED = 3, 4
"""Exit statuses beside 0 and those of the error classes."""

_DAMAGE = (HeaderDamaged, LogDamaged, CheckpointUnusable, FileTruncated)
_COUNTS = ("pages", "bad", "correctable", "uninitialized", "wrong_page_number")
_SHOWN = 20
_COLOURS = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.NOTE: "cyan"}


class Throttle:
    """Keeps the average speed of reading at or below a limit."""

    def __init__(self, megabytes_per_second: float | None) -> None:
        self._rate = megabytes_per_second and megabytes_per_second * 1e6
        self._begun = time.monotonic()
        self._read = 0

    def __call__(self, amount: int) -> None:
        """Take note of bytes read; wait if that was too fast."""
        self._read += amount
        if self._rate:
            ahead = self._read / self._rate - (time.monotonic() - self._begun)
            if ahead > 0:
                time.sleep(ahead)


@dataclass
class _Checked:
    """The outcome for one file."""

    result: ScanResult
    error: HotsplitError | None = None

    @property
    def status(self) -> int:
        if self.error is not None and not isinstance(self.error, _DAMAGE):
            return self.error.exit_status
        if self.error is not None or self.result.is_damaged:
            return DAMAGED
        return CORRECTABLE if self.result.correctable else 0

    def as_json(self) -> dict[str, Any]:
        result = self.result
        return {
            "file": result.path,
            "kind": str(result.kind),
            **{name: getattr(result, name) for name in _COUNTS},
            "highest_dbtime": result.highest_dbtime,
            "highest_dbtime_page": result.highest_page,
            "findings": [f.as_json() for f in result.reporter.findings],
            "bytes": result.bytes,
            "seconds": round(result.seconds, 6),
            "mb_per_second": round(result.megabytes_per_second, 1),
            "error": None if self.error is None else self.error.as_json(),
        }


@dataclass
class _Job:
    """Files to verify, and the names in folders that are left out since they are no ESE files."""

    paths: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


@click.command("verify")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...", type=click.Path())
@click.option(
    "--throttle",
    type=click.FloatRange(min=0, min_open=True),
    metavar="MB/s",
    help="Read no faster than this, to spare a disk that is in use.",
)
@click.option("--json", "json", is_flag=True, help="Print one JSON object.")
def command(paths: tuple[str, ...], throttle: float | None, json: bool) -> int:
    """Check the checksum of every page of databases, logs, checkpoints and flush maps.

    PATH is a file, or a folder whose ESE files are all checked. Files are only read. The counts are
    those of eseutil /k: "pages" are all page slots of the file, headers included; pages with a
    wrong page number count as bad, too. Garbage in pages that the database does not own is only a
    warning. A flush map beside a cleanly closed database shows writes that were lost.

    \b
    Exit status:
      0  nothing is wrong
      3  single wrong bits only, which every reader corrects
      4  something is damaged
    Another status means that a file could not be checked, or changed meanwhile.
    """
    out, env = Output(json=json), OsEnv()
    job = _collect(env, paths)
    slow_down = Throttle(throttle)
    total = sum(_size(env, path) for path in job.paths)
    with out.progress("Verifying", total, unit="B") as progress:
        checked = [_check(env, path, progress, slow_down) for path in job.paths]
    _print(out, checked, job.skipped)
    out.emit(_summary(checked, job.skipped))
    return _status(checked)


def _collect(env: Env, paths: tuple[str, ...]) -> _Job:
    job = _Job()
    for path in paths:
        if not env.is_dir(path):
            job.paths.append(path)
            continue
        inside = list(_files(env, path))
        chosen = [name for name in inside if _is_wanted(env, name)]
        job.paths += chosen
        job.skipped += sorted(set(inside) - set(chosen))
        if not chosen:
            raise NotEseFile("There is no ESE file in this folder", file=path)
    return job


def _files(env: Env, folder: str) -> Iterator[str]:
    for name in env.listdir(folder):
        path = os.path.join(folder, name)  # noqa: PTH118 - paths are plain strings
        if not env.is_dir(path):
            yield path


def _is_wanted(env: Env, path: str) -> bool:
    """True for ESE files, and for files that should be by their name or that cannot be read."""
    if expected_kind(path) != FileKind.UNKNOWN:
        return True
    try:
        return identify(env, path) not in (FileKind.UNKNOWN, FileKind.EMPTY, FileKind.RESERVE_LOG)
    except HotsplitError:
        return True


def _size(env: Env, path: str) -> int:
    try:
        file = env.open(path, "read")
    except HotsplitError:
        return 0
    try:
        return file.size()
    finally:
        file.close()


def _check(env: Env, path: str, progress: Progress, slow_down: Throttle) -> _Checked:
    reporter = Reporter()

    def on_read(amount: int) -> None:
        progress.advance(amount)
        slow_down(amount)

    try:
        result = scan_file(env, path, reporter, on_read)
    except HotsplitError as error:
        result = ScanResult(path, expected_kind(path), reporter)
        if isinstance(error, _DAMAGE):
            result.bad = 1
        error.at(file=path)
        rule = "damaged" if isinstance(error, _DAMAGE) else "not-checked"
        reporter.report(
            Finding(rule, Severity.ERROR, error.message, path, error.position, error.jet)
        )
        return _Checked(result, error)
    if result.changed:
        message = "The file changed while it was read: what is reported may not be true of it"
        return _Checked(result, SourceChanged(message, file=path))
    return _Checked(result)


def _status(checked: list[_Checked]) -> int:
    statuses = [one.status for one in checked]
    failures = [status for status in statuses if status not in (0, CORRECTABLE, DAMAGED)]
    return failures[0] if failures else max(statuses)


def _summary(checked: list[_Checked], skipped: list[str]) -> dict[str, Any]:
    files = [one.as_json() for one in checked]
    seconds = sum(one.result.seconds for one in checked)
    size = sum(one.result.bytes for one in checked)
    error = next((one.error for one in checked if one.error is not None), None)
    return {
        **{name: sum(entry[name] for entry in files) for name in _COUNTS},
        "findings": [finding for entry in files for finding in entry["findings"]],
        "bytes": size,
        "seconds": round(seconds, 6),
        "mb_per_second": round(size / 1e6 / seconds, 1) if seconds else 0.0,
        "files": files,
        "skipped": skipped,
        "error": None if error is None else error.as_json(),
    }


def _print(out: Output, checked: list[_Checked], skipped: list[str]) -> None:
    head = ("File", "Kind", "Pages", "Bad", "Correctable", "Uninitialized", "Wrong number")
    out.table((*head, "Highest dbtime", "Seconds", "MB/s"), [_row(one) for one in checked])
    for one in checked:
        _print_findings(out, one)
    for path in skipped:
        out.line(f"{path}: not an ESE file, left out")
    for one in checked:
        if one.error is not None and not out.json:
            out.error(one.error)
    out.line(_verdict(checked), bold=True)


def _row(one: _Checked) -> list[object]:
    result = one.result
    return [
        result.path,
        result.kind,
        *(getattr(result, name) for name in _COUNTS),
        f"{result.highest_dbtime:#x}" if result.highest_dbtime else "",
        round(result.seconds, 3),
        round(result.megabytes_per_second),
    ]


def _print_findings(out: Output, one: _Checked) -> None:
    """Print the first few findings of each rule; an error is told by itself."""
    shown: Counter[str] = Counter()
    for finding in one.result.reporter.findings if one.error is None else ():
        shown[finding.rule] += 1
        if shown[finding.rule] <= _SHOWN:
            _print_finding(out, finding)
    for rule in shown:
        more = one.result.reporter.counts[rule] - _SHOWN
        if more > 0:
            out.line(f"{one.result.path}: {more} more of the kind {rule}; see --json")


def _print_finding(out: Output, finding: Finding) -> None:
    jet = "" if finding.jet is None else f" - {finding.jet.title} ({int(finding.jet)})"
    place = f", {finding.position}" if finding.position else ""
    text = f"{finding.file}{place}: {finding.message} [{finding.rule}]{jet}"
    out.line(text, fg=_COLOURS[finding.severity])


def _verdict(checked: list[_Checked]) -> str:
    status = _status(checked)
    warned = any(one.result.reporter.worst() == Severity.WARNING for one in checked)
    known = {
        0: "No damage; see the warnings." if warned else "Nothing is wrong.",
        CORRECTABLE: "Only single wrong bits, which every reader corrects.",
        DAMAGED: "Damaged.",
    }
    return known.get(status, "Not everything could be checked.")
