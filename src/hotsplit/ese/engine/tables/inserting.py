"""New rows on their way into a table: those that are plain are packed and inserted together.

Source: format specification 7.1, 10.5.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from hotsplit.errors import InvalidUse
from hotsplit.ese.engine.trees.bulk import in_order, insert_sorted
from hotsplit.ese.format.columns import Value

if TYPE_CHECKING:
    from hotsplit.ese.engine.session import Session
    from hotsplit.ese.engine.tables.table import Table
    from hotsplit.ese.engine.tables.tablestate import TableState

FIRST_BATCH = 200
"""Rows that are inserted together at first."""

_LEAST, _MOST = 16, 2000  # rows of a batch
_BYTES, _OTHER = 512 << 10, 4 << 10  # of a batch; more for a row that may have long values


def next_batch(rows: int, size: int) -> int:
    """Return how many rows come together next, when these had so many bytes."""
    return min(max(_BYTES * rows // max(size, 1), _LEAST), _MOST)


class NewRow(NamedTuple):
    """A row ready to be stored. entries: its keys in each secondary index."""

    key: bytes
    record: bytes
    entries: list[list[bytes]]


def insert_row(table: Table, values: Mapping[str, Value]) -> bytes:
    """Insert a row; return its bookmark. The lock is held."""
    state, session = table.state, table.session
    whole = values
    if state.fills_in:
        values = _numbered(state, session, values)
        whole = _filled_in(state, values)
    row = None if state.row_maker is None else state.row_maker.make(whole)
    if row is None:
        return store(table, table.new_row(values))
    record, keys = row
    key = keys.pop(0) if state.primary is not None else state.next_hidden_key()
    assert key is not None
    state.tree.insert(session, key, record)
    for index, entry in zip(state.secondary, keys, strict=True):
        if entry is not None:
            index.tree.insert(session, entry, key)
    return key


def store(table: Table, row: NewRow) -> bytes:
    """Insert a row that is ready; return its bookmark. The lock is held."""
    table.state.tree.insert(table.session, row.key, row.record)
    for index, entries in zip(table.state.secondary, row.entries, strict=True):
        for entry in entries:
            index.tree.insert(table.session, entry, row.key)
    return row.key


def insert_batch(
    table: Table, rows: Sequence[Any], names: tuple[str, ...] | None, since: int
) -> int:
    """Insert rows in the order of their keys. Return about how many bytes they have.

    Rows are mappings, or sequences of values in the order of `names`. since: see
    `Session.remember_run`. The lock is held.
    """
    state, session = table.state, table.session
    if state.fills_in:
        rows, names = [_numbered(state, session, _named(row, names)) for row in rows], None
    plain = [_filled_in(state, row) for row in rows] if state.fills_in else rows
    has_keys = state.primary is not None
    others: list[NewRow] = []
    records, hidden = list[bytes](), list[bytes]()
    made: list[list[Any]] = [[] for _ in range(len(state.secondary) + has_keys)]
    done = 0
    while done < len(rows):
        if state.row_maker is not None:
            done = state.row_maker.pack(plain, done, names, records, made)
            if not has_keys:
                hidden += [state.next_hidden_key() for _ in records[len(hidden) :]]
        if done < len(rows):
            others.append(table.new_row(_named(rows[done], names)))
            done += 1
    keys = made.pop(0) if has_keys else hidden
    _insert_all(table, keys, records, made, others, since)
    return sum(map(len, records)) + sum(_OTHER + len(row.record) for row in others)


def _insert_all(
    table: Table,
    keys: list[bytes],
    records: list[bytes],
    made: list[list[bytes | None]],
    others: list[NewRow],
    since: int,
) -> None:
    """Insert plain rows and others. made: the keys of plain ones in each index, None without."""
    all_keys = keys + [row.key for row in others]
    all_records = records + [row.record for row in others]
    insert_sorted(table.state.tree, table.session, *in_order(all_keys, all_records), since)
    for place, (index, found) in enumerate(zip(table.state.secondary, made, strict=True)):
        marks = [key for key, entry in zip(keys, found, strict=True) if entry is not None]
        marks += [row.key for row in others for _ in row.entries[place]]
        entries = [entry for entry in found if entry is not None]
        entries += [entry for row in others for entry in row.entries[place]]
        insert_sorted(index.tree, table.session, *in_order(entries, marks), since)


def _numbered(state: TableState, session: Session, values: Mapping[str, Value]) -> dict[str, Value]:
    """Return a new row with its number, if rows are counted and it has none."""
    row, counter = dict(values), state.counter
    if counter is not None:
        given = row.get(counter.name)
        if given is None:
            row[counter.name] = state.next_autoincrement(session)
        elif isinstance(given, int):
            state.note_autoincrement(session, given)
    return row


def _filled_in(state: TableState, values: Mapping[str, Value]) -> dict[str, Value]:
    """Return a new row that has its number with all else that nobody gave."""
    row, version = dict(values), state.version_column
    if version is not None and row.get(version.name) is None:
        row[version.name] = 0
    for column in state.escrow:
        row.setdefault(column.name, column.default_data)
    return row


def _named(row: Any, names: tuple[str, ...] | None) -> Mapping[str, Value]:
    """Return a row by column name. Raises InvalidUse for one with too few or too many values."""
    if names is None:
        named: Mapping[str, Value] = row
        return named
    if len(row) != len(names) or len(set(names)) != len(names):
        raise InvalidUse(f"{len(row)} values for {len(names)} columns")
    return dict(zip(names, row, strict=True))
