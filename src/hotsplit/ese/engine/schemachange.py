"""Tables, columns and indexes made.

Source: format specification 14.3; what the published engine logs for the same calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hotsplit.errors import InvalidUse, Jet
from hotsplit.ese.engine import catalog, schema
from hotsplit.ese.engine.longvalues import LongValueTree
from hotsplit.ese.engine.schema import Column, Index
from hotsplit.ese.engine.space import make_tree
from hotsplit.ese.engine.tablestate import TableState
from hotsplit.ese.engine.versions import check_conflict
from hotsplit.ese.format.catalogschema import IndexDef, IndexFlag, RowType, TableDef, parse_segments
from hotsplit.ese.format.columns import ColumnDef
from hotsplit.ese.format.page import PageFlag
from hotsplit.ese.recovery.core import REPLACE

if TYPE_CHECKING:
    from hotsplit.ese.engine.database import OpenDatabase
    from hotsplit.ese.engine.session import Session
    from hotsplit.ese.engine.tree import Tree

_DENSITY = 80


def create_table(
    session: Session,
    database: OpenDatabase,
    name: str,
    columns: Sequence[Column],
    indexes: Sequence[Index],
    pages: int,
) -> TableState:
    """Make a table in the session's transaction. Raises InvalidUse (-1303 and others)."""
    schema.check_name(name)
    if database.table_of(session, name) is not None:
        raise InvalidUse(f"There is a table {name}", jet=Jet.errTableDuplicate)
    if sum(index.primary for index in indexes) > 1:
        raise InvalidUse("A table has one primary index", jet=Jet.errIndexHasPrimary)
    planned = schema.plan_columns(columns)
    for index in indexes:
        schema.check_name(index.name)
        schema.key_segments(index, planned)
        schema.check_tuples(index, planned)
    root = database.root.space.allocate_extent(session, pages)
    objid = database.next_objid()
    make_tree(session, database.root, root, objid, 0, pages, unique=True)
    rows = database.catalog
    rows.add(session, catalog.table_row(name, objid, root, pages, 0, _DENSITY))
    rows.add_objid(session, objid, objid, RowType.TABLE)
    definition = TableDef(name, objid, root)
    for column in planned:
        rows.add(session, catalog.column_row(objid, column))
    definition.columns = planned
    for index in sorted(indexes, key=lambda index: not index.primary):
        definition.indexes.append(_make_index(session, database, definition, index))
    state = TableState(database, definition)
    database.adopt_table(session, state)
    session.on_undo(lambda: forget_trees(session, [state.tree]))
    return state


def forget_trees(session: Session, trees: list[Tree]) -> None:
    """The making of trees was taken back: give their space back."""
    for tree in trees:
        tree.dropped = session.current
        session.context.versions.dropped.append(tree)


def check_quiet(session: Session, trees: Sequence[Tree]) -> None:
    """Raise WriteConflict if another transaction has changed one of the trees meanwhile."""
    for tree in trees:
        for chain in tree.versions.all():
            check_conflict(session.current, chain, REPLACE)


def _make_index(
    session: Session, database: OpenDatabase, table: TableDef, index: Index
) -> IndexDef:
    """Make an index and its rows; a secondary one gets a tree of its own in the table's space."""
    if any(i.name.casefold() == index.name.casefold() for i in table.indexes):
        raise InvalidUse(f"There is an index {index.name}", jet=Jet.errIndexDuplicate)
    flags = index.flags() | schema.extra_flags(index, table.columns)
    segments = schema.key_segments(index, table.columns)
    conditions = schema.condition_segments(index, table.columns)
    tuples = schema.check_tuples(index, table.columns)
    root, objid = table.root, table.objid
    if not index.primary:
        parent = database.tree(table.root, table.objid)
        root, objid = parent.space.allocate(session), database.next_objid()
        kind = PageFlag.INDEX | (0 if index.unique else PageFlag.NON_UNIQUE)
        make_tree(session, parent, root, objid, kind, 1, unique=index.unique)
    row = catalog.index_row(table.objid, index.name, objid, root, flags, segments, _DENSITY)
    if conditions:
        row["ConditionalColumns"] = conditions
    if tuples:
        row["TupleLimits"] = tuples
    if flags & IndexFlag.LOCALIZED_TEXT:
        row |= {"Version": catalog.SORT_VERSION, "SortID": catalog.SORT_ID}
        database.catalog.count_locale(session, 1)
    database.catalog.add(session, row)
    if not index.primary:
        database.catalog.add_objid(session, objid, table.objid, RowType.INDEX)
    return IndexDef(
        index.name, objid, root, flags, parse_segments(segments, flags),
        parse_segments(conditions, flags), locale=catalog.LOCALE,
        lcmap_flags=catalog.LCMAP_FLAGS, density=_DENSITY, tuple_limits=tuples,
        sort_id=catalog.SORT_ID,
        sort_version=int.from_bytes(catalog.SORT_VERSION[4:], "little"),
    )  # fmt: skip


def create_index(session: Session, state: TableState, index: Index) -> None:
    """Make a secondary index of a table and enter its rows."""
    if index.primary:
        raise InvalidUse("A primary index is made with its table", jet=Jet.errIndexInvalidDef)
    schema.check_name(index.name)
    check_quiet(session, [state.tree])
    made = _make_index(session, state.database, state.definition, index)
    following = state.changed(indexes=[*state.definition.indexes, made])
    state.follow(session, following)
    new = next(i for i in following.secondary if i.keys.index is made)
    session.on_undo(lambda: forget_trees(session, [new.tree]))
    from hotsplit.ese.engine.table import Table

    table = Table(session, following)
    for key, record in state.tree.entries(session):
        for entry in new.keys.keys(following.rows.split(record), table.reader):
            new.tree.insert(session, entry, key)


def add_column(session: Session, state: TableState, column: Column) -> ColumnDef:
    """Add a column to a table; rows that are there have its default, or NULL."""
    if column.not_null and column.default is None and next(state.tree.scan(), None) is not None:
        raise InvalidUse("Rows that are there would be NULL", jet=Jet.errNullInvalid)
    database, definition = state.database, state.definition
    stubs = database.catalog.deleted_columns(session, definition.objid)
    planned = schema.plan_columns([column], [*definition.columns, *stubs])[0]
    database.catalog.add(session, catalog.column_row(definition.objid, planned))
    state.follow(session, state.changed(columns=[*definition.columns, planned]))
    return planned


def create_long_values(session: Session, state: TableState) -> LongValueTree:
    """Make the tree of a table's long values."""
    database, table = state.database, state.definition
    parent = database.tree(table.root, table.objid)
    root, objid = parent.space.allocate(session), database.next_objid()
    make_tree(session, parent, root, objid, PageFlag.LONG_VALUE, 1, unique=True)
    database.catalog.add(session, catalog.long_value_row(table.objid, objid, root))
    database.catalog.add_objid(session, objid, table.objid, RowType.LONG_VALUE)
    tree = database.tree(root, objid, PageFlag.LONG_VALUE)

    def undo() -> None:
        state.set_long_values(0, 0)
        forget_trees(session, [tree])

    session.on_undo(undo)
    state.set_long_values(root, objid)
    assert state.long_values is not None
    return state.long_values
