"""A read of a table: the lock and the session's view, as long as it takes."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from hotsplit.ese.files.opened import UNDECODABLE, undecodable

if TYPE_CHECKING:
    from hotsplit.ese.engine.session import Session
    from hotsplit.ese.engine.tables.tablestate import TableState


class Reading:
    """Holds the lock for a read, in the view of the transaction or in one of its own.

    Raises ObjectNotFound if the table is no more, DataDamaged for bytes that mean nothing.
    """

    __slots__ = ("_own", "_session", "_table")

    def __init__(self, session: Session, table: TableState) -> None:
        self._session, self._table = session, table
        self._own = False

    def __enter__(self) -> None:
        session, table = self._session, self._table
        session.context.looking.acquire()
        try:
            if not session.level:
                session.begin()
                self._own = True
            session.housekeep()
            if not table.is_current:
                table.seen_by(session)
        except BaseException:
            self._end()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()
        if isinstance(error, UNDECODABLE):
            raise undecodable(error, self._table.database.path) from error

    def _end(self) -> None:
        try:
            if self._own:
                self._session.commit()
        finally:
            self._session.context.looking.release()
