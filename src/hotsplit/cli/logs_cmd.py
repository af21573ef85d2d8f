"""``hotsplit logs``: the log streams of a folder, log by log."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import click

from hotsplit.cli.output import Output, Progress
from hotsplit.cli.values import plain
from hotsplit.errors import HotsplitError, Jet, LogDamaged, LogSequenceBroken, LogsMissing
from hotsplit.ese.files.env import Env, OsEnv
from hotsplit.ese.files.logfile import LogFile, LogScan
from hotsplit.ese.files.logsequence import LogInfo, LogSequence, checksum_link, find_streams
from hotsplit.ese.files.streamfile import find_stream_files
from hotsplit.report import Finding, Severity


@dataclass
class _Row:
    """What is shown of one log."""

    info: LogInfo
    state: str
    scan: LogScan | None = None

    def as_json(self) -> dict[str, Any]:
        header, scan = self.info.header, self.scan
        return {
            "generation": self.info.generation,
            "path": self.info.path,
            "current": self.info.is_current,
            "created": None if header is None else plain(header.created),
            "version": None if header is None else list(header.version),
            "size": self.info.size,
            "end": None if scan is None else str(scan.end),
            "closed_normally": None if scan is None else scan.closed_normally,
            "corrected": [] if scan is None else [str(c.position) for c in scan.corrected],
            "state": self.state,
        }


@click.command("logs")
@click.argument("folder", metavar="DIR")
@click.option("--base", help="Base name of the stream, e.g. E00; all streams if left out.")
@click.option("--json", is_flag=True, help="Print one JSON object.")
def command(folder: str, base: str | None, json: bool) -> int:
    """List the transaction logs in DIR: sequence, gaps, damage, where replay would start."""
    out = Output(json=json)
    env = OsEnv()
    streams = find_streams(env, [folder], base)
    if not streams:
        named = f" of {base}" if base else ""
        raise LogsMissing(
            f"There are no transaction logs{named} here", jet=Jet.errMissingLogFile, file=folder
        )
    shown = []
    worst: HotsplitError | None = None
    total = sum(len(s.logs) for s in streams)
    with out.progress("Reading logs", total) as progress:
        reports = [(s, _rows(env, s, progress)) for s in streams]
    for stream, rows in reports:
        summary = _summary(env, stream)
        shown.append(summary | {"logs": [row.as_json() for row in rows]})
        shown[-1]["findings"] = [f.as_json() for f in stream.findings]
        worst = worst or _worst(stream)
        _print(out, stream, rows, summary)
    for path in find_stream_files(env, folder):
        out.note(f"{path}: what logs hold for a streaming file is not read and not replayed")
    out.emit({"streams": shown, "error": None if worst is None else worst.as_json()})
    return 0 if worst is None else worst.exit_status


def _rows(env: Env, stream: LogSequence, progress: Progress) -> list[_Row]:
    """Scan all logs of a stream, one at a time; adds findings of damage and broken links."""
    rows = []
    before: int | None = None
    for generation in sorted(stream.logs):
        row = _examine(env, stream, stream.logs[generation])
        scan = row.scan
        if scan is not None and before is not None and generation - 1 in stream.logs:
            broken = checksum_link(before, row.info)
            stream.findings += [] if broken is None else [broken]
        before = None if scan is None or scan.damage else scan.checksum
        if row.info.header is None or not row.info.header.has_segments:
            before = None
        rows.append(row)
        progress.advance()
    return rows


def _examine(env: Env, stream: LogSequence, info: LogInfo) -> _Row:
    if info.error is not None:
        return _Row(info, "damaged")
    try:
        with LogFile.open(env, info.path, signature=stream.signature) as log:
            scan = log.scan()
    except HotsplitError as error:
        stream.findings.append(
            Finding("log-file", Severity.ERROR, error.message, info.path, error.position, error.jet)
        )
        return _Row(info, "damaged")
    state = "current" if info.is_current else "ok"
    for place in scan.corrected:
        how = "from its shadow copy" if place.bit is None else f"at bit {place.bit}"
        message = f"The segment is damaged and was corrected in memory {how}"
        stream.findings.append(
            Finding("log-corrected", Severity.WARNING, message, info.path, str(place.position))
        )
    if scan.damage is not None:
        damage = scan.damage
        state = "torn tail" if damage.torn else "damaged"
        stream.findings.append(
            Finding(
                "log-data",
                Severity.ERROR,
                f"The log is damaged ({damage.reason})",
                info.path,
                str(damage.position),
                damage.jet,
            )
        )
    return _Row(info, state, scan)


def _summary(env: Env, stream: LogSequence) -> dict[str, Any]:
    found = stream.read_checkpoint(env)
    start, problem = None, None
    try:
        start = str(stream.replay_start(None if found is None else found.checkpoint))
    except HotsplitError as error:
        problem = error.as_json()
    return {
        "base": stream.base,
        "signature": plain(stream.signature),
        "first": stream.lowest,
        "last": stream.highest,
        "current": None if stream.current is None else stream.current.path,
        "tmp": stream.tmp,
        "reserves": stream.reserves,
        "checkpoint_file": stream.checkpoint_path,
        "checkpoint": None if found is None else str(found.checkpoint.position),
        "replay_start": start,
        "replay_start_error": problem,
        "gaps": [list(gap) for gap in stream.gaps],
        "foreign": [info.path for info in stream.foreign],
        "duplicates": [info.path for info in stream.duplicates],
    }


def _worst(stream: LogSequence) -> HotsplitError | None:
    """Return the first finding that is an error as the error that the exit status comes from."""
    for finding in stream.findings:
        if finding.severity == Severity.ERROR:
            cls = LogDamaged if finding.rule in ("log-file", "log-data") else LogSequenceBroken
            place = {"file": finding.file, "position": finding.position}
            return cls(finding.message, jet=finding.jet, **place)
    return None


def _print(out: Output, stream: LogSequence, rows: list[_Row], summary: dict[str, Any]) -> None:
    out.line(f"Stream {stream.base}   {stream.signature}", bold=True)
    table: list[tuple[object, ...]] = [_cells(row) for row in rows]
    for low, high in stream.gaps:
        text = f"0x{low:X}" if low == high else f"0x{low:X}-0x{high:X}"
        table.append((low, text, stream.name_of(low), "", 0, "", "gap"))
    table += [_cells(_Row(info, "foreign")) for info in stream.foreign]
    header = ("gen", "hex", "file", "created", "size", "end of data", "state")
    out.table(header, sorted(table, key=lambda row: int(str(row[0]))))
    start = summary["replay_start"] or "not possible"
    source = "checkpoint" if summary["checkpoint"] else "no usable checkpoint: lowest log"
    out.line(f"Replay would start at {start} ({source}).")
    if stream.tmp:
        out.line(f"Not part of the sequence: {os.path.basename(stream.tmp)}")  # noqa: PTH119
    for finding in stream.findings:
        jet = "" if finding.jet is None else f" - {finding.jet.title} ({int(finding.jet)})"
        place = f" {finding.position}" if finding.position else ""
        style = {"fg": "red"} if finding.severity == Severity.ERROR else {"fg": "yellow"}
        out.line(f"{finding.file}{place}: {finding.message}{jet}", **style)
    out.line()


def _cells(row: _Row) -> tuple[object, ...]:
    info = row.info
    return (
        info.generation,
        f"0x{info.generation:X}",
        os.path.basename(info.path),  # noqa: PTH119
        "" if info.header is None else str(info.header.created),
        info.size,
        "" if row.scan is None else str(row.scan.end),
        row.state,
    )
