"""Streaming files in a recovery: said to be there or not, and copied together with their database.

What logs of Exchange 2000 and 2003 hold for a streaming file is not replayed: the layout of these
records is not published.
"""

from __future__ import annotations

import os.path

from hotsplit.ese.files.env import Env
from hotsplit.ese.files.streamfile import ENDING, find_pair
from hotsplit.ese.recovery.inputs import Candidate, Inputs
from hotsplit.ese.recovery.plan import Plan
from hotsplit.report import Finding, Severity

_NOT_REPLAYED = (
    "The streaming file is taken over as it is: what the logs hold for it is not replayed, so "
    "content that was written last may be missing from it"
)


def note_streams(env: Env, inputs: Inputs, plan: Plan) -> None:
    """Warn of streaming files that are missing or of another database, and of what is not done."""
    for candidate in inputs.databases:
        pair = find_pair(env, candidate.path, candidate.header)
        if pair is None:
            continue
        found = pair.finding(candidate.path)
        if found is not None:
            plan.warnings.append(found)
        elif candidate.needs_logs:
            warning = Finding("streaming-file", Severity.WARNING, _NOT_REPLAYED, pair.path or "")
            plan.warnings.append(warning)


def copy_stream(env: Env, candidate: Candidate, copy: str) -> None:
    """Copy the streaming file of a database beside the copy of the database, under its name.

    One that is not of this database is left where it is. Raises what the Env raises.
    """
    pair = find_pair(env, candidate.path, candidate.header)
    if pair is not None and pair.path is not None and not pair.problem:
        target = os.path.splitext(copy)[0] + ENDING  # noqa: PTH122
        env.copy(pair.path, target)
        file = env.open(target, "write")
        try:
            file.sync()
        finally:
            file.close()
