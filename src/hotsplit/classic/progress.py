"""Reading a file under the ruler, and the times of the reads."""

from __future__ import annotations

import time

from hotsplit.classic.console import Console, Ruler


class Reads:
    """Moves the ruler on with each read and keeps its times, in milliseconds."""

    def __init__(self, console: Console, total: int) -> None:
        self.ruler = Ruler(console, total)
        self.times: list[int] = []
        self._begun = self._last = time.monotonic()

    def __call__(self, size: int) -> None:
        """Take note of a read of `size` bytes."""
        now = time.monotonic()
        self.times.append(round((now - self._last) * 1000))
        self._last = now
        self.ruler.advance(size)

    def lines(self, megabytes: int) -> list[str]:
        """Return the statistics of a file of so many MB (2^20 bytes)."""
        seconds = max(1, int(time.monotonic() - self._begun))
        count = len(self.times)
        return [
            f"{count} reads performed",
            f"{megabytes} MB read",
            f"{seconds} seconds taken",
            f"{megabytes // seconds} MB/second",
            f"{sum(self.times)} milliseconds used",
            f"{sum(self.times) // count if count else 0} milliseconds per read",
            f"{max(self.times, default=0)} milliseconds for the slowest read",
            f"{min(self.times, default=0)} milliseconds for the fastest read",
        ]
