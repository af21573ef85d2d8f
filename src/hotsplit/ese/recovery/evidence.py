"""The observations behind a verdict, each one a finding that names its file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hotsplit.errors import Jet
from hotsplit.ese.format.header import DbState
from hotsplit.ese.recovery.attach import Outcome
from hotsplit.ese.recovery.inputs import Inputs
from hotsplit.ese.recovery.overlay import OverlayStore
from hotsplit.ese.recovery.plan import CheckpointUse
from hotsplit.report import Finding, Severity

if TYPE_CHECKING:
    from hotsplit.ese.recovery.assess import DatabaseView, Verdict
    from hotsplit.ese.recovery.databases import Target
    from hotsplit.ese.recovery.run import Run

MOST_LOGS = 100_000
"""Generations that are listed one by one; a wild header must not fill the memory."""

_MOST_PAGES = 20  # pages named one by one


def _note(verdict: Verdict, rule: str, text: str, path: str = "", position: str = "") -> None:
    verdict.evidence.append(Finding(rule, Severity.NOTE, text, path, position))


def _bad(
    verdict: Verdict, rule: str, text: str, path: str, position: str = "", jet: Jet | None = None
) -> None:
    verdict.evidence.append(Finding(rule, Severity.ERROR, text, path, position, jet))


def static(verdict: Verdict, inputs: Inputs) -> None:
    """Note what headers, names and checksums say."""
    for view in verdict.databases:
        _database(verdict, view)
    _logs(verdict)
    _checkpoint(verdict)
    verdict.evidence.extend(verdict.plan.warnings)


def _database(verdict: Verdict, view: DatabaseView) -> None:
    header, (low, high) = view.header, view.required
    text = f"State: {view.state}."
    sequence = verdict.plan.sequence
    if high:
        names = ""
        if sequence is not None:
            names = f" ({sequence.name_of(low)} to {sequence.name_of(high)})"
        text += f" Log Required: {low}-{high}{names}. Log Committed: {header.gen_max_committed}."
    elif header.state != DbState.CLEAN_SHUTDOWN:
        text += " It does not say which logs it requires: the checkpoint must tell."
    _note(verdict, "database", text, view.path)
    if sequence is not None and header.log_signature != sequence.signature:
        _bad(
            *(verdict, "database-stream", "The database belongs to another log stream"),
            *(view.path, "", Jet.errAttachedDatabaseMismatch),
        )
    if view.scan is not None and view.scan.reporter.findings:
        verdict.evidence.extend(view.scan.reporter.findings[:_MOST_PAGES])


def _logs(verdict: Verdict) -> None:
    sequence = verdict.plan.sequence
    if sequence is None:
        return
    for log in verdict.missing[:_MOST_PAGES]:
        text = f"Log {log.generation} ({log.name}) is {log.role} and missing"
        _bad(verdict, "log-missing", text, f"{sequence.folders[0]}/{log.name}")
    for log in [*verdict.foreign, *verdict.damaged][:_MOST_PAGES]:
        text = f"Log {log.generation} is {log.role}: {log.problem}"
        _bad(verdict, "log-unusable", text, log.path, "", log.jet)
    _current(verdict)


def _current(verdict: Verdict) -> None:
    """Say whether the sequence ends as the engine wants it to end."""
    sequence = verdict.plan.sequence
    assert sequence is not None
    current, (low, high) = sequence.current, verdict.log_required
    name = f"{sequence.base}.{sequence.extension}"
    if current is None:
        top = sequence.highest
        if not top:
            return
        stands = top >= high and top > low
        word = "may" if stands else "may not"
        why = "it was created after the required minimum" if stands else "required logs are missing"
        _note(
            verdict,
            "current-log",
            f"There is no {name}. {sequence.name_of(top)}, the highest log, {word} stand in for"
            f" it: {why}. hotsplit needs no renaming.",
        )
    elif high and current.header is not None:
        generation = current.header.generation
        if generation < high:
            text = (
                f"The current log is generation {generation}, the database needs {high}: it was"
                " captured before the database"
            )
            _bad(verdict, "current-log", text, current.path)


def _checkpoint(verdict: Verdict) -> None:
    view = verdict.plan.checkpoint
    if view.use == CheckpointUse.MISSING:
        text = "There is no checkpoint file; it would only save time."
        if not verdict.log_required[0] and verdict.state != "Clean Shutdown":
            text = "There is no checkpoint file: only it could tell where replay must begin."
        _note(verdict, "checkpoint", text)
        return
    place = f" {view.position}" if view.position else ""
    _note(verdict, "checkpoint", f"The checkpoint{place} is {view.use}.", view.path)


def redone(verdict: Verdict, trial: Run, targets: list[Target]) -> None:
    """After redo: compare the newest page of each database with the last record of the logs."""
    for view, target in zip(verdict.databases, targets, strict=False):
        if target.outcome != Outcome.NOW:
            continue
        dbtime, _ = trial.replay.core.counters(target.dbid)
        if view.scan is not None and view.scan.highest_dbtime <= dbtime:
            _note(
                verdict,
                "current-log",
                f"The logs were captured after the database: its newest page has dbtime"
                f" {view.scan.highest_dbtime}, their last record {dbtime}.",
                view.path,
            )
        _stale_pages(verdict, view, trial, target)


def _stale_pages(verdict: Verdict, view: DatabaseView, trial: Run, target: Target) -> None:
    """Pages older than the flush map knows, which no replayed record touches: lost writes."""
    touched = trial.replay.pages.touched
    if view.scan is None or touched is None:
        return
    for pgno in view.scan.flush_suspects:
        if (target.store.path, pgno) not in touched:
            _bad(
                verdict,
                "stale-page",
                "The page is not the one written last, says the flush map, and no log touches it:"
                " a write was lost",
                view.path,
                f"page {pgno}",
                Jet.errReadLostFlushVerifyFailure,
            )
            verdict.damage_left.append((view.path, pgno))


def finished(verdict: Verdict, trial: Run, targets: list[Target]) -> None:
    """After undo: what was done, and which damaged pages nothing has repaired."""
    done = trial.done
    known = {id(finding) for finding in verdict.evidence}
    verdict.evidence.extend(w for w in done.warnings if id(w) not in known)
    if done.last:
        core = trial.replay.core
        _note(
            verdict,
            "trial",
            f"Tried out without writing: logs {done.first}-{done.last} replayed,"
            f" {core.records} records, {done.undone} operations undone.",
        )
    for view, target in zip(verdict.databases, targets, strict=False):
        if view.scan is None or not isinstance(target.store, OverlayStore):
            continue
        repaired = set(target.store.changed_pages)
        for finding in view.scan.reporter.findings:
            pgno = _page_of(finding)
            if pgno and finding.severity == Severity.ERROR and pgno not in repaired:
                verdict.damage_left.append((view.path, pgno))
    for path, pgno in verdict.damage_left[:_MOST_PAGES]:
        text = "Recovery leaves this page as damaged as it is"
        _bad(verdict, "damage-left", text, path, f"page {pgno}", Jet.errReadVerifyFailure)


def _page_of(finding: Finding) -> int:
    """Return the number of the page that a finding is about, 0 if it is about something else."""
    word, _, number = finding.position.partition(" ")
    return int(number) if word == "page" and number.isdigit() else 0
