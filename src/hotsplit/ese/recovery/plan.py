"""Which logs a recovery replays, decided from headers alone, and what stands in its way.

Source: log specification 5.2 (start), 6.3 (sequence), 9.2 (range test). A plan is a value:
`recover` carries it out, `assess` shows it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from hotsplit.errors import (
    BackupNeedsRestore,
    DatabaseMismatch,
    HotsplitError,
    Jet,
    LogsMissing,
)
from hotsplit.ese.files.env import Env
from hotsplit.ese.files.logsequence import LogInfo, LogSequence
from hotsplit.ese.format.basics import LogPosition
from hotsplit.ese.recovery.inputs import Inputs
from hotsplit.ese.recovery.logchain import BRING_LOGS, LOSSY, fault
from hotsplit.ese.recovery.options import Options
from hotsplit.report import Finding, Severity


class CheckpointUse(StrEnum):
    """What became of the checkpoint file."""

    MISSING = "missing"
    UNUSABLE = "unusable"
    FOREIGN = "of another log stream"
    OLDER = "older than the database needs"
    MATCHES = "as old as the database needs"
    NEWER = "newer than the database copy"
    ONLY_GUIDE = "the only guide to where replay begins"
    NOT_NEEDED = "not needed: nothing has to be replayed"


@dataclass(frozen=True)
class CheckpointView:
    """The checkpoint file as a plan sees it. position: None if it cannot be used."""

    use: CheckpointUse
    path: str = ""
    position: LogPosition | None = None


@dataclass
class Plan:
    """What will be replayed.

    logs: in order, from that of `start` on. error: what the engine says at their end, None if all
    is there. lost: first and last generation given up (`accept_lost_logs`). warnings: for people.
    """

    sequence: LogSequence | None
    checkpoint: CheckpointView
    start: LogPosition = field(default_factory=LogPosition)
    logs: list[LogInfo] = field(default_factory=list)
    error: HotsplitError | None = None
    lost: tuple[int, int] | None = None
    warnings: list[Finding] = field(default_factory=list)

    @property
    def last(self) -> int:
        """Highest generation that is replayed, 0 for none."""
        return self.logs[-1].generation if self.logs else 0

    def warn(self, rule: str, message: str, path: str = "", jet: Jet | None = None) -> None:
        """Add a warning."""
        self.warnings.append(Finding(rule, Severity.WARNING, message, path, jet=jet))


def make_plan(env: Env, inputs: Inputs, options: Options) -> Plan:
    """Plan the recovery of `inputs`. Never raises for what is wrong with them: see `Plan.error`."""
    sequence = inputs.sequence
    if sequence is None:
        return _without_logs(inputs)
    plan = Plan(sequence, _look_at_checkpoint(env, inputs, sequence))
    for path, base in inputs.others.items():
        text = f"LEFT OUT: {path} belongs to the log stream {base}; give --base {base} for it"
        plan.warn("other-stream", text, path)
    start = _start(inputs, sequence, plan, options)
    if start is None:
        return plan
    plan.start = LogPosition(start, 1, 0)
    plan.error = _unfit(inputs, sequence, options)
    if plan.error is None:
        _collect(plan, sequence, inputs, options)
        plan.error = plan.error or _range_error(plan, inputs, options)
        if options.until and plan.error is None and options.until.generation > plan.last:
            text = f"The logs end at {plan.last}, before --until {options.until.generation}"
            plan.warn("until", text)
    return plan


def _without_logs(inputs: Inputs) -> Plan:
    plan = Plan(None, CheckpointView(CheckpointUse.MISSING))
    dirty = next((c for c in inputs.databases if c.needs_logs), None)
    if dirty is not None:
        low, high = dirty.required
        plan.error = LogsMissing(
            f"The database needs logs {low}-{high} and there are no transaction logs",
            jet=Jet.errMissingLogFile,
            file=dirty.path,
            hint=BRING_LOGS,
        )
    elif not inputs.databases and inputs.unusable:
        plan.error = next(iter(inputs.unusable.values()))
    return plan


# Where replay begins


def _look_at_checkpoint(env: Env, inputs: Inputs, sequence: LogSequence) -> CheckpointView:
    path = sequence.checkpoint_path
    if path is None:
        return CheckpointView(CheckpointUse.MISSING)
    found = sequence.read_checkpoint(env)
    if found is None:
        foreign = any(
            f.rule == "checkpoint" and f.jet == Jet.errBadCheckpointSignature
            for f in sequence.findings
        )
        return CheckpointView(CheckpointUse.FOREIGN if foreign else CheckpointUse.UNUSABLE, path)
    position = found.checkpoint.position
    needed = inputs.lowest_required
    if not needed:
        clean = inputs.databases and not any(c.needs_logs for c in inputs.databases)
        use = CheckpointUse.NOT_NEEDED if clean else CheckpointUse.ONLY_GUIDE
        return CheckpointView(use, path, position)
    use = CheckpointUse.MATCHES
    if position.generation != needed:
        newer = position.generation > needed
        use = CheckpointUse.NEWER if newer else CheckpointUse.OLDER
    return CheckpointView(use, path, position)


def _start(inputs: Inputs, sequence: LogSequence, plan: Plan, options: Options) -> int | None:
    """Return the generation at which replay begins, None if there is nothing to replay.

    The engine begins at the checkpoint, or at the oldest log without one. Log Required makes both
    unnecessary: nothing below its minimum can matter. So a checkpoint that is newer than the copy,
    which makes the engine fail, is set aside here.
    """
    needed = inputs.lowest_required
    checkpoint = plan.checkpoint
    if options.ignore_checkpoint:
        return _chain_start(sequence, needed or sequence.highest)
    if checkpoint.use == CheckpointUse.NEWER:
        plan.warn(
            "checkpoint-newer",
            f"The checkpoint {checkpoint.position} is newer than the database copy, which needs"
            f" logs from {needed} on: it is set aside (the engine would end with -543)",
            checkpoint.path,
            Jet.errRequiredLogFilesMissing,
        )
    if needed:
        return needed
    dirty = [c for c in inputs.databases if c.needs_logs]
    if inputs.databases and not dirty:
        return _start_of_clean(inputs, sequence)
    if checkpoint.position is not None:
        return checkpoint.position.generation
    if dirty:
        plan.warn(
            "no-log-required",
            "The database does not say which logs it needs and there is no usable checkpoint:"
            " all logs are replayed",
            dirty[0].path,
        )
    return _chain_start(sequence, sequence.highest)


def _chain_start(sequence: LogSequence, generation: int) -> int:
    """Return the lowest generation from which on all logs are there, up to `generation`."""
    while generation - 1 in sequence.logs and sequence.logs[generation - 1].usable:
        generation -= 1
    return generation


def _start_of_clean(inputs: Inputs, sequence: LogSequence) -> int | None:
    """A clean copy needs nothing; where later logs are there, it rolls forward with them."""
    places = [
        c.header.consistent.generation
        for c in inputs.databases
        if c.header.log_signature == sequence.signature
    ]
    start = min(places, default=0)
    return start if start in sequence.logs and sequence.logs[start].usable else None


# The sequence


def _collect(plan: Plan, sequence: LogSequence, inputs: Inputs, options: Options) -> None:
    """Gather logs from the start on until the last one, a stop or a fault."""
    generation = plan.start.generation
    until = options.until.generation if options.until else 0
    while not until or generation <= until:
        before = plan.logs[-1] if plan.logs else None
        error = fault(sequence, inputs, before, generation)
        if error is not None:
            if before is None and error.jet == Jet.errMissingLogFile:
                error.jet = _jet_of_missing_start(plan, sequence, error.jet)
            _stop_at_fault(plan, inputs, generation, error, options)
            return
        info = sequence.logs.get(generation)
        if info is None:
            return
        plan.logs.append(info)
        generation += 1
        if info.is_current:
            _note_beyond_current(plan, sequence, info)
            return


def _jet_of_missing_start(plan: Plan, sequence: LogSequence, jet: Jet) -> Jet:
    """Return the engine's error for the lack of the log at which replay begins here.

    The engine begins at the checkpoint, or at the oldest log without one. Behind the log that lacks
    it finds that the database needs older ones; before it, it comes to a gap.
    """
    position = plan.checkpoint.position
    first = position.generation if position else min(sequence.logs, default=0)
    if first not in sequence.logs:
        return jet
    if first > plan.start.generation:
        return Jet.errRequiredLogFilesMissing
    return Jet.errInvalidLogSequence if sequence.current is not None else jet


def _note_beyond_current(plan: Plan, sequence: LogSequence, current: LogInfo) -> None:
    """The current log is the last: what follows it was made after this edition of it."""
    if sequence.highest > current.generation:
        plan.warn(
            "log-beyond-current",
            f"Logs up to {sequence.highest} follow the current log: they are not replayed, since"
            f" this edition of log {current.generation} was captured before it was full",
            current.path,
        )


def _stop_at_fault(
    plan: Plan, inputs: Inputs, generation: int, error: HotsplitError, options: Options
) -> None:
    """Fail, or give up what lies behind the fault if only committed work is lost and it may be."""
    if not options.accept_lost_logs or generation <= inputs.highest_required or not plan.logs:
        plan.error = error
        return
    assert plan.sequence is not None
    behind = max(generation, inputs.highest_committed, plan.sequence.highest)
    plan.lost = generation, behind
    plan.warn(
        "logs-lost",
        f"LOST: transactions in logs {plan.lost[0]}-{plan.lost[1]} are given up ({error})",
        error.file,
        Jet.wrnCommittedLogFilesLost,
    )


# Databases


def _unfit(inputs: Inputs, sequence: LogSequence, options: Options) -> HotsplitError | None:
    """Return what no log can make good: another stream's database, an unrestored backup copy."""
    for candidate in inputs.databases:
        if not candidate.needs_logs:
            continue
        if candidate.trailer is not None and not options.hard:
            jet = Jet.errSoftRecoveryOnBackupDatabase
            if sequence.current is None:
                jet = Jet.errMissingLogFile
            return BackupNeedsRestore(
                "The database is a streaming backup copy that was not restored yet",
                jet=jet,
                file=candidate.path,
            )
        ruined = sequence.current.error if sequence.current and not sequence.logs else None
        if ruined is not None:
            return ruined
        if candidate.header.log_signature != sequence.signature:
            return DatabaseMismatch(
                f"The database belongs to another log stream than {sequence.base}",
                file=candidate.path,
                hint="Recover it with the logs of its own stream; `hotsplit inspect` shows both.",
            )
    return None


def _range_error(plan: Plan, inputs: Inputs, options: Options) -> HotsplitError | None:
    """Return the error for logs that end before what the databases need (6.3).

    Hard recovery believes a caller who names an earlier end (8.7); the check of the pages against
    the end of the logs (`tail`) then decides.
    """
    for candidate in inputs.databases:
        if not candidate.needs_logs:
            continue
        low, high = candidate.required
        committed = candidate.header.gen_max_committed
        if high > plan.last and not (options.hard and options.until):
            stop = f" (--until {options.until.generation})" if options.until else ""
            return LogsMissing(
                f"The database needs logs {low}-{high}, they end at {plan.last}{stop}",
                jet=_jet_of_short_logs(plan),
                file=candidate.path,
                hint=f"Stop at log {high} or later." if options.until else BRING_LOGS,
            )
        if committed > plan.last and not options.until:
            if options.accept_lost_logs:
                plan.lost = plan.lost or (plan.last + 1, committed)
                _warn_lost(plan, candidate.path)
                continue
            return LogsMissing(
                f"Logs up to {committed} hold committed transactions, they end at {plan.last}",
                jet=Jet.errCommittedLogFilesMissing,
                file=candidate.path,
                hint=LOSSY,
            )
    return None


def _jet_of_short_logs(plan: Plan) -> Jet:
    """Return the engine's error: it looks for the log of the checkpoint before all else."""
    position, sequence = plan.checkpoint.position, plan.sequence
    is_there = position is None or (sequence is not None and position.generation in sequence.logs)
    return Jet.errRequiredLogFilesMissing if is_there else Jet.errMissingLogFile


def _warn_lost(plan: Plan, path: str) -> None:
    if plan.lost is None or any(w.rule == "logs-lost" for w in plan.warnings):
        return
    plan.warn(
        "logs-lost",
        f"LOST: transactions in logs {plan.lost[0]}-{plan.lost[1]} are given up: they are missing",
        path,
        Jet.wrnCommittedLogFilesLost,
    )
