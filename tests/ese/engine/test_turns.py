"""Turns at writing a log: who gets one, who wakes, who is not left behind."""

from __future__ import annotations

import contextlib
import itertools
import queue
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import ClassVar

import pytest

from hotsplit.ese.engine.log.turns import Turns

PATIENCE = 10.0


class Waiter:
    """A thread in `Turns.take`. answer: what that returned, None before."""

    all: ClassVar[list[Waiter]] = []

    def __init__(self, turns: Turns, wanted: int) -> None:
        self.all.append(self)
        self._turns, self._wanted = turns, wanted
        self.answer: bool | None = None
        self._durable: queue.Queue[int] = queue.Queue()
        self._thread = threading.Thread(target=self._wait, daemon=True)
        before = len(turns._sleepers)
        self._thread.start()
        until(lambda: len(turns._sleepers) > before or self.answer is not None)

    def _wait(self) -> None:
        self.answer = self._turns.take(self._wanted)
        if self.answer:
            self._turns.give_on(self._durable.get())

    def has_turn(self) -> bool:
        """Tell whether it was woken to write."""
        until(lambda: self.answer is not None)
        return bool(self.answer)

    def give_on(self, durable: int) -> None:
        """End its turn."""
        self._durable.put(durable)
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()

    def is_served(self) -> bool:
        """Tell whether it went on without a turn."""
        self._thread.join(PATIENCE)
        return self.answer is False


@pytest.fixture(autouse=True)
def ended() -> Iterator[None]:
    """Leave no thread behind: whoever has a turn ends it."""
    yield
    while Waiter.all:
        waiter = Waiter.all.pop(0)
        waiter.has_turn()
        waiter.give_on(1 << 62)


@contextlib.contextmanager
def interrupted(turns: Turns, work: Callable[[], None]) -> Iterator[None]:
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
        turns.give_on(0)  # as the log writer does, whatever comes
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
    assert all(waiters[n].is_served() for n in (0, 2, 4))
    assert waiters[1].has_turn()
    assert waiters[3].answer is None
    waiters[1].give_on(9)
    assert waiters[3].is_served()
    assert turns.take(9)


def test_what_is_durable_up_to_a_position_is_not_durable_at_it() -> None:
    turns = Turns()
    assert turns.take(0)
    waiter = Waiter(turns, 6)
    turns.give_on(6)
    assert waiter.has_turn()


def test_only_the_owner_of_a_turn_ends_it() -> None:
    turns = Turns()
    owner = Waiter(turns, 0)
    waiter = Waiter(turns, 1)
    turns.give_on(9)
    assert waiter.answer is None
    owner.give_on(9)
    assert waiter.is_served()


@pytest.mark.parametrize("served", [False, True])
def test_a_waiter_that_is_interrupted_keeps_nobody(served: bool) -> None:
    turns = Turns()
    owner = Waiter(turns, 0)
    others: list[Waiter] = []

    def work() -> None:
        others.append(Waiter(turns, 5))
        if served:
            owner.give_on(6)

    with interrupted(turns, work):
        turns.take(4)
    if not served:
        owner.give_on(6)
    assert others[0].is_served()


def test_a_turn_that_comes_while_its_waiter_is_interrupted_goes_to_the_next() -> None:
    turns = Turns()
    owner = Waiter(turns, 0)
    others: list[Waiter] = []

    def work() -> None:
        others.append(Waiter(turns, 5))
        owner.give_on(3)

    with interrupted(turns, work):
        turns.take(4)
    assert others[0].has_turn()


def test_a_waiter_whose_waker_is_gone_wakes_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hotsplit.ese.engine.log.turns._LOOK", 0.01)
    turns = Turns()
    owner = Waiter(turns, 0)
    waiter = Waiter(turns, 1)
    turns._sleepers.clear()  # as by one that is interrupted before it wakes the waiter
    assert waiter.is_served()
    owner.give_on(9)


def test_signals_at_any_moment_keep_nobody() -> None:
    turns = Turns()
    rng = random.Random(1)
    rounds = itertools.count(1)
    armed = False

    def interrupt(number: int, frame: object) -> None:
        nonlocal armed
        if armed:  # Python calls this some time after the signal, perhaps after the work
            armed = False  # nor is the handling of this one interrupted by another that was late
            raise InterruptedError

    def work() -> None:
        try:
            if turns.take(next(rounds)):
                time.sleep(0)
        finally:
            turns.give_on(next(rounds))

    def work_on() -> None:
        for _ in range(2000):
            work()

    threads = [threading.Thread(target=work_on) for _ in range(3)]
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            with contextlib.suppress(InterruptedError):
                armed = True
                signal.setitimer(signal.ITIMER_REAL, rng.uniform(1e-5, 5e-4))
                work()
                armed = False
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert turns.take(0)
