"""What `with` and `async with` do for a session: transactions, and changes that belong together."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from hotsplit.ese.files.opened import UNDECODABLE, undecodable

if TYPE_CHECKING:
    from hotsplit.ese.engine.session import Session
    from hotsplit.ese.engine.tables.tablestate import TableState


class TransactionScope:
    """A transaction: begun at the start, committed at the end, rolled back after an error.

    With `async with` the wait for the disk lets the other tasks of the event loop run. A task that
    is cancelled in this wait has committed all the same.
    """

    __slots__ = ("_lazy", "_session")

    def __init__(self, session: Session, lazy: bool) -> None:
        self._session, self._lazy = session, lazy

    def __enter__(self) -> None:
        self._session.begin()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self._session.commit(lazy=self._lazy)
        else:
            self._roll_back()

    async def __aenter__(self) -> None:
        self._session.begin()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self._roll_back()
            return
        position = self._session.commit_without_wait()
        if position is not None and not self._lazy:
            await self._session.context.awaiting.durable(position)

    def _roll_back(self) -> None:
        if self._session.context.failure is None:
            self._session.rollback()


class Savepoint:
    """Some changes that belong together: a part of the open transaction, or one of their own.

    They happen or none does. The lock is held inside.
    """

    def __init__(self, session: Session, table: TableState) -> None:
        self._session, self._table = session, table
        self._count = -1

    def __enter__(self) -> None:
        session = self._session
        session.context.lock.acquire()
        try:
            if session.context.files.low:
                session.context.check_log_room()
            if not self._table.is_open_to_all:
                self._table.writable_by(session)
            if session.level:
                session.context.check()
                session.housekeep()
                self._count = len(session.current.versions)
            else:
                session.begin()
        except BaseException:
            session.context.lock.release()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        session = self._session
        position = None
        try:
            if kind is None:
                position = session.commit_without_wait() if self._count < 0 else None
            elif session.context.failure is None:
                if self._count < 0:
                    session.rollback()
                else:
                    session.undo_to(self._count)
        finally:
            session.context.lock.release()
        if isinstance(error, UNDECODABLE):
            raise undecodable(error, self._table.database.path) from error
        if position is not None:
            session.context.log.flush(position)
