"""How far the log is durable, told to those who wait for it: shippers, backups, tests.

Whoever ships logs has a thread of its own that waits here; the threads that commit are never kept
by it. A position in generation n says that all logs below n are complete under their own names.
"""

from __future__ import annotations

import threading

from hotsplit.errors import InstanceDown


class LogProgress:
    """The durable end of one log stream, as a number (generation, sector, byte)."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._ended: InstanceDown | None = None
        self._waiting = 0
        self.position = 0

    @property
    def closed_generation(self) -> int:
        """The highest generation that is complete, 0 for none."""
        return max(0, (self.position >> 32) - 1)

    def reached(self, position: int) -> None:
        """The log is durable up to `position`."""
        with self._changed:
            self.position = position
            if self._waiting:
                self._changed.notify_all()

    def end(self, why: InstanceDown) -> None:
        """Nothing more will be logged: nobody is left waiting. Those who come later are told, too.

        The first reason counts.
        """
        with self._changed:
            self._ended = self._ended or why
            self._changed.notify_all()

    def wait(self, beyond: int, timeout: float | None = None) -> int:
        """Wait until the log is durable beyond a position; return how far it is.

        timeout: in seconds; the answer may then be no further than `beyond`. Raises InstanceDown
        when the stream ends before.
        """
        with self._changed:
            self._waiting += 1
            try:
                self._changed.wait_for(
                    lambda: self.position > beyond or self._ended is not None, timeout
                )
            finally:
                self._waiting -= 1
            if self.position <= beyond and self._ended is not None:
                raise InstanceDown(self._ended.message, jet=self._ended.jet) from self._ended
            return self.position

    def wait_closed(self, generation: int, timeout: float | None = None) -> bool:
        """Wait until a generation is complete; tell whether it is. Raises InstanceDown."""
        return self.wait((generation + 1) << 32, timeout) >> 32 > generation
