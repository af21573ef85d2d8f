"""Freeze and thaw: for a moment nothing of an instance's files changes.

    with instance.freeze() as freeze:
        ...  # split the mirror, take the snapshot
    print(freeze.report)

While it lasts, all commits are durable, no page is half written, and whoever wants to change
something waits; how long is counted. Who reads goes on: what is to be read is read, what reading
would write by the way (pages that the cache is too small for, a wrong bit put right) waits. A
watchdog ends the freeze at its deadline whatever became of its caller.

A copy of one instant does not need any of this: see "Hot split" in the manual.

Source: log specification 8.11 (freeze and thaw of a snapshot).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from hotsplit.errors import FreezeExpired, HotsplitError, InvalidUse, Jet
from hotsplit.ese.engine.context import Context
from hotsplit.ese.recovery.events import EventId, NoWatch, Watch
from hotsplit.ese.recovery.store import Store

DEADLINE = 10.0
"""Seconds that a freeze lasts at most unless told otherwise."""


@dataclass(frozen=True)
class FreezeReport:
    """What a freeze did. Times are in seconds.

    position: durable end of the log. held: how long it lasted. waiters: calls that were kept
    waiting; longest and total of their waits. expired: the deadline ended it.
    """

    position: int
    held: float
    waiters: int
    longest: float
    total: float
    expired: bool


class Freeze:
    """One freeze of an instance. report: of a freeze that is over, None before.

    stores: gives the files of the databases that are attached.
    """

    def __init__(
        self,
        context: Context,
        stores: Callable[[], list[Store]],
        deadline: float = DEADLINE,
        watch: Watch | None = None,
    ) -> None:
        if not 0 < deadline <= threading.TIMEOUT_MAX:
            raise InvalidUse(f"No deadline: {deadline} s", jet=Jet.errInvalidParameter)
        self._watch = watch or NoWatch()
        self._context, self._stores, self._deadline = context, stores, deadline
        self._frozen, self._thaw = threading.Event(), threading.Event()
        self._failure: BaseException | None = None
        self._watchdog = threading.Thread(target=self._guard, name="freeze", daemon=True)
        self.report: FreezeReport | None = None

    def begin(self) -> None:
        """Return when the instance is frozen.

        Raises FreezeExpired (-2402) if it stays busy as long as the deadline, InvalidUse (-2403)
        if it is frozen already, and what flushing its files raises.
        """
        self._watchdog.start()
        try:
            self._frozen.wait()
        except BaseException:
            self._thaw.set()
            raise
        if self._failure is not None:
            self._watchdog.join()
            raise self._failure
        self._watch.event(EventId.FROZEN, f"Frozen for {self._deadline:g} s at most")

    def thaw(self) -> FreezeReport:
        """End the freeze. Raises FreezeExpired (-2402) if the deadline had ended it before."""
        self._thaw.set()
        self._watchdog.join()
        assert self.report is not None
        if self.report.expired:
            raise FreezeExpired(
                f"The freeze was over after {self._deadline:g} s, before it was ended: what was"
                " copied is not of one instant"
            )
        return self.report

    def __enter__(self) -> Self:
        self.begin()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.thaw()
        except FreezeExpired:
            if kind is None:
                raise

    # The watchdog

    def _guard(self) -> None:
        try:
            self._hold()
            self._tell_end()
        except BaseException as error:
            self._failure = error
        finally:
            self._frozen.set()

    def _hold(self) -> None:
        lock = self._context.lock
        if not lock.may_close():
            raise InvalidUse("The instance is frozen already", jet=Jet.errOSSnapshotNotAllowed)
        try:
            self._settle()
            if not lock.close(self._deadline):
                raise FreezeExpired(f"The instance stayed busy for {self._deadline:g} s")
            self._freeze()
        finally:
            lock.over()

    def _tell_end(self) -> None:
        assert self.report is not None
        held = f"{self.report.held:.3f}"
        if self.report.expired:
            self._watch.event(EventId.FREEZE_EXPIRED, f"Thawed by the watchdog: {held} s", held)
        else:
            self._watch.event(EventId.THAWED, f"Thawed after {held} s", held)

    def _settle(self) -> None:
        """Make most of the pages durable before anybody is kept waiting for it."""
        for store in self._stores():
            try:
                store.sync()
            except HotsplitError:  # detached meanwhile, or it will fail again below
                continue

    def _freeze(self) -> None:
        context, lock, begun = self._context, self._context.lock, time.monotonic()
        try:  # the lock is closed, and ours, so that no page is being written
            context.check()
            context.log.flush()
            for store in self._stores():
                store.sync()
        finally:
            context.looking.release()
        position = context.log.durable
        self._frozen.set()
        left = self._deadline - (time.monotonic() - begun)
        expired = not self._thaw.wait(max(0.0, left))
        end = time.monotonic()
        waits = [end - max(begun, since) for since in list(lock.waiting.values())]
        self.report = FreezeReport(
            position, end - begun, len(waits), max(waits, default=0.0), sum(waits), expired
        )
