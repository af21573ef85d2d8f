"""Moving the checkpoint on: old pages to disk, headers, the checkpoint file, old logs.

Source: log specification 5.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from hotsplit.ese.engine.context import Context
from hotsplit.ese.engine.counters import Reason
from hotsplit.ese.engine.settings import SEGMENT
from hotsplit.ese.files.checkpointfile import write_checkpoint
from hotsplit.ese.format.attachments import Attachment
from hotsplit.ese.format.checkpoint import FILE_TYPE, Checkpoint
from hotsplit.ese.format.header import DbState
from hotsplit.ese.recovery.pages import position_number, position_of

if TYPE_CHECKING:
    from hotsplit.ese.engine.database import OpenDatabase
    from hotsplit.ese.engine.session import Session

_LOOKS = 16  # how often in a checkpoint depth of log there is a look at what is due


class Checkpointer:
    """The checkpoint of an instance. position: where replay would begin."""

    def __init__(
        self,
        context: Context,
        databases: dict[int, OpenDatabase],
        sessions: Callable[[], list[Session]],
    ) -> None:
        self._context, self._databases, self._sessions = context, databases, sessions
        self.position = 0
        self._next_look = 0

    def reset(self, position: int) -> None:
        """Begin with the checkpoint at `position`, before the logs of the stream say more."""
        self.position = self._next_look = position
        _write(self._context, self.position, self._context.log.attachments())

    def _distance(self, position: int) -> int:
        """Bytes of log from `position` to the end."""
        end, size = self._context.log.end, self._context.settings.log_size
        generations = (end >> 32) - (position >> 32)
        return generations * size + ((end >> 16 & 0xFFFF) - (position >> 16 & 0xFFFF)) * SEGMENT

    def _moved(self, position: int, distance: int) -> int:
        """The position that lies so many bytes of log behind another one."""
        sectors = self._context.settings.log_sectors
        place = (position >> 32) * sectors + (position >> 16 & 0xFFFF) + distance // SEGMENT
        return place // sectors << 32 | place % sectors << 16

    def lowest(self) -> int:
        """Return the position from which replay would make everything good again."""
        positions = [self._context.log.durable]
        positions += [s.begun_at for s in self._sessions() if s.begun_at is not None]
        oldest = self._context.cache.oldest()
        if oldest is not None:
            positions.append(oldest)
        for database in self._databases.values():
            if database.header.state == DbState.JUST_CREATED:  # replay has to see all of it
                positions.append(position_number(database.header.attach))
        return min(positions)

    def advance_if_due(self) -> None:
        """Clean old pages when the checkpoint lies too deep; move it once it is worth it."""
        end = self._context.log.end
        if end < self._next_look:
            return
        depth = self._context.settings.checkpoint_depth
        self._next_look = self._moved(end, depth // _LOOKS)
        cache = self._context.cache
        oldest = cache.oldest()
        if oldest is not None and self._distance(oldest) > depth:
            due = self._moved(end, -(depth * 3 // 4))
            while cache.clean_below(due, Reason.NORMAL):
                pass
        if self._distance(self.position) > depth + depth // 4 + self._context.settings.log_size:
            lowest = self.lowest()
            if lowest >> 32 > self.position >> 32:
                self.advance()

    def idle(self) -> bool:
        """Write some old pages because there is time; tell whether others are left.

        When none is left the checkpoint moves up to the end of the log.
        """
        cache = self._context.cache
        cache.clean_below(self._context.log.end, Reason.IDLE)
        if cache.oldest() is not None:
            return True
        if self.lowest() >> 32 > self.position >> 32:
            self.advance()
        return False

    @property
    def depth(self) -> int:
        """Bytes of log that a recovery would read now."""
        return self._distance(self.position)

    def advance(self) -> None:
        """Move the checkpoint as far as pages and transactions allow (5.1: order of writes)."""
        lowest = self.lowest()
        position = max(self.position, lowest)
        with self._context.log.stopped_by_errors():
            for database in self._databases.values():
                database.store.sync()
            for database in self._databases.values():
                database.mark_required(lowest >> 32)
            _write(self._context, position, self._context.log.attachments())
        self.position = position
        if self._context.settings.circular:
            self._context.files.delete_below(self._context.holds.limit(position >> 32))

    def write_closed(self, position: int) -> None:
        """The instance ended with the record at `position`."""
        self.position = position
        write_closed_checkpoint(self._context, position)


def write_closed_checkpoint(context: Context, position: int) -> None:
    """Write the checkpoint of a stream that ends with the record at `position`."""
    _write(context, position, None)


def _write(context: Context, position: int, attachments: list[Attachment] | None) -> None:
    block = Checkpoint.empty()
    block.file_type, block.signature = FILE_TYPE, context.files.signature
    block.parameters = context.settings.parameters()
    block.position = block.consistency = position_of(position)
    if attachments is not None:
        block.attachments = attachments
    write_checkpoint(context.env, context.files.checkpoint_path, block)
