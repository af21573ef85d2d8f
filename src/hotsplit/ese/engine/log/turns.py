"""Who writes the log, and who waits for it: one thread writes for all that came before it.

A thread that needs the log durable either gets the turn to write or is put to sleep on a lock of
its own. Whoever has written gives the turn to the first that needs more, and wakes those that have
what they need: nobody wakes up for nothing.

A signal may interrupt a thread anywhere. So a turn knows whose it is, and a sleeper looks from time
to time whether the one that was to wake it has been interrupted.
"""

from __future__ import annotations

import threading

_LOOK = 1.0  # seconds


class _Sleeper:
    """A thread that waits. wanted: position that must be durable."""

    __slots__ = ("lock", "thread", "wanted")

    def __init__(self, wanted: int) -> None:
        self.wanted = wanted
        self.thread = threading.get_ident()
        self.lock = threading.Lock()
        self.lock.acquire()


class Turns:
    """The turn to write one log stream. Who is in `_sleepers` is not to wake up yet."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._owner = 0
        self._sleepers: list[_Sleeper] = []

    def take(self, wanted: int) -> bool:
        """Wait until the log is durable beyond `wanted` or the caller has the turn; tell which.

        The caller must call `give_on` after that, whatever comes between.
        """
        sleeper = None
        try:
            with self._mutex:
                if self._owner in (0, threading.get_ident()):
                    self._owner = threading.get_ident()
                    return True
                sleeper = _Sleeper(wanted)
                self._sleepers.append(sleeper)
            while not sleeper.lock.acquire(timeout=_LOOK) and sleeper in self._sleepers:
                pass
        except BaseException:  # a signal
            if sleeper is not None:
                self._leave(sleeper)
            raise
        return self._owner == sleeper.thread

    def _leave(self, sleeper: _Sleeper) -> None:
        """Stop to wait."""
        with self._mutex:
            if sleeper in self._sleepers:
                self._sleepers.remove(sleeper)

    def give_on(self, durable: int) -> None:
        """End the caller's turn, if it has it; the log is durable up to `durable`."""
        try:
            self._give_on(durable)
        except BaseException:  # a signal
            self._give_on(0)
            raise

    def _give_on(self, durable: int) -> None:
        if self._owner != threading.get_ident():
            return
        with self._mutex:
            if not self._sleepers:
                self._owner = 0
                return
            served = [one for one in self._sleepers if one.wanted < durable]
            left = [one for one in self._sleepers if one.wanted >= durable]
            rest, owner = left[1:], left[0].thread if left else 0
            self._sleepers, self._owner = rest, owner  # no signal can come between
            if left:
                left[0].lock.release()  # first: the disk is to be idle for as short as can be
            for one in served:
                one.lock.release()
