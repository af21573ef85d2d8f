"""Sessions: who changes things, in transactions that may be nested.

The first change of a transaction logs its beginning; until then it costs nothing.

Source: log specification 4.13 (records), 7.2 (order), 7.10 (numbers).
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from hotsplit.errors import InvalidUse, Jet, ObjectNotFound, WriteConflict
from hotsplit.ese.engine.context import Context
from hotsplit.ese.engine.schema.changes import Kind, add_column, create_index, create_table
from hotsplit.ese.engine.schema.definitions import Column, Index
from hotsplit.ese.engine.schema.dropping import (
    drop_column,
    drop_index,
    drop_table,
    rename_column,
    rename_table,
)
from hotsplit.ese.engine.schema.indexbuild import fill_index
from hotsplit.ese.engine.scopes import Savepoint, TransactionScope
from hotsplit.ese.engine.tables.table import Table
from hotsplit.ese.engine.trees.chains import InsertRun
from hotsplit.ese.engine.trees.tree import Tree
from hotsplit.ese.engine.trees.versions import Bookmark, Transaction, Version
from hotsplit.ese.files.opened import Closing, decoded
from hotsplit.ese.format.recordtable import RecordType as T
from hotsplit.ese.recovery.core import INSERT, REPLACE

if TYPE_CHECKING:
    from hotsplit.ese.engine.database import OpenDatabase
    from hotsplit.ese.engine.tables.tablestate import TableState

_BEGIN0 = struct.Struct("<BHBI")
_BEGIN = struct.Struct("<BHB")
_DEEPEST = 7
_HOUSEKEEPING = 32  # statements
FIRST_SESSION = 5
INTERNAL_SESSION = 3
"""Session numbers: of the first user, and of the engine's own work."""


class Session(Closing):
    """One user of the instance; not to be used by two threads at a time.

    level: nesting depth, 0 outside a transaction. trx: number of the transaction.
    changes: count of changes of nodes, undone ones too.
    """

    def __init__(self, context: Context, procid: int) -> None:
        self.context = context
        self.procid = procid
        self.level = 0
        self.trx = self.changes = 0
        self.begun_at: int | None = None
        self._logged = self._statements = 0
        self._transaction: Transaction | None = None
        self._schema_undo: list[tuple[int, Callable[[], None]]] = []
        self._schemas: dict[OpenDatabase, None] = {}
        self.on_close: Callable[[Session], None] = lambda _: None
        self.is_closed = False

    @property
    def current(self) -> Transaction:
        """The open transaction. Raises InvalidUse (-1054) outside of one."""
        if self._transaction is None:
            self.context.check()
            raise InvalidUse("There is no transaction", jet=Jet.errNotInTransaction)
        return self._transaction

    @property
    def sight(self) -> tuple[int, int]:
        """What the open transaction sees: what was read with another one may be outdated."""
        return self.current.begin, self.changes

    def sees(self, other: Transaction) -> bool:
        """Tell whether what a transaction did is part of what the session sees now."""
        mine = self._transaction
        if mine is None:
            return bool(other.commit)
        return other is mine or 0 < other.commit <= mine.begin

    # Transactions

    @property
    def _own_lock(self) -> contextlib.AbstractContextManager[object]:
        """What the end of a transaction takes: one without changes does not wait for a thaw."""
        return self.context.lock if self._logged else self.context.looking

    def resume(self, level: int, trx: int, begun_at: int) -> None:
        """Take over a transaction that the logs left open."""
        self.begun_at = begun_at
        self.level = self._logged = level
        self.trx = trx
        self._transaction = self.context.versions.begin(self)

    def begin(self) -> None:
        """Begin a transaction, or a nested one.

        Raises InvalidUse: -1103 for the eighth level, -1104 once the session is closed.
        """
        with self.context.looking:
            self.context.check()
            if self.level == _DEEPEST:
                raise InvalidUse("Transactions are nested too deep", jet=Jet.errTransTooDeep)
            if self._transaction is None:
                self._check_open()
                self.context.safe_point()
                self._transaction = self.context.versions.begin(self)
            self.level += 1

    def _check_open(self) -> None:
        if self.is_closed:  # its number may be another session's by now
            raise InvalidUse("The session is closed", jet=Jet.errInvalidSesid)

    def commit(self, *, lazy: bool = False) -> None:
        """Commit the innermost transaction; of the outermost one, wait until that is durable.

        lazy: do not wait: a crash may undo the commit, in whole and in order with later ones.
        """
        position = self.commit_without_wait()
        if position is not None and not lazy:
            self.context.log.flush(position)

    def commit_without_wait(self) -> int | None:
        """Commit; return the log position that must be durable for the commit to be so.

        `Instance.wait_durable` and `Instance.durable` wait for it. None: there is nothing to wait
        for, the transaction changed nothing or is part of another one.
        """
        with self._own_lock:
            self.context.check()
            transaction = self.current
            if self.level > 1:
                self._commit_nested()
                return None
            position = None
            if self._logged:
                record = _BEGIN0.pack(T.COMMIT0, self.procid, 0, self.context.next_trx())
                position = self.context.journal.session(record)
            for version in transaction.versions:
                version.tree.open_replaces -= version.operation == REPLACE
            self.context.versions.commit(transaction)
            self._over()
            return position

    def _commit_nested(self) -> None:
        self.level -= 1
        if self._logged > self.level:
            self._logged = self.level
            self.context.journal.session(_BEGIN.pack(T.COMMIT, self.procid, self.level))
        for version in reversed(self.current.versions):
            if version.level <= self.level:
                break
            version.level = self.level

    def rollback(self) -> None:
        """Undo the innermost transaction."""
        with self._own_lock:
            self.context.check()
            target = self.level - 1
            versions = self.current.versions
            count = len(versions)
            while count and versions[count - 1].level > target:
                count -= 1
            self.undo_to(count)
            if self._logged > target:
                self._logged = target
                self.context.journal.session(_BEGIN.pack(T.ROLLBACK, self.procid, 1))
            self.level = target
            if not target:
                self.context.versions.end(self.current)
                self._over()

    def undo_to(self, count: int) -> None:
        """Take changes back until the transaction has `count` of them."""
        versions = self.current.versions
        self.changes += 1
        if self.begun_at is not None:
            self.context.cache.position = self.begun_at
        while len(versions) > count:
            while self._schema_undo and self._schema_undo[-1][0] >= len(versions):
                self._schema_undo.pop()[1]()
            version = versions.pop()
            if isinstance(version, InsertRun):
                versions += version.tree.versions.take_apart(version)
                continue
            version.tree.undo(self, version)
            version.tree.open_replaces -= version.operation == REPLACE
            version.tree.versions.drop(version)
            if version.operation == INSERT:
                self.context.versions.deleted.append((version.tree, version.bookmark))

    @contextlib.contextmanager
    def statement(self) -> Iterator[int]:
        """All changes made inside happen or none; the lock is free where nobody takes it.

        Gives the number of versions that the transaction has at its begin. Without a transaction
        it is one of its own.
        """
        if not self.level:
            with self.transaction():
                yield 0
            return
        count = len(self.current.versions)
        try:
            yield count
        except BaseException:
            if self.context.failure is None:
                with self.context.lock:
                    self.undo_to(count)
            raise

    def savepoint(self, table: TableState) -> Savepoint:
        """Return a context in which all changes of a table happen or none, holding the lock."""
        return Savepoint(self, table)

    def _over(self) -> None:
        self.level = self._logged = 0
        self.begun_at = None
        self._transaction = None
        self._schema_undo = []
        for database in self._schemas:
            database.schema_changer = None
        self._schemas = {}
        if self.context.files.low:
            self.context.on_over()

    def transaction(self, *, lazy: bool = False) -> TransactionScope:
        """Return a context, for `with` or `async with`: a transaction, rolled back after an error.

        lazy: do not wait until the commit is durable: see `commit`.
        """
        return TransactionScope(self, lazy)

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Keep one view for what is read inside: a transaction; nothing new where there is one."""
        with contextlib.nullcontext() if self.level else self.transaction():
            yield

    @contextlib.contextmanager
    def view(self) -> Iterator[Session]:
        """Give a session with one view for what is read inside, while this one goes on.

        In a transaction that is this session. Outside of one, what it does meanwhile is committed
        as ever.
        """
        if self.level:
            yield self
            return
        self._check_open()
        with Session(self.context, self.procid) as other:  # it logs nothing
            other.begin()
            yield other

    # Tables

    def create_table(
        self,
        database: OpenDatabase,
        name: str,
        columns: Sequence[Column],
        indexes: Sequence[Index] = (),
        *,
        pages: int = 1,
        template: bool = False,
        derived_from: str = "",
    ) -> Table:
        """Make a table. pages: of its first extent.

        template: others are to be derived from it: its definition is final. derived_from: name of
        the template whose columns and indexes the table has besides its own. Raises InvalidUse
        (-1325, -1326), ObjectNotFound, WriteConflict.
        """
        with self._changes_schema_of(database):
            base = self.open_table(database, derived_from).state if derived_from else None
            kind = Kind(template, base)
            state = create_table(self, database, name, columns, indexes, pages, kind)
        return Table(self, state)

    def create_index(self, table: Table, index: Index) -> None:
        """Make a secondary index of a table. Raises InvalidUse, KeyDuplicate, WriteConflict.

        Others go on reading meanwhile, and writing to other tables.
        """
        with self.statement() as since:
            with self._changes_schema_of(table.state.database):
                made = create_index(self, table.writable, index)
            fill_index(self, table, made, since)

    def add_column(self, table: Table, column: Column) -> None:
        """Add a column to a table. Raises InvalidUse, WriteConflict."""
        with self._changes_schema_of(table.state.database):
            add_column(self, table.writable, column)

    def drop_table(self, database: OpenDatabase, name: str) -> None:
        """Delete a table. Its space is free once nobody reads it any more.

        Raises ObjectNotFound (-1305), InvalidUse (-1318, -1304), WriteConflict.
        """
        with self._changes_schema_of(database):
            drop_table(self, self.open_table(database, name).writable)

    def drop_index(self, table: Table, name: str) -> None:
        """Delete a secondary index. Raises InvalidUse (-1404, -1405), WriteConflict."""
        with self._changes_schema_of(table.state.database):
            drop_index(self, table.writable, name)

    def drop_column(self, table: Table, name: str) -> None:
        """Delete a column. Raises InvalidUse (-1507; -1046 if an index needs it), WriteConflict."""
        with self._changes_schema_of(table.state.database):
            drop_column(self, table.writable, name)

    def rename_table(self, database: OpenDatabase, old: str, new: str) -> None:
        """Give a table another name. Raises ObjectNotFound, InvalidUse (-1303), WriteConflict."""
        with self._changes_schema_of(database):
            rename_table(self, self.open_table(database, old).writable, new)

    def rename_column(self, table: Table, old: str, new: str) -> None:
        """Give a column another name. Raises InvalidUse (-1507, -1508), WriteConflict."""
        with self._changes_schema_of(table.state.database):
            rename_column(self, table.writable, old, new)

    def open_table(self, database: OpenDatabase, name: str) -> Table:
        """Return a table. Raises ObjectNotFound (-1305), InvalidUse (-1010)."""
        with self.context.looking:
            database.check(self.context)
            with decoded(database.path):
                state = database.table_of(self, name)
        if state is None:
            raise ObjectNotFound(f"There is no table {name}")
        return Table(self, state)

    @contextlib.contextmanager
    def _changes_schema_of(self, database: OpenDatabase) -> Iterator[None]:
        """Change the schema of a database, in whole or not at all; one session at a time."""
        with self.context.lock:
            database.check(self.context)
            self.context.check_log_room()
            if database.schema_changer not in (None, self):
                raise WriteConflict("Another session is changing the schema of the database")
            with decoded(database.path), self.transaction():
                database.schema_changer = self
                self._schemas[database] = None
                yield

    def on_undo(self, work: Callable[[], None]) -> None:
        """Call `work` if the change of the schema that was just made is taken back."""
        self._schema_undo.append((len(self.current.versions), work))

    def close(self) -> None:
        """End the session; an open transaction is rolled back."""
        with self._own_lock:
            if self.is_closed:
                return
            if not self.context.closed and self.context.failure is None:
                self.roll_back_all()
            self.is_closed = True
            self.on_close(self)

    def roll_back_all(self) -> None:
        """Roll back all levels."""
        while self.level:
            self.rollback()

    def housekeep(self) -> None:
        """Called between statements of a transaction, with the lock: now and then a safe point."""
        self._statements += 1
        if not self._statements % _HOUSEKEEPING:
            self.context.safe_point()

    # What changes of nodes need

    def prepare(self) -> None:
        """Log the beginning of the levels that are open, before the first change in them."""
        if self._logged == self.level:
            if self.begun_at is None:
                raise InvalidUse("There is no transaction", jet=Jet.errNotInTransaction)
            self.context.cache.position = self.begun_at
            return
        levels = self._logged | (self.level - self._logged) << 4
        if self._logged:
            self.context.journal.session(_BEGIN.pack(T.BEGIN, self.procid, levels))
        else:
            self.trx = self.context.next_trx()
            record = _BEGIN0.pack(T.BEGIN0, self.procid, levels, self.trx)
            self.begun_at = self.context.journal.session(record)
        self._logged = self.level
        self.prepare()

    def remember(
        self, tree: Tree, bookmark: Bookmark, operation: int, rceid: int, image: bytes = b""
    ) -> Version:
        """Make a version of a change that was just carried out."""
        transaction = self.current
        self.changes += 1
        version = Version(transaction, tree, bookmark, operation, rceid, self.level, image)
        transaction.remember(version)
        tree.versions.add(version)
        tree.open_replaces += operation == REPLACE
        return version

    def remember_run(self, run: InsertRun, since: int) -> None:
        """Keep the versions of inserts that were just carried out.

        since: number of versions that the transaction had as the statement began that they are of.
        """
        versions = self.current.versions
        self.changes += run.count
        last = versions[-1] if len(versions) > since else None
        if not (isinstance(last, InsertRun) and last.grow(run)):
            versions.append(run)
            run.tree.versions.add_run(run)
