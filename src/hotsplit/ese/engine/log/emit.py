"""The log as it is written, told to those who ship it: piece by piece, before a log is complete.

    end = log.emit_to(queue.put)
    ...
    end()

What was written of the current log so far comes first, then each write when it is durable. A
listener is called by the thread that writes, while others wait for it: it should only take note.

Source: log specification 7.9, 8.9.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class LogData(NamedTuple):
    """Bytes of a log from a sector on; its header is sector 0. complete: no more follow in it."""

    generation: int
    sector: int
    data: bytes
    complete: bool = False


Listener = Callable[[LogData], None]
