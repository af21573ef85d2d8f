"""What `with` and `async with` do for a session: transactions, and changes that belong together."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from hotsplit.errors import InvalidUse, Jet
from hotsplit.ese.files.opened import UNDECODABLE, undecodable

if TYPE_CHECKING:
    from hotsplit.ese.engine.session import Session
    from hotsplit.ese.engine.tables.tablestate import TableState


class TransactionScope:
    """A transaction: begun at the start, committed at the end, rolled back after an error.

    With `async with` the wait for the disk lets the other tasks of the event loop run. A task that
    is cancelled in this wait has committed all the same. What is begun inside ends inside: where
    it did not, or the transaction itself was ended there, the end raises InvalidUse (-1054) and
    nothing is committed by it.
    """

    __slots__ = ("_lazy", "_levels", "_session")

    def __init__(self, session: Session, lazy: bool) -> None:
        self._session, self._lazy = session, lazy
        self._levels: list[int] = []

    def __enter__(self) -> None:
        self._session.begin()
        self._levels.append(self._session.level)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._goes_on(kind):
            self._session.commit(lazy=self._lazy)

    async def __aenter__(self) -> None:
        self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._goes_on(kind):
            return
        position = self._session.commit_without_wait()
        if position is not None and not self._lazy:
            await self._session.context.awaiting.durable(position)

    def _goes_on(self, error: type[BaseException] | None) -> bool:
        """Tell whether the transaction is to be committed; else roll back what is left of it."""
        session, level = self._session, self._levels.pop()
        if error is None and session.level == level:
            return True
        if session.context.failure is None:
            while session.level >= level:
                session.rollback()
        if error is None:
            session.context.check()
            raise InvalidUse("The block did not end its transactions", jet=Jet.errNotInTransaction)
        return False


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
                self._table.check_open_to(session)
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
