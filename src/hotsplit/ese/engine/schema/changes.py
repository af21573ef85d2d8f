"""Tables, columns and indexes made.

Source: format specification 14.3; what the published engine logs for the same calls.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hotsplit.errors import InvalidUse, Jet, Unsupported
from hotsplit.ese.engine.schema import catalog
from hotsplit.ese.engine.schema import definitions as schema
from hotsplit.ese.engine.schema.definitions import Column, Index
from hotsplit.ese.engine.tables.longvalues import LongValueTree
from hotsplit.ese.engine.tables.tablestate import (
    SecondaryIndex,
    TableState,
    index_tree,
    record_most,
)
from hotsplit.ese.engine.trees.space import make_tree
from hotsplit.ese.engine.trees.versions import check_conflict
from hotsplit.ese.format.catalogschema import (
    IndexDef,
    IndexFlag,
    RowType,
    TableDef,
    TableFlag,
    parse_segments,
)
from hotsplit.ese.format.columns import ColumnDef, ColumnFlag
from hotsplit.ese.format.page import PageFlag
from hotsplit.ese.recovery.core import REPLACE

if TYPE_CHECKING:
    from hotsplit.ese.engine.database import OpenDatabase
    from hotsplit.ese.engine.session import Session
    from hotsplit.ese.engine.trees.tree import Tree

_DENSITY = 80


@dataclass(frozen=True)
class Kind:
    """What kind a new table is of: a template, or derived from one (`base`), or neither."""

    is_template: bool = False
    base: TableState | None = None

    @property
    def flags(self) -> int:
        """The flags of the table."""
        if self.is_template:
            return TableFlag.TEMPLATE | TableFlag.FIXED_DDL
        return 0 if self.base is None else TableFlag.DERIVED

    @property
    def name(self) -> str:
        """Name of the template."""
        return "" if self.base is None else self.base.name

    def inherited(self) -> list[ColumnDef]:
        """Return the columns of the template. Raises InvalidUse (-1325, -1326)."""
        if self.base is None:
            return []
        if self.is_template:
            raise InvalidUse("A template is not derived from another", jet=Jet.errCannotNestDDL)
        if not self.base.definition.is_template:
            raise InvalidUse(f"{self.name} is no template", jet=Jet.errDDLNotInheritable)
        return [replace(column, derived=True) for column in self.base.columns]

    def indexes(self) -> list[IndexDef]:
        """Return the indexes of the template."""
        return [] if self.base is None else self.base.definition.indexes


_MOST_PAGES = 0x7FFFFFFF


def create_table(
    session: Session,
    database: OpenDatabase,
    name: str,
    columns: Sequence[Column],
    indexes: Sequence[Index],
    pages: int,
    kind: Kind,
) -> TableState:
    """Make a table in the session's transaction. Raises InvalidUse (-1303 and others)."""
    schema.check_name(name)
    inherited = kind.inherited()
    if not 1 <= pages <= _MOST_PAGES:
        raise InvalidUse(f"No number of pages: {pages}", jet=Jet.errInvalidParameter)
    names = {index.name.casefold() for index in indexes}
    if len(names) < len(indexes):
        raise InvalidUse("Two indexes have the same name", jet=Jet.errIndexDuplicate)
    if database.table_of(session, name) is not None:
        raise InvalidUse(f"There is a table {name}", jet=Jet.errTableDuplicate)
    if sum(index.primary for index in indexes) > 1:
        raise InvalidUse("A table has one primary index", jet=Jet.errIndexHasPrimary)
    planned = schema.plan_columns(columns, inherited)
    schema.check_room(planned, record_most(session.context.settings.page_size))
    if kind.is_template:
        planned = [replace(c, flags=c.flags | ColumnFlag.TEMPLATE) for c in planned]
    for index in indexes:
        schema.check_name(index.name)
        schema.key_segments(index, [*inherited, *planned])
        schema.condition_segments(index, [*inherited, *planned])
        schema.check_tuples(index, [*inherited, *planned])
    root = database.root.space.allocate_extent(session, pages)
    objid = database.next_objid()
    make_tree(session, database.root, root, objid, 0, pages, unique=True)
    rows = database.catalog
    definition = TableDef(name, objid, root, kind.flags, kind.name)
    row = catalog.table_row(name, objid, root, pages, kind.flags, _DENSITY, kind.name)
    with _entering(session, database.tree(root, objid)):
        rows.add(session, row)
    rows.add_objid(session, objid, objid, RowType.TABLE)
    for given in kind.indexes():
        definition.indexes.append(_inherit_index(session, database, definition, given))
    for column in planned:
        rows.add(session, catalog.column_row(objid, column))
    definition.columns = planned
    for index in sorted(indexes, key=lambda index: not index.primary):
        made = _make_index(session, database, definition, index, [*inherited, *planned])
        _enter_index(session, database, definition, made)
        definition.indexes.append(made)
    template = None if kind.base is None else kind.base.definition
    state = TableState(database, definition, template)
    database.adopt_table(session, state)
    return state


@contextlib.contextmanager
def _entering(session: Session, tree: Tree) -> Iterator[None]:
    """Enter a new tree in the catalog; its space is free if that fails, or is taken back."""

    def forget() -> None:
        tree.dropped, tree.is_undone = session.current, True
        session.context.versions.dropped.append(tree)

    try:
        yield
    except Exception:
        forget()
        raise
    session.on_undo(forget)


def check_quiet(session: Session, trees: Sequence[Tree]) -> None:
    """Raise WriteConflict if another transaction has changed one of the trees meanwhile."""
    for tree in trees:
        for chain in tree.versions.all():
            check_conflict(session.current, chain, REPLACE)


def _make_index_tree(
    session: Session, database: OpenDatabase, table: TableDef, *, primary: bool, unique: bool
) -> tuple[int, int]:
    """Return root and object id of an index: a secondary one gets a tree in the table's space."""
    if primary:
        return table.root, table.objid
    parent = database.tree(table.root, table.objid)
    root, objid = parent.space.allocate(session), database.next_objid()
    kind = PageFlag.INDEX | (0 if unique else PageFlag.NON_UNIQUE)
    make_tree(session, parent, root, objid, kind, 1, unique=unique)
    return root, objid


def _inherit_index(
    session: Session, database: OpenDatabase, table: TableDef, index: IndexDef
) -> IndexDef:
    """Give a derived table an index of its template: rows and a tree of its own (6.8)."""
    if index.flags & IndexFlag.LOCALIZED_TEXT and index.sort_id != catalog.SORT_ID:
        raise Unsupported(f"Index {index.name} is sorted in an order that is not made here")
    root, objid = _make_index_tree(
        session, database, table, primary=index.is_primary, unique=index.is_unique
    )
    flags = index.flags & ~IndexFlag.TEMPLATE | IndexFlag.DERIVED
    made = replace(index, root=root, objid=objid, flags=flags)
    if not flags & IndexFlag.LOCALIZED_TEXT:
        made.lcmap_flags = 0
    _enter_index(session, database, table, made)
    return made


def _make_index(
    session: Session,
    database: OpenDatabase,
    table: TableDef,
    index: Index,
    columns: Sequence[ColumnDef],
) -> IndexDef:
    """Make an index of some of `columns`, the table's and its template's; it is to be entered."""
    if any(i.name.casefold() == index.name.casefold() for i in table.indexes):
        raise InvalidUse(f"There is an index {index.name}", jet=Jet.errIndexDuplicate)
    if index.primary and table.primary is not None:
        raise InvalidUse("A table has one primary index", jet=Jet.errIndexHasPrimary)
    flags = index.flags() | schema.extra_flags(index, columns)
    flags |= IndexFlag.TEMPLATE if table.is_template else 0
    segments = schema.key_segments(index, columns)
    conditions = schema.condition_segments(index, columns)
    tuples = schema.check_tuples(index, columns)
    root, objid = _make_index_tree(
        session, database, table, primary=index.primary, unique=index.unique
    )
    return IndexDef(
        index.name, objid, root, flags, parse_segments(segments, flags),
        parse_segments(conditions, flags), locale=catalog.LOCALE,
        lcmap_flags=catalog.LCMAP_FLAGS, density=_DENSITY, tuple_limits=tuples,
        sort_id=catalog.SORT_ID,
        sort_version=int.from_bytes(catalog.SORT_VERSION[4:], "little"),
    )  # fmt: skip


def _enter_index(
    session: Session, database: OpenDatabase, table: TableDef, index: IndexDef
) -> None:
    """Enter an index in the catalog."""
    database.catalog.add(session, catalog.row_of_index(table.objid, index))
    if index.flags & IndexFlag.LOCALIZED_TEXT:
        database.catalog.count_locale(session, 1)
    if not index.is_primary:
        database.catalog.add_objid(session, index.objid, table.objid, RowType.INDEX)


def create_index(session: Session, state: TableState, index: Index) -> SecondaryIndex:
    """Make a secondary index of a table, without the rows that are there (`indexbuild`)."""
    if index.primary:
        raise InvalidUse("A primary index is made with its table", jet=Jet.errIndexInvalidDef)
    schema.check_name(index.name)
    check_quiet(session, [state.tree])
    if state.is_fixed:
        raise InvalidUse(f"{state.name} keeps its definition", jet=Jet.errFixedDDL)
    database, definition = state.database, state.definition
    made = _make_index(session, database, definition, index, state.columns)
    with _entering(session, index_tree(database, made)):
        _enter_index(session, database, definition, made)
    following = state.changed(indexes=[*definition.indexes, made])
    state.follow(session, following)
    return next(i for i in following.secondary if i.keys.index is made)


def add_column(session: Session, state: TableState, column: Column) -> ColumnDef:
    """Add a column to a table; rows that are there have its default, or NULL."""
    if state.is_fixed:
        raise InvalidUse(f"{state.name} keeps its definition", jet=Jet.errFixedDDL)
    is_needed = column.not_null and column.default is None
    if is_needed or column.escrow:
        check_quiet(session, [state.tree])  # what others deleted may come back
        if next(state.tree.scan(), None) is not None:
            if is_needed:
                raise InvalidUse("Rows that are there would be NULL", jet=Jet.errNullInvalid)
            raise InvalidUse("Rows that are there would not have it", jet=Jet.errTableNotEmpty)
    database, definition = state.database, state.definition
    stubs = database.catalog.deleted_columns(session, definition.objid)
    planned = schema.plan_columns([column], [*state.columns, *stubs])[0]
    schema.check_room([planned], state.most)
    database.catalog.add(session, catalog.column_row(definition.objid, planned))
    state.follow(session, state.changed(columns=[*definition.columns, planned]))
    return planned


def create_long_values(session: Session, state: TableState) -> LongValueTree:
    """Make the tree of a table's long values."""
    database, table = state.database, state.definition
    parent = database.tree(table.root, table.objid)
    root, objid = parent.space.allocate(session), database.next_objid()
    make_tree(session, parent, root, objid, PageFlag.LONG_VALUE, 1, unique=True)
    with _entering(session, database.tree(root, objid, PageFlag.LONG_VALUE)):
        database.catalog.add(session, catalog.long_value_row(table.objid, objid, root))
        database.catalog.add_objid(session, objid, table.objid, RowType.LONG_VALUE)
    session.on_undo(lambda: state.set_long_values(0, 0))
    state.set_long_values(root, objid)
    assert state.long_values is not None
    return state.long_values
