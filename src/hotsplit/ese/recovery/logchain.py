"""What can be wrong with a log where it is the next one to be replayed.

Source: log specification 6.3 (sequence), 9.2 (range test).
"""

from __future__ import annotations

from hotsplit.errors import ForeignFile, HotsplitError, Jet, LogSequenceBroken, LogsMissing
from hotsplit.ese.files.logsequence import LogInfo, LogSequence
from hotsplit.ese.recovery.inputs import Inputs

BRING_LOGS = "Find the missing logs; name their folders with --logs."
LOSSY = f"{BRING_LOGS} Without them the latest transactions are lost: --accept-lost-logs."


def fault(
    sequence: LogSequence, inputs: Inputs, before: LogInfo | None, generation: int
) -> HotsplitError | None:
    """Return what is wrong with the log of a generation; None also at the proper end.

    before: the log that is replayed before it, None for the first one.
    """
    info = sequence.logs.get(generation)
    if info is None:
        return _absence(sequence, inputs, before, generation)
    if info.error is not None:
        return _unusable(before, info.error)
    return _broken_link(before, info) or _other_edition(info, inputs)


def _unusable(before: LogInfo | None, error: HotsplitError) -> HotsplitError:
    """Return the error of a log file. One under another's name breaks the sequence."""
    if error.jet != Jet.errLogGenerationMismatch:
        return error
    jet = Jet.errMissingPreviousLogFile if before is None else Jet.errInvalidLogSequence
    return LogSequenceBroken(error.message, jet=jet, file=error.file, hint=error.hint)


def _absence(
    sequence: LogSequence, inputs: Inputs, before: LogInfo | None, generation: int
) -> HotsplitError | None:
    foreign = next(
        (
            i
            for i in sequence.foreign
            if generation == i.name_generation or (i.is_current and sequence.current is None)
        ),
        None,
    )
    if foreign is not None:
        return ForeignFile(
            f"The log belongs to another stream than {sequence.base}", file=foreign.path
        )
    if generation > sequence.highest:
        # A current log that cannot be read would be the next one, whatever its generation.
        return sequence.current.error if sequence.current else None
    name, folder = sequence.name_of(generation), sequence.folders[0] if sequence.folders else ""
    if any(c.trailer is not None for c in inputs.databases):
        return LogsMissing(
            f"Log {name} (generation {generation}) of the backup is missing",
            jet=Jet.errFileNotFound,
            file=f"{folder}/{name}",
            hint=BRING_LOGS,
        )
    if before is None:
        return LogsMissing(
            f"Log {name} (generation {generation}) is needed first and is missing",
            jet=Jet.errMissingLogFile,
            file=f"{folder}/{name}",
            hint=BRING_LOGS,
        )
    return _gap(sequence, inputs, generation, f"{folder}/{name}")


def _gap(sequence: LogSequence, inputs: Inputs, generation: int, path: str) -> HotsplitError:
    """Later logs are there, this one is not (6.3): the engine takes the current log for it."""
    if inputs.highest_required < generation <= inputs.highest_committed:
        return LogsMissing(
            f"Log {generation} is missing: it holds committed transactions",
            jet=Jet.errCommittedLogFilesMissing,
            file=path,
            hint=LOSSY,
        )
    if sequence.current is not None:
        return LogSequenceBroken(
            f"Log {generation} is missing, logs up to {sequence.highest} follow",
            file=path,
            hint=BRING_LOGS + _stop_before(generation, inputs),
        )
    return LogsMissing(
        f"Log {generation} is missing, logs up to {sequence.highest} follow",
        jet=Jet.errMissingLogFile,
        file=path,
        hint=BRING_LOGS,
    )


def _stop_before(generation: int, inputs: Inputs) -> str:
    if generation <= inputs.highest_required:
        return ""
    return f" Or stop before the gap: --until {generation - 1}."


def _broken_link(before: LogInfo | None, info: LogInfo) -> HotsplitError | None:
    if before is None or before.header is None or info.header is None:
        return None
    wanted, created = info.header.previous_created, before.header.created
    if wanted == created:
        return None
    return LogSequenceBroken(
        f"The log follows one created {wanted}, the one before it was created {created}",
        file=info.path,
        position="header",
    )


def _other_edition(info: LogInfo, inputs: Inputs) -> HotsplitError | None:
    """The highest required log must be the very one that the database saw (6.3)."""
    assert info.header is not None
    for candidate in inputs.databases:
        header = candidate.header
        if not candidate.needs_logs or header.gen_max_required != info.generation:
            continue
        created = header.gen_max_required_time
        if not created.is_set and header.gen_max_required == header.gen_max_committed:
            created = header.gen_max_create_time
        if created.is_set and created != info.header.created:
            return LogsMissing(
                f"Log {info.generation} was created {info.header.created}, the database"
                f" needs the one created {created}",
                file=info.path,
                position="header",
            )
    return None
