"""Which logs of an instance are there, which are needed, and which may go.

A log may go when neither a recovery needs it (it lies below the checkpoint) nor somebody holds it.
Whether it is kept somewhere else is not asked here: backups truncate only after they succeeded.

Source: log specification 1.3 (deletion), 5.1 (checkpoint).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hotsplit.ese.engine.log.holds import Hold

if TYPE_CHECKING:
    from hotsplit.ese.engine.context import Context
    from hotsplit.ese.engine.upkeep.checkpointing import Checkpointer


@dataclass(frozen=True)
class LogRange:
    """Generations of one stream.

    lowest: of the unbroken chain that ends with `current`, the log being written. checkpoint: the
    lowest that a recovery needs. held: the lowest that a backup or shipper needs, 0 for none.
    """

    lowest: int
    current: int
    checkpoint: int
    held: int


class LogKeeper:
    """The bookkeeping of one instance. Every call is made with its lock."""

    def __init__(self, context: Context, checkpointer: Checkpointer) -> None:
        self._context, self._checkpointer = context, checkpointer

    def range(self) -> LogRange:
        """Return what there is and what is needed."""
        current, archives = self._context.log.generation, set(self._context.files.archives())
        lowest = current
        while lowest - 1 in archives:
            lowest -= 1
        held = self._context.holds.lowest() or 0
        return LogRange(lowest, current, self._checkpointer.position >> 32, held)

    def limit(self, below: int, *, but: Hold | None = None) -> int:
        """Return the generation below which logs may go, of those below `below`.

        but: a hold that does not count.
        """
        below = min(below, self._checkpointer.position >> 32)
        return self._context.holds.limit(below, but=but)

    def truncate(self, below: int, *, but: Hold | None = None) -> tuple[int, int]:
        """Delete logs below a generation, lowest first, as far as `limit` allows.

        Returns the first and the last generation deleted, (0, 0) for none.
        """
        context = self._context
        gone = context.files.delete_below(self.limit(below, but=but))
        context.env.sync_dir(context.settings.folder)
        return (gone[0], gone[-1]) if gone else (0, 0)
