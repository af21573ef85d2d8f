"""Can these files be recovered, to which point, and if not, why: the verdict, with its evidence.

Two looks: at headers, file names and checksums (the plan of `recover`, and a scan of every log and
page), then a recovery that is really carried out, on an overlay, so that no file is written. What
`recover` would do is thus not guessed but seen.
Source: log specification 9.2 (range test), 9.3; the hot split rules.
"""

from __future__ import annotations

import os.path
import tempfile
from dataclasses import dataclass, field, replace
from enum import StrEnum

from hotsplit.errors import HotsplitError, Jet, LogDamaged
from hotsplit.ese.check.result import OnRead, ScanResult
from hotsplit.ese.check.scan import scan_database
from hotsplit.ese.files.env import Env
from hotsplit.ese.files.logfile import LogFile
from hotsplit.ese.files.logsequence import LogInfo, LogSequence
from hotsplit.ese.format.basics import LogPosition
from hotsplit.ese.format.header import DatabaseHeader, DbState
from hotsplit.ese.recovery import evidence
from hotsplit.ese.recovery.databases import Target
from hotsplit.ese.recovery.events import NoWatch
from hotsplit.ese.recovery.inputs import Candidate, Inputs
from hotsplit.ese.recovery.options import Options
from hotsplit.ese.recovery.plan import Plan
from hotsplit.ese.recovery.recover import prepare, setting_for
from hotsplit.ese.recovery.replayed import overlays
from hotsplit.ese.recovery.run import Run
from hotsplit.report import Finding, Reporter, Severity


class LogRole(StrEnum):
    """What a log of the stream is to the databases."""

    NOT_NEEDED = "not needed"
    REQUIRED = "required"
    COMMITTED = "committed"
    ROLL_FORWARD = "roll forward"


@dataclass(frozen=True)
class LogView:
    """One generation. path: empty if it is missing. problem: "" if it can be used."""

    generation: int
    name: str
    path: str
    role: LogRole
    problem: str = ""
    jet: Jet | None = None


@dataclass(frozen=True)
class DatabaseView:
    """A database, and what a scan of its pages found (None if it was not scanned)."""

    path: str
    header: DatabaseHeader
    required: tuple[int, int]
    scan: ScanResult | None = None

    @property
    def state(self) -> str:
        """The state in the engine's words."""
        names = {state.value: state.name.replace("_", " ").title() for state in DbState}
        return names.get(self.header.state, f"State {self.header.state}")


@dataclass
class Verdict:
    """The answer. error: what the engine (or, where it looks away, hotsplit) says against it.

    log_required: lowest and highest generation, (0, 0) for none. roll_forward_to: the generation up
    to which the logs reach, None if recovery is not possible; `end`: the position behind its last
    record. damage_left: damaged pages that recovery does not touch.
    """

    recoverable: bool
    error: HotsplitError | None
    databases: list[DatabaseView]
    log_required: tuple[int, int]
    log_committed: int
    plan: Plan
    logs: list[LogView] = field(default_factory=list)
    roll_forward_to: int | None = None
    end: LogPosition | None = None
    damage_left: list[tuple[str, int]] = field(default_factory=list)
    evidence: list[Finding] = field(default_factory=list)

    @property
    def state(self) -> str:
        """State of the database that is worst off."""
        if not self.databases:
            return "No Database"
        order = sorted(self.databases, key=lambda d: d.header.state == DbState.CLEAN_SHUTDOWN)
        return order[0].state

    @property
    def missing(self) -> list[LogView]:
        """Logs that are needed or lie between others, and are not there."""
        return [log for log in self.logs if not log.path]

    @property
    def damaged(self) -> list[LogView]:
        """Logs that are there and cannot be used as they are."""
        return [log for log in self.logs if log.path and log.problem and not self._foreign(log)]

    @property
    def foreign(self) -> list[LogView]:
        """Logs of another stream under this stream's names."""
        return [log for log in self.logs if self._foreign(log)]

    @staticmethod
    def _foreign(log: LogView) -> bool:
        return log.jet == Jet.errBadLogSignature

    @property
    def next_step(self) -> str:
        """What to do now."""
        if self.error is not None:
            return self.error.hint
        if self.damage_left:
            return "Recover, then look at what the damaged pages hold; keep the source."
        if self.databases and all(d.header.state == DbState.CLEAN_SHUTDOWN for d in self.databases):
            return (
                "Nothing: the database can be used as it is. `hotsplit check` looks into its trees."
            )
        return "Run `hotsplit recover` with the same arguments and --into NEW_FOLDER."


def assess(
    env: Env,
    sources: list[str],
    log_folders: list[str],
    options: Options = Options(),  # noqa: B008 - a frozen value
    *,
    base: str | None = None,
    checkpoint: str | None = None,
    scan_pages: bool = True,
    on_read: OnRead | None = None,
    scratch: str | None = None,
) -> Verdict:
    """Judge the recoverability of the databases in `sources`; arguments as in `recover`.

    scan_pages: verify every page of every database, too. scratch: folder for an unnamed file that
    holds changed pages beyond 64 MB. Raises HotsplitError only if there is nothing to judge.
    """
    inputs, plan = prepare(env, sources, log_folders, options, base, checkpoint)
    if inputs.explicit:
        options = replace(options, ignore_missing=True)
    views = [_look_at(env, candidate, scan_pages, on_read) for candidate in inputs.databases]
    verdict = Verdict(
        *(plan.error is None, plan.error, views),
        (inputs.lowest_required, inputs.highest_required),
        inputs.highest_committed,
        plan,
    )
    if plan.sequence is not None:
        verdict.logs = _look_at_logs(env, inputs, plan, plan.sequence, options)
        _first_damage(verdict)
    evidence.static(verdict, inputs)
    if verdict.error is None:
        _try(env, inputs, verdict, options, scratch or tempfile.gettempdir())
    _say_how_far(verdict)
    return verdict


def _look_at(
    env: Env, candidate: Candidate, scan_pages: bool, on_read: OnRead | None
) -> DatabaseView:
    scan = None
    if scan_pages:
        scan = scan_database(env, candidate.path, Reporter(), on_read)
    return DatabaseView(candidate.path, candidate.header, candidate.required, scan)


# Logs


def _look_at_logs(
    env: Env, inputs: Inputs, plan: Plan, sequence: LogSequence, options: Options
) -> list[LogView]:
    low = inputs.lowest_required or plan.start.generation or sequence.lowest
    high = max(sequence.highest, inputs.highest_required, inputs.highest_committed)
    if options.until is not None:
        high = min(high, options.until.generation)
    first = min(low, sequence.lowest or low)
    if high - first > evidence.MOST_LOGS:
        first = max(first, low - 1)
        high = min(high, first + evidence.MOST_LOGS)
    foreign = {i.name_generation or i.generation: i for i in sequence.foreign}
    views = []
    for generation in range(first, high + 1):
        role = _role(generation, low, inputs)
        info = sequence.logs.get(generation)
        if info is None and generation in foreign:
            view = _foreign_log(foreign[generation], generation, role)
        elif info is None and role == LogRole.NOT_NEEDED:
            continue
        else:
            view = _view(env, sequence, generation, role, info)
        views.append(view)
    return views


def _role(generation: int, low: int, inputs: Inputs) -> LogRole:
    if generation < low:
        return LogRole.NOT_NEEDED
    if generation <= inputs.highest_required:
        return LogRole.REQUIRED
    return LogRole.COMMITTED if generation <= inputs.highest_committed else LogRole.ROLL_FORWARD


def _foreign_log(info: LogInfo, generation: int, role: LogRole) -> LogView:
    name = os.path.basename(info.path)  # noqa: PTH119 - paths are plain strings here
    return LogView(
        *(generation, name, info.path, role),
        "belongs to another log stream",
        Jet.errBadLogSignature,
    )


def _view(
    env: Env, sequence: LogSequence, generation: int, role: LogRole, info: LogInfo | None
) -> LogView:
    if info is None:
        return LogView(generation, sequence.name_of(generation), "", role, "missing")
    name = os.path.basename(info.path)  # noqa: PTH119
    if role == LogRole.NOT_NEEDED:
        return LogView(generation, name, info.path, role)
    error = info.error or _damage(env, info)
    if error is None:
        return LogView(generation, name, info.path, role)
    return LogView(generation, name, info.path, role, error.message, error.jet)


def _damage(env: Env, info: LogInfo) -> HotsplitError | None:
    try:
        with LogFile.open(env, info.path) as log:
            log.check()
    except HotsplitError as error:
        return error
    return None


def _first_damage(verdict: Verdict) -> None:
    """Damage in a log that is replayed before the plan's own fault is what replay meets first."""
    if verdict.error is None:
        return
    replayed = {info.generation for info in verdict.plan.logs}
    for log in verdict.damaged:
        if log.generation in replayed:
            verdict.error = LogDamaged(log.problem, jet=log.jet, file=log.path)
            return


# The trial


def _try(env: Env, inputs: Inputs, verdict: Verdict, options: Options, scratch: str) -> None:
    """Recover onto overlays and note what happens."""
    plan = verdict.plan
    targets: list[Target] = []
    trial = None
    try:
        targets, create = overlays(env, inputs, scratch)
        setting = setting_for(env, inputs, plan, options, create)
        trial = Run(env, plan, targets, options, setting, NoWatch())
        trial.replay.pages.touched = set()
        if plan.logs:
            trial.redo()
        evidence.redone(verdict, trial, targets)
        trial.check_end()
        trial.finish()
        evidence.finished(verdict, trial, targets)
    except HotsplitError as error:
        verdict.recoverable, verdict.error = False, error
    finally:
        if trial is not None:
            verdict.end = trial.done.end if trial.done.last else None
        for target in targets:
            target.store.close()


def _say_how_far(verdict: Verdict) -> None:
    plan = verdict.plan
    reaches = plan.last >= max(verdict.log_required[1], 1)
    if verdict.recoverable and plan.last:
        verdict.roll_forward_to = plan.last
    elif not verdict.recoverable and plan.error is not None and reaches:
        verdict.roll_forward_to = plan.last
        verdict.evidence.append(
            Finding(
                "roll-forward",
                Severity.NOTE,
                f"Recovery is possible up to log {plan.last}: --until {plan.last}",
            )
        )
