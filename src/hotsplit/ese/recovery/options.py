"""What a recovery is asked to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hotsplit.ese.format.basics import LogPosition

DEFAULT_BUDGET = 256 << 20
"""Bytes of database pages kept in memory."""


@dataclass(frozen=True, slots=True)
class Options:
    """How to recover; what is left alone is what the engine does by default.

    undo: False stops before open transactions are taken back; the databases stay dirty (``/u``).
    ignore_checkpoint: replay all logs, from the lowest of the unbroken chain on.
    until: stop before the first record at or behind this position; sector 0 stands for the end of
    that generation. Not below what the databases require.
    ignore_missing: leave out databases that the logs use and that are not there (``/i``).
    accept_lost_logs: recover without committed logs that are missing or damaged, losing their
    transactions (``/a``). Required logs must be there.
    cut_torn_tail: the last log may end in a write that was interrupted.
    paths: where a database of a path in the logs lies now, by lower-case logged path. Databases are
    found by signature in any case; this names one that lies elsewhere, or is to be created.
    hard: databases are streaming backup copies; their trailer pages name the logs they need.
    budget: bytes of pages kept in memory.
    """

    undo: bool = True
    ignore_checkpoint: bool = False
    until: LogPosition | None = None
    ignore_missing: bool = False
    accept_lost_logs: bool = False
    cut_torn_tail: bool = False
    hard: bool = False
    paths: Mapping[str, str] = field(default_factory=dict)
    budget: int = DEFAULT_BUDGET

    @property
    def stop(self) -> LogPosition | None:
        """`until` as a position that replay can be cut at."""
        until = self.until
        if until is None or until.sector:
            return until
        return LogPosition(until.generation + 1, 0, 0)
