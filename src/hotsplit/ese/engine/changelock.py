"""The lock of an instance, which a freeze closes to those who change something.

    with context.lock: ...     # change something: waits while the instance is frozen
    with context.looking: ...  # only read: goes on

`looking` is what keeps threads apart; whoever changes something holds it, too. It is the freeze's
rule that nobody waits for a thaw who holds it.

Source: log specification 8.11 (freeze and thaw of a snapshot).
"""

from __future__ import annotations

import threading
import time
from types import TracebackType


class ChangeLock:
    """See the module. Its holder may take it again.

    looking: for those who only read. is_closed: whether the instance is frozen; it becomes so while
    `looking` is held. waiting: since when, by thread, those who wait for the thaw.
    """

    def __init__(self) -> None:
        self.looking = threading.RLock()
        self.is_closed = False
        self.waiting: dict[int, float] = {}
        self._depth = 0  # how often its holder has taken it
        self._freezing = threading.Lock()
        self._opened = threading.Event()

    def acquire(self) -> None:
        """Take it."""
        self.looking.acquire()
        if self.is_closed and not self._depth:
            self._wait()
        self._depth += 1

    def release(self) -> None:
        """Give it back."""
        self._depth -= 1
        self.looking.release()

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def _wait(self) -> None:
        """Let go until it is open again."""
        thread = threading.get_ident()
        self.waiting[thread] = time.monotonic()
        try:
            while self.is_closed:
                self.looking.release()
                try:
                    self._opened.wait()
                finally:
                    self.looking.acquire()
        except BaseException:
            self.looking.release()
            raise
        finally:
            del self.waiting[thread]

    # A freeze

    def may_close(self) -> bool:
        """Begin a freeze; tell whether it is the only one. `over` ends it."""
        return self._freezing.acquire(blocking=False)

    def close(self, timeout: float) -> bool:
        """Keep out all who want to change something; tell whether it is so within some seconds.

        `looking` is the caller's then.
        """
        if not self.looking.acquire(timeout=timeout):
            return False
        self._opened.clear()
        self.is_closed = True
        return True

    def over(self) -> None:
        """Let all in again."""
        self.is_closed = False
        self._opened.set()
        self._freezing.release()
