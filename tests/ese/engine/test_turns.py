"""Turns at writing a log: who gets one, who wakes, who is not left behind."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from hotsplit.ese.engine.log.turns import Turns

PATIENCE = 10.0


class Waiter:
    """A thread in `Turns.take`. answer: what that returned, None before."""

    def __init__(self, turns: Turns, wanted: int) -> None:
        self._turns, self._wanted = turns, wanted
        self.answer: bool | None = None
        self._thread = threading.Thread(target=self._wait, daemon=True)
        before = len(turns._sleepers)
        self._thread.start()
        until(lambda: len(turns._sleepers) > before)

    def _wait(self) -> None:
        self.answer = self._turns.take(self._wanted)

    def ended(self) -> bool | None:
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()
        return self.answer


@contextlib.contextmanager
def interrupted(work: Callable[[], None]) -> Iterator[None]:
    """Do `work` in the main thread once it waits; what it waits in raises after that."""

    def interrupt(number: int, frame: object) -> None:
        work()
        raise InterruptedError

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        with pytest.raises(InterruptedError):
            yield
    finally:
        signal.signal(signal.SIGALRM, before)


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end
        time.sleep(0.001)


def test_all_that_have_what_they_need_wake_and_the_first_other_writes() -> None:
    turns = Turns()
    assert turns.take(0)
    waiters = [Waiter(turns, wanted) for wanted in (3, 7, 5, 8, 4)]
    turns.give_on(6)
    assert [waiters[n].ended() for n in (0, 2, 4)] == [False] * 3
    assert waiters[1].ended()
    assert waiters[3].answer is None
    turns.give_on(9)
    assert waiters[3].ended() is False
    assert turns.take(9)


def test_what_is_durable_up_to_a_position_is_not_durable_at_it() -> None:
    turns = Turns()
    assert turns.take(0)
    waiter = Waiter(turns, 6)
    turns.give_on(6)
    assert waiter.ended()


@pytest.mark.parametrize("served", [False, True])
def test_a_waiter_that_is_interrupted_keeps_nobody(served: bool) -> None:
    turns = Turns()
    assert turns.take(0)
    others: list[Waiter] = []

    def work() -> None:
        others.append(Waiter(turns, 5))
        if served:  # the other one is to be woken by the one that is interrupted
            turns.give_on(6)

    with interrupted(work):
        turns.take(4)
    if not served:
        turns.give_on(6)
    assert others[0].ended() is False


def test_a_turn_that_comes_while_its_waiter_is_interrupted_goes_to_the_next() -> None:
    turns = Turns()
    assert turns.take(0)
    others: list[Waiter] = []

    def work() -> None:
        others.append(Waiter(turns, 5))
        turns.give_on(3)

    with interrupted(work):
        turns.take(4)
    assert others[0].ended()
