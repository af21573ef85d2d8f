"""Counters of an instance: why pages were written, how much was logged, what is in memory.

The reasons of page writes are those of Microsoft's performance counters for databases.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum


class Reason(StrEnum):
    """Why a page was written.

    NORMAL: the checkpoint lay too deep, or the database was closed. IDLE: nothing else was to be
    done. OPPORTUNE: a page beside it was due. ANOMALOUS: memory was needed.
    """

    NORMAL = "normal"
    IDLE = "idle"
    OPPORTUNE = "opportune"
    ANOMALOUS = "anomalous"


@dataclass
class PageWrites:
    """Pages written, by reason. repeated: of all those, how many had been written before.

    A page counts as repeated when it was written, stayed in memory, changed and was written again.
    """

    normal: int = 0
    idle: int = 0
    opportune: int = 0
    anomalous: int = 0
    repeated: int = 0
    _once: set[tuple[int, int]] = field(default_factory=set, repr=False, compare=False)

    @property
    def total(self) -> int:
        """All page writes."""
        return self.normal + self.idle + self.opportune + self.anomalous

    def count(self, reason: Reason, dbid: int, pgno: int) -> None:
        """Count a page that was written."""
        setattr(self, reason, getattr(self, reason) + 1)
        if (dbid, pgno) in self._once:
            self.repeated += 1
        else:
            self._once.add((dbid, pgno))

    def keep(self, resident: Callable[[int, int], bool]) -> None:
        """Forget pages that are not in memory any more: reading them begins anew."""
        self._once = {key for key in self._once if resident(*key)}

    def leave(self, dbid: int) -> None:
        """Forget the pages of a database."""
        self._once = {key for key in self._once if key[0] != dbid}

    def copy(self) -> PageWrites:
        """Return the counts as they are now."""
        return replace(self, _once=set())


@dataclass(frozen=True)
class Counters:
    """What an instance has done since it was opened, and what it holds.

    page_reads: pages read from databases. log_writes: writes to the log, each with one sync;
    log_bytes: their size. pages, dirty_pages: in memory. log_depth: bytes of log that a recovery
    would read now, from the checkpoint on. versions: of nodes, kept for views and rollback.
    reclaimed: pages that a crash had left in nobody's hands and that `Instance.idle` found.
    """

    page_writes: PageWrites
    page_reads: int
    log_writes: int
    log_bytes: int
    pages: int
    dirty_pages: int
    log_depth: int
    versions: int
    reclaimed: int
