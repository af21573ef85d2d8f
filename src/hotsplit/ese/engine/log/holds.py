"""Who still needs logs: nothing deletes a log that somebody holds.

A backup holds the logs that its set will need and keeps its databases attached; a shipper holds
what it has not sent yet. Circular logging and truncation ask here before they delete.

Source: log specification 1.3 (deletion), 8.1.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hotsplit.errors import InvalidUse, Jet


@dataclass(eq=False)
class Hold:
    """Somebody's need. generation: the lowest needed, raised as the need passes.

    databases: numbers of those that must stay attached. stopped: the instance ends.
    """

    purpose: str
    generation: int
    databases: set[int] = field(default_factory=set)
    stopped: bool = False


class LogHolds:
    """The holds on one stream. Every call is made with the lock of the instance."""

    def __init__(self) -> None:
        self._holds: list[Hold] = []

    def add(self, purpose: str, generation: int) -> Hold:
        """Hold the logs from `generation` on."""
        hold = Hold(purpose, generation)
        self._holds.append(hold)
        return hold

    def release(self, hold: Hold) -> None:
        """Let go; no error if that was done before."""
        if hold in self._holds:
            self._holds.remove(hold)

    def lowest(self) -> int | None:
        """Return the lowest generation held, None if nobody holds any."""
        return min((hold.generation for hold in self._holds), default=None)

    def limit(self, below: int, *, but: Hold | None = None) -> int:
        """Return below which generation logs may go: `below` unless somebody else holds lower."""
        return min([below, *(hold.generation for hold in self._holds if hold is not but)])

    def check_detach(self, dbid: int) -> None:
        """Raise InvalidUse (-505) if a database must stay attached."""
        for hold in self._holds:
            if dbid in hold.databases:
                raise InvalidUse(
                    f"The database is in use by a {hold.purpose}", jet=Jet.errBackupInProgress
                )

    def stop(self) -> None:
        """The instance ends: nobody can go on."""
        for hold in self._holds:
            hold.stopped = True
        self._holds.clear()
