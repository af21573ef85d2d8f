"""A table as all sessions share it: definition, trees, keys, counters.

Source: format specification 6.5 (tables without a primary index), 7.2 (autoincrement), 8.1.
"""

from __future__ import annotations

import copy
import dataclasses
import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING

from hotsplit.errors import InvalidUse, Jet, ObjectNotFound, Unsupported, WriteConflict
from hotsplit.ese.engine.tables.indexing import KeyMaker
from hotsplit.ese.engine.tables.longvalues import LongValueTree
from hotsplit.ese.engine.tables.rowmaker import RowMaker
from hotsplit.ese.engine.tables.rows import RowFormat
from hotsplit.ese.engine.trees.tree import Tree
from hotsplit.ese.format.basics import page_header_size
from hotsplit.ese.format.catalogschema import IndexDef, IndexFlag, TableDef, TableFlag
from hotsplit.ese.format.columns import ColumnDef, ColumnFlag
from hotsplit.ese.format.page import PageFlag

if TYPE_CHECKING:
    from hotsplit.ese.engine.database import OpenDatabase
    from hotsplit.ese.engine.session import Session
    from hotsplit.ese.engine.trees.versions import Transaction

_HIDDEN_KEY, _LAST_HIDDEN = 4, 0xFFFFFFFF
_RESERVED = 64
_NO_MARK = 1 << 64
_KEY_MOST = 255
_NODE_OVERHEAD = 8
_ODD_INDEXES = (
    IndexFlag.NESTED_TABLE | IndexFlag.DEFERRED_POPULATE | IndexFlag.DISALLOW_TRUNCATION
    | IndexFlag.OPTIONALLY_UNIQUE
)  # fmt: skip
_ODD_COLUMNS = ColumnFlag.USER_DEFAULT | ColumnFlag.ENCRYPTED | ColumnFlag.DELETE_ON_ZERO


def record_most(page_size: int) -> int:
    """Return how many bytes a record may have."""
    return page_size - page_header_size(page_size) - _NODE_OVERHEAD - 2 - _KEY_MOST


def index_tree(database: OpenDatabase, index: IndexDef) -> Tree:
    """Return the tree of a secondary index."""
    kind = PageFlag.INDEX | (0 if index.is_unique else PageFlag.NON_UNIQUE)
    return database.tree(index.root, index.objid, kind, unique=index.is_unique)


class SecondaryIndex:
    """A secondary index: its keys and its tree."""

    def __init__(self, keys: KeyMaker, tree: Tree) -> None:
        self.keys, self.tree = keys, tree

    @property
    def name(self) -> str:
        """Name of the index."""
        return self.keys.index.name


class TableState:
    """See the module. primary: keys of the records, None for the hidden counter.

    template: the table that this one is derived from; columns: its columns and the table's own.
    most: bytes that a record may have. outdated: its making was rolled back; taken_back: what the
    table is again then, None for one that was made itself. made_by: the
    transaction that made it or gave it its name, None if it was there before. named_before: the
    table that had the name till then, while somebody may see that. successor: the transaction that
    changed the definition, and what the table is to those who see that; None stands for a table
    that is no more. origins: what it was before, as far as anybody holds that.
    """

    successor: tuple[Transaction, TableState | None] | None = None
    made_by: Transaction | None = None
    named_before: TableState | None = None
    taken_back: TableState | None = None

    def __init__(
        self, database: OpenDatabase, definition: TableDef, template: TableDef | None = None
    ) -> None:
        self.database, self.definition, self.template = database, definition, template
        self.tree = database.tree(definition.root, definition.objid)
        self.long_values: LongValueTree | None = None
        self.outdated = False
        self.origins: weakref.WeakSet[TableState] = weakref.WeakSet()
        self._hidden = 0
        self._autoincrement: int | None = None
        self._mark = 0
        self.most = record_most(database.context.settings.page_size)
        self.load()

    def load(self) -> None:
        """Take the definition as it is now."""
        definition, database = self.definition, self.database
        inherited = [] if self.template is None else self.template.columns
        self.columns = [*(dataclasses.replace(c, derived=True) for c in inherited)]
        self.columns += definition.columns
        self.rows = RowFormat(self.columns, database.context.settings.page_size)
        primary = definition.primary
        self.primary = None if primary is None else KeyMaker(primary, self.rows)
        self.secondary = [self._open(i) for i in definition.indexes if not i.is_primary]
        self.long_values = self._open_long_values()
        flagged = [c for c in self.columns if c.flags & ColumnFlag.AUTOINCREMENT]
        self.counter = flagged[0] if flagged else None
        self.escrow = [c for c in self.columns if c.flags & ColumnFlag.ESCROW]
        self.not_null = [c for c in self.columns if c.flags & ColumnFlag.NOT_NULL]
        self.version_column = next((c for c in self.columns if c.flags & ColumnFlag.VERSION), None)
        self.row_maker = self._row_maker()
        self.unsupported = self._unsupported()
        self._is_closed = bool(self.unsupported) or definition.is_system

    def _unsupported(self) -> str:
        """Return why rows of the table cannot be changed here, "" if they can."""
        odd = [i.name for i in self.definition.indexes if i.flags & _ODD_INDEXES]
        if odd:
            return f"index {odd[0]} is of a kind that is not kept up to date here"
        odd = [c.name for c in self.columns if c.flags & _ODD_COLUMNS]
        return f"column {odd[0]} is of a kind that is not written here" if odd else ""

    def _row_maker(self) -> RowMaker | None:
        """Return what makes plain rows fast, None where rows have entries of other kinds."""
        primary = [] if self.primary is None else [self.primary]
        maker = RowMaker(self.rows, [*primary, *(i.keys for i in self.secondary)], self.most)
        return maker if maker.usable else None

    @property
    def fills_in(self) -> bool:
        """True if new rows get values that nobody gave."""
        return bool(self.counter or self.version_column or self.escrow)

    def _open(self, index: IndexDef) -> SecondaryIndex:
        return SecondaryIndex(KeyMaker(index, self.rows), index_tree(self.database, index))

    @property
    def is_fixed(self) -> bool:
        """True if the definition cannot be changed, as that of a template."""
        return bool(self.definition.flags & TableFlag.FIXED_DDL)

    @property
    def trees(self) -> list[Tree]:
        """The trees of the table, its own first: the others lie in its space."""
        trees = [self.tree, *(index.tree for index in self.secondary)]
        return trees if self.long_values is None else [*trees, self.long_values.tree]

    # Versions of the definition

    @property
    def is_current(self) -> bool:
        """True if all see the table so."""
        return self.successor is None and not self.outdated and self.database.is_attached

    @property
    def is_open_to_all(self) -> bool:
        """True if everybody may change rows."""
        is_current = self.successor is None and not self.outdated
        return is_current and not self._is_closed and self.database.is_attached

    @property
    def latest(self) -> TableState | None:
        """The table after all changes, committed or not; None if it is dropped."""
        state: TableState | None = self
        while state is not None and state.successor is not None:
            state = state.successor[1]
        return state

    def seen_by(self, session: Session) -> TableState:
        """Return the table as the session sees it. Raises ObjectNotFound, InvalidUse (-1010)."""
        self.database.check()
        state = self.standing
        while state.successor is not None and session.sees(state.successor[0]):
            _, following = state.successor
            if following is None:
                raise ObjectNotFound(f"There is no table {state.name}")
            state = following
        if state.outdated:
            raise ObjectNotFound(f"There is no table {state.name}")
        return state

    def writable_by(self, session: Session) -> TableState:
        """Return the table as the session sees it, to be changed.

        Raises ObjectNotFound, Unsupported, WriteConflict (-1302) if that is outdated.
        """
        state = self.seen_by(session)
        if state.unsupported:
            raise Unsupported(f"Table {self.name} cannot be changed: {state.unsupported}")
        if state.successor is not None:
            raise WriteConflict(
                f"Another transaction has changed table {self.name}", jet=Jet.errTableLocked
            )
        return state

    def check_open_to(self, session: Session) -> None:
        """Raise InvalidUse (-1809) or as `writable_by` if the session cannot change rows."""
        if self.writable_by(session).definition.is_system:
            raise InvalidUse(f"{self.name} is a table of the engine", jet=Jet.errPermissionDenied)

    @property
    def oldest(self) -> TableState:
        """The table after all changes that nobody can see as not done any more."""
        state = self.standing
        while state.successor is not None and state.successor[0].is_settled:
            following = state.successor[1]
            if following is None:
                break
            state = following
        return state

    @property
    def standing(self) -> TableState:
        """The table without the changes that were rolled back."""
        state = self
        while state.taken_back is not None:
            state = state.taken_back
        return state

    def follow(self, session: Session, following: TableState | None) -> None:
        """Let a changed table take the place of this one, for those who see the change."""
        transaction = session.current
        self.successor = transaction, following

        def settle() -> None:
            self.database.forget_table(self, following)
            for state in (self, *self.origins):  # nothing keeps what was in between
                state.successor = transaction, following
                if following is not None:
                    following.origins.add(state)
            self.origins.clear()

        def undo() -> None:
            self.successor = None
            transaction.settling.remove(settle)
            if following is not None:
                following.outdated, following.taken_back = True, self

        transaction.settling.append(settle)
        session.on_undo(undo)

    def changed(
        self,
        *,
        name: str | None = None,
        columns: list[ColumnDef] | None = None,
        indexes: list[IndexDef] | None = None,
    ) -> TableState:
        """Return the table with another definition, with the same trees and counters."""
        old, made = self.definition, copy.copy(self)
        made.origins, made.successor = weakref.WeakSet([self]), None
        made.named_before = None  # it stands in the table's place once all see the table
        made.definition = dataclasses.replace(
            old,
            name=old.name if name is None else name,
            columns=list(old.columns if columns is None else columns),
            indexes=list(old.indexes if indexes is None else indexes),
        )
        made.load()
        return made

    def set_long_values(self, root: int, objid: int) -> None:
        """The table has a tree of long values, or none (0): in all forms of its definition."""
        for state in (self, *self._earlier()):
            state.definition.long_value_root, state.definition.long_value_objid = root, objid
            state.long_values = self.long_values = self._open_long_values()

    def _earlier(self) -> Iterator[TableState]:
        for state in list(self.origins):
            yield state
            yield from state._earlier()

    def _open_long_values(self) -> LongValueTree | None:
        root, objid = self.definition.long_value_root, self.definition.long_value_objid
        if not root:
            return None
        return self.long_values or LongValueTree(
            self.database.tree(root, objid, PageFlag.LONG_VALUE)
        )

    @property
    def name(self) -> str:
        """Name of the table."""
        return self.definition.name

    def column(self, name: str) -> ColumnDef:
        """Return a column by its name. Raises InvalidUse (-1507)."""
        found = self.rows.by_name.get(name)
        if found is None:
            raise InvalidUse(f"Table {self.name} has no column {name}", jet=Jet.errColumnNotFound)
        return found

    def index(self, name: str) -> SecondaryIndex | None:
        """Return a secondary index by its name, None for the primary one.

        Raises InvalidUse (-1404).
        """
        for index in self.secondary:
            if index.name.casefold() == name.casefold():
                return index
        if self.primary is not None and self.primary.index.name.casefold() == name.casefold():
            return None
        raise InvalidUse(f"Table {self.name} has no index {name}", jet=Jet.errIndexNotFound)

    # Counters

    def next_hidden_key(self) -> bytes:
        """Return the key of a new row in a table without a primary index."""
        if not self._hidden:
            self._hidden = int.from_bytes(self.tree.last_key(), "big")
        if self._hidden == _LAST_HIDDEN:
            raise InvalidUse("No row can be added", jet=Jet.errOutOfSequentialIndexValues)
        self._hidden += 1
        return self._hidden.to_bytes(_HIDDEN_KEY, "big")

    def next_autoincrement(self, session: Session) -> int:
        """Return the next value of the autoincrement column."""
        if self._autoincrement is None:
            self._autoincrement = self._highest()
        assert self.counter is not None
        if self._autoincrement + 1 >> 8 * self.counter.stored_size - 1:
            raise InvalidUse("No row can be added", jet=Jet.errOutOfAutoincrementValues)
        self._reserve(session, self._autoincrement + 1)
        self._autoincrement += 1
        return self._autoincrement

    def note_autoincrement(self, session: Session, value: int) -> None:
        """A row has this value, or is refused because no row can."""
        assert self.counter is not None
        if value.bit_length() >= 8 * self.counter.stored_size:
            return
        if self._autoincrement is None:
            self._autoincrement = self._highest()
        self._reserve(session, value)
        self._autoincrement = max(self._autoincrement, value)

    def _reserve(self, session: Session, value: int) -> None:
        """Raise the mark that later engines keep in the root page, where it is (format 5.2)."""
        if value <= self._mark:
            return
        header = self.tree.space.header
        if header.autoincrement is None:
            self._mark = _NO_MARK
        elif value > header.autoincrement:
            self._mark = value + _RESERVED
            self.tree.set_external(session, header._replace(autoincrement=self._mark).pack())

    def _highest(self) -> int:
        """Return the highest value so far: from the root page, or by a look at all rows."""
        assert self.counter is not None
        highest = self.tree.space.header.autoincrement or 0
        if highest:
            return highest
        for node in self.tree.scan():
            found = self.rows.split(node.data).stored(self.counter)
            if found:
                highest = max(highest, int.from_bytes(found[0].data, "little", signed=True))
        return highest
