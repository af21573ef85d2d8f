"""Commits that event loops wait for: one thread syncs the log for all of them.

A task that waits for the disk lets others run, so all that commit meanwhile share the next sync,
as threads do (see `turns`), without the cost of a thread for each. A loop is woken once a sync,
whatever the number of its tasks.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import NamedTuple

from hotsplit.errors import HotsplitError
from hotsplit.ese.engine.log.writer import LogWriter


class _Waiter(NamedTuple):
    position: int
    future: asyncio.Future[None]
    loop: asyncio.AbstractEventLoop


class Awaiting:
    """Who waits in an event loop for the log of one instance."""

    def __init__(self, log: LogWriter) -> None:
        self._log = log
        self._changed = threading.Condition()
        self._waiters: list[_Waiter] = []
        self._called: set[asyncio.AbstractEventLoop] = set()
        self._thread: threading.Thread | None = None
        self._wanted = self._ended = False

    def durable(self, position: int) -> asyncio.Future[None]:
        """Return a future of the running loop, done when the record at `position` is durable.

        It raises InstanceDown if the instance comes to an end before.
        """
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        if self._log.durable > position:
            future.set_result(None)
            return future
        with self._changed:
            self._waiters.append(_Waiter(position, future, loop))
            if loop not in self._called:
                self._called.add(loop)
                loop.call_soon(self._call, loop)  # when the other tasks had their turn, too
        return future

    def _call(self, loop: asyncio.AbstractEventLoop) -> None:
        """Have the log synced for the tasks of a loop."""
        with self._changed:
            self._called.discard(loop)
            self._wanted = True
            if self._thread is None and not self._ended:
                self._thread = threading.Thread(target=self._run, name="hotsplit-log", daemon=True)
                self._thread.start()
            self._changed.notify()
            ended = self._ended
        if ended:
            self._serve()

    def end(self) -> None:
        """The log is closed: tell all who wait, and whoever comes later, how it ended."""
        with self._changed:
            self._ended = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._wanted and not self._ended:
                    self._changed.wait()
                self._wanted = False
                idle = not self._waiters
                if idle and self._ended:
                    return
            if not idle:
                self._serve()

    def _serve(self) -> None:
        """Sync for all who wait now, and serve those who came meanwhile if it was for them, too."""
        error: HotsplitError | None = None
        try:
            self._log.flush(max((waiter.position for waiter in self._waiters), default=-1))
        except HotsplitError as failed:
            error = failed
        served: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = {}
        with self._changed:
            durable, waiters, self._waiters = self._log.durable, self._waiters, []
            for waiter in waiters:
                if error is not None or waiter.position < durable:
                    served.setdefault(waiter.loop, []).append(waiter.future)
                else:
                    self._waiters.append(waiter)
        for loop, futures in served.items():
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(_settle, futures, error)


def _settle(futures: list[asyncio.Future[None]], error: HotsplitError | None) -> None:
    for future in futures:
        if future.done():  # cancelled
            continue
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)
