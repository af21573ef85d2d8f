"""Who writes the log, and who waits for it: one thread writes for all that came before it.

A thread that needs the log durable either gets the turn to write or is put to sleep on a lock of
its own. Whoever has written gives the turn to the first that needs more, and has those woken that
have what they need: nobody wakes up for nothing. Each of these wakes the next one. If all woke at
once, they would only wait for the interpreter, and the writer among them.
"""

from __future__ import annotations

import threading
from itertools import pairwise


class _Sleeper:
    """A thread that waits. wanted: position that must be durable.

    turn: it was woken to write. next: whom it must wake.
    """

    __slots__ = ("lock", "next", "turn", "wanted")

    def __init__(self, wanted: int) -> None:
        self.wanted = wanted
        self.turn = False
        self.next: _Sleeper | None = None
        self.lock = threading.Lock()
        self.lock.acquire()


class Turns:
    """The turn to write one log stream."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._taken = False
        self._sleepers: list[_Sleeper] = []

    def take(self, wanted: int) -> bool:
        """Wait until the log is durable beyond `wanted` or the caller has the turn; tell which.

        True: the caller has the turn, and must give it on whatever happens.
        """
        with self._mutex:
            if not self._taken:
                self._taken = True
                return True
            sleeper = _Sleeper(wanted)
            self._sleepers.append(sleeper)
        try:
            sleeper.lock.acquire()
        except BaseException:  # a signal
            self._leave(sleeper)
            raise
        if sleeper.next is not None:
            sleeper.next.lock.release()
        return sleeper.turn

    def _leave(self, sleeper: _Sleeper) -> None:
        """Stop to wait; what the thread owes to others is done if it was about to be woken."""
        with self._mutex:
            if sleeper in self._sleepers:
                self._sleepers.remove(sleeper)
                return
        if sleeper.turn:
            self.give_on(0)
        elif sleeper.next is not None:
            sleeper.next.lock.release()

    def give_on(self, durable: int) -> None:
        """End the caller's turn; the log is durable up to `durable`, 0 if that is not known."""
        with self._mutex:
            if not self._sleepers:
                self._taken = False
                return
            served = [one for one in self._sleepers if one.wanted < durable]
            left = [one for one in self._sleepers if one.wanted >= durable]
            self._taken = bool(left)
            self._sleepers = left[1:]
            for one, following in pairwise(served):
                one.next = following
            if left:
                left[0].turn = True
                left[0].lock.release()  # first: the disk is to be idle for as short as can be
            if served:
                served[0].lock.release()
