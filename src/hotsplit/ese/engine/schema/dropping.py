"""Tables, indexes and columns deleted and renamed.

What is deleted is there for those whose view is older, and its space is given back when the last of
them has ended. Until then nobody writes to the table who does not see the change.

Source: format specification 6.3, 6.9; what the published engine does for the same calls.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hotsplit.errors import InvalidUse, Jet, WriteConflict
from hotsplit.ese.engine.schema import definitions as schema
from hotsplit.ese.engine.schema.changes import check_quiet
from hotsplit.ese.format.catalogschema import IndexDef, IndexFlag, RowType
from hotsplit.ese.format.columns import ColumnDef

if TYPE_CHECKING:
    from hotsplit.ese.engine.session import Session
    from hotsplit.ese.engine.tables.tablestate import TableState
    from hotsplit.ese.engine.trees.tree import Tree

_NO_TYPE = 0
_STUB = "JetStub_{}_{}"
_TREE_ROWS = (RowType.TABLE, RowType.INDEX, RowType.LONG_VALUE)


def drop_table(session: Session, state: TableState) -> None:
    """Delete a table with all that belongs to it. Raises InvalidUse (-1318, -1304)."""
    database, definition = state.database, state.definition
    _check_user_table(state, Jet.errCannotDeleteSystemTable)
    if definition.is_template:
        raise InvalidUse(f"{state.name} is a template", jet=Jet.errCannotDeleteTemplateTable)
    try:
        check_quiet(session, state.trees)
    except WriteConflict as error:
        raise InvalidUse(f"Table {state.name} is in use", jet=Jet.errTableInUse) from error
    catalog = database.catalog
    for row in catalog.rows_of(session, definition.objid):
        catalog.delete(session, row)
        is_tree = row["Type"] in _TREE_ROWS
        if is_tree and (row["Type"] == RowType.TABLE or row["Id"] != definition.objid):
            catalog.delete_objid(session, row["Id"])
    for index in definition.indexes:
        _uncount_locale(session, state, index)
    _drop_trees(session, state.trees)
    state.follow(session, None)


def drop_index(session: Session, state: TableState, name: str) -> None:
    """Delete a secondary index.

    Raises InvalidUse (-1404; -1405 for the primary one; -1323, -1324 for a template's).
    """
    index = state.index(name)
    if index is None:
        raise InvalidUse("A table keeps its primary index", jet=Jet.errIndexMustStay)
    _check_changeable(state)
    database, definition = state.database, index.keys.index
    if definition.flags & IndexFlag.DERIVED:
        raise InvalidUse(f"{name} is of the template", jet=Jet.errFixedInheritedDDL)
    catalog, objid = database.catalog, state.definition.objid
    catalog.delete(session, catalog.row_of(session, objid, RowType.INDEX, definition.objid))
    catalog.delete_objid(session, definition.objid)
    _uncount_locale(session, state, definition)
    _drop_trees(session, [index.tree])
    left = [one for one in state.definition.indexes if one is not definition]
    state.follow(session, state.changed(indexes=left))


def drop_column(session: Session, state: TableState, name: str) -> None:
    """Delete a column; what rows hold of it stays, unseen, until they change.

    Its id is not used again: a stub keeps it. Raises InvalidUse (-1507; -1046 for part of a key;
    -1323, -1324 for a template's).
    """
    column = state.column(name)
    _check_changeable(state)
    _check_own(column)
    for index in state.definition.indexes:
        needed = map(state.rows.column_of, (*index.key, *index.conditions))
        if any(one.tag == column.tag for one in needed):
            raise InvalidUse(f"Index {index.name} needs {name}", jet=Jet.errColumnInUse)
    catalog, objid = state.database.catalog, state.definition.objid
    row = catalog.row_of(session, objid, RowType.COLUMN, column.id)
    stub = {"ColtypOrPgnoFDP": _NO_TYPE, "Name": _STUB.format(objid, column.id)}
    catalog.change(session, row, stub)
    left = [one for one in state.definition.columns if one.id != column.id]
    state.follow(session, state.changed(columns=left))


def rename_table(session: Session, state: TableState, name: str) -> None:
    """Give a table another name. Raises InvalidUse (-1002, -1303)."""
    schema.check_name(name)
    _check_changeable(state)
    database, objid = state.database, state.definition.objid
    there = database.table_of(session, name)
    if there is not None and there.definition.objid != objid:
        raise InvalidUse(f"There is a table {name}", jet=Jet.errTableDuplicate)
    row = database.catalog.row_of(session, objid, RowType.TABLE, objid)
    database.catalog.change(session, row, {"Name": name})
    following = state.changed(name=name)
    state.follow(session, following)
    if name.casefold() != state.name.casefold():
        database.adopt_table(session, following)


def rename_column(session: Session, state: TableState, old: str, new: str) -> None:
    """Give a column another name. Raises InvalidUse (-1002, -1507, -1508, -1323, -1324)."""
    schema.check_name(new)
    _check_changeable(state)
    column, columns = state.column(old), state.definition.columns
    _check_own(column)
    if any(c.name.casefold() == new.casefold() and c.tag != column.tag for c in state.columns):
        raise InvalidUse(f"There is a column {new}", jet=Jet.errColumnDuplicate)
    catalog, objid = state.database.catalog, state.definition.objid
    row = catalog.row_of(session, objid, RowType.COLUMN, column.id)
    catalog.change(session, row, {"Name": new})
    renamed = [replace(c, name=new) if c.id == column.id else c for c in columns]
    state.follow(session, state.changed(columns=renamed))


def _check_user_table(state: TableState, jet: Jet) -> None:
    if state.definition.is_system:
        raise InvalidUse(f"{state.name} is a table of the engine", jet=jet)


def _check_changeable(state: TableState) -> None:
    _check_user_table(state, Jet.errFixedDDL)
    if state.is_fixed:
        raise InvalidUse(f"{state.name} keeps its definition", jet=Jet.errFixedDDL)


def _check_own(column: ColumnDef) -> None:
    if column.derived:
        raise InvalidUse(f"{column.name} is of the template", jet=Jet.errFixedInheritedDDL)


def _uncount_locale(session: Session, state: TableState, index: IndexDef) -> None:
    if index.flags & IndexFlag.LOCALIZED_TEXT:
        state.database.catalog.count_locale(session, -1)


def _drop_trees(session: Session, trees: list[Tree]) -> None:
    """Let trees go with the commit: the space of the first one holds that of the others."""
    dropped = session.current.dropped
    for tree in trees:
        tree.dropped = session.current
    dropped.append(trees[0])

    def undo() -> None:
        dropped.remove(trees[0])
        for tree in trees:
            tree.dropped = None

    session.on_undo(undo)
