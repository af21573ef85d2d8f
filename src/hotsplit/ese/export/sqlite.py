"""Tables into SQLite: each into a database of its own, and all of them into one.

A table `COLUMNS` says what the columns are: ESE name and type, decoder, zone, unit.
"""

from __future__ import annotations

import math
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

from hotsplit.errors import DiskFull, InvalidUse, IoFailed
from hotsplit.ese.export import text
from hotsplit.ese.export.files import PART, finish
from hotsplit.ese.export.schema import Written, column_entries, label_types
from hotsplit.ese.export.view import View
from hotsplit.ese.files.env import Env
from hotsplit.ese.format.columns import TEXT_TYPES, Coltyp, ColumnDef, DateTime

COLUMNS = "hotsplit_columns"
_DESCRIBED = (
    *("table", "name", "type", "column", "ese_type"),
    *("decoded", "zone", "unit", "note", "encrypted"),
)
_CREATE = f"CREATE TABLE {COLUMNS} (" + ", ".join(f'"{name}"' for name in _DESCRIBED) + ")"
_MOST_COLUMNS = 2000
_INTEGERS = (
    Coltyp.BIT,
    Coltyp.UNSIGNED_BYTE,
    Coltyp.SHORT,
    Coltyp.LONG,
    Coltyp.CURRENCY,
    Coltyp.UNSIGNED_LONG,
    Coltyp.LONG_LONG,
    Coltyp.UNSIGNED_SHORT,
)
_REALS = (Coltyp.IEEE_SINGLE, Coltyp.IEEE_DOUBLE)
_BLOBS = (Coltyp.BINARY, Coltyp.LONG_BINARY)


def quoted(name: str) -> str:
    """Return a name as SQL takes it."""
    return '"' + name.replace('"', '""').replace("\0", "\ufffd") + '"'


def table_name(title: str, taken: set[str] | None = None) -> str:
    """Return the name of a table in SQLite.

    `COLUMNS` and what SQLite keeps for itself get an underscore in front; a name that would differ
    from one of `taken` in case only gets a number. The name is added to `taken`.
    """
    base = title
    if base.casefold() == COLUMNS or base.casefold().startswith("sqlite_"):
        base = f"_{base}"
    name, number = base, 2
    while taken is not None and name.casefold() in taken:
        name, number = f"{base}~{number}", number + 1
    if taken is not None:
        taken.add(name.casefold())
    return name


def _sql_type(column: ColumnDef, meaning: Any) -> str:
    """Return the type of a column in SQLite. Numbers beyond 63 bits are text, so none is lost."""
    if (meaning is not None and meaning.name != "secret") or column.is_multi_valued:
        return "TEXT"
    if column.coltyp in _INTEGERS:
        return "INTEGER"
    if column.coltyp in _REALS:
        return "REAL"
    return "BLOB" if column.coltyp in _BLOBS else "TEXT"


def _sql_wide(value: Any) -> Any:
    """Return a number that may have 64 bits as text, alone or among others."""
    return text.json_text(value) if isinstance(value, list | int) else value


def _sql_value(value: Any) -> Any:
    if value is None or isinstance(value, str | bytes):
        return value
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else value
    if isinstance(value, DateTime):
        return str(value)
    return text.json_text(value) if isinstance(value, list) else str(value)


def write_sqlite(env: Env, view: View, path: str) -> Written:
    """Write one table into a database of its own; `merge_sqlite` puts them together."""
    types = [_sql_type(field.column, field.meaning) for field in view.fields]
    types += [t.upper() for t in label_types(view)]
    odd = [
        (i, _sql_wide if field.column.coltyp == Coltyp.UNSIGNED_LONG_LONG else _sql_value)
        for i, field in enumerate(view.fields)
        if not _is_plain(field.column, field.meaning)
    ]
    if len(types) > _MOST_COLUMNS:
        raise InvalidUse(
            f"SQLite takes {_MOST_COLUMNS} columns, the table has {len(types)}",
            hint="Name columns with --columns, or choose another format.",
        )
    count = 0
    with _new_database(env, path) as db:
        columns = ", ".join(f"{quoted(n)} {t}" for n, t in zip(view.names, types, strict=True))
        name = quoted(table_name(view.title))
        db.execute(f"CREATE TABLE {name} ({columns})")
        insert = f"INSERT INTO {name} VALUES ({', '.join('?' * len(types))})"
        for chunk in view.chunks():
            db.executemany(insert, _sql_rows(chunk, odd))
            count += len(chunk)
        _describe(db, view, types)
        db.commit()
    return Written(count, types)


def _describe(db: sqlite3.Connection, view: View, types: list[str]) -> None:
    """Enter the columns of a table in the table of all columns."""
    entries = [{"table": table_name(view.title), **entry} for entry in column_entries(view, types)]
    insert = f"INSERT INTO {COLUMNS} VALUES ({', '.join('?' * len(_DESCRIBED))})"
    db.execute(_CREATE)
    db.executemany(insert, [list(map(entry.get, _DESCRIBED)) for entry in entries])


def _is_plain(column: ColumnDef, meaning: Any) -> bool:
    """Say whether SQLite takes the values of a column as they are."""
    plain = column.coltyp in (*_INTEGERS, *_BLOBS, *TEXT_TYPES)
    return plain and meaning is None and not column.is_tagged


def _sql_rows(
    rows: Iterable[list[Any]], odd: Sequence[tuple[int, Callable[[Any], Any]]]
) -> Iterator[list[Any]]:
    for row in rows:
        for i, convert in odd:
            row[i] = convert(row[i])
        yield row


@contextmanager
def _new_database(env: Env, path: str) -> Iterator[sqlite3.Connection]:
    """Make a database that gets its name when all of it is on stable storage.

    Raises DiskFull, IoFailed for the errors of SQLite.
    """
    unfinished = path + PART
    if env.exists(unfinished):
        env.remove(unfinished)
    try:
        with closing(sqlite3.connect(unfinished)) as db:
            db.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF")
            yield db
    except sqlite3.Error as error:
        cls = DiskFull if "full" in str(error) else IoFailed
        raise cls(f"SQLite: {error}", file=path) from error
    file = env.open(unfinished, "write")
    try:
        file.sync()
    finally:
        file.close()
    finish(env, unfinished, path)


def merge_sqlite(env: Env, parts: list[tuple[str, str]], path: str) -> list[str]:
    """Put tables, as (file, title), into one database, which gets its name at the end.

    Returns what each table is called there: see `table_name`.
    """
    taken: set[str] = set()
    names = [table_name(title, taken) for _, title in parts]
    with _new_database(env, path) as db:
        db.execute(_CREATE)
        for (part, title), name in zip(parts, names, strict=True):
            db.execute("ATTACH DATABASE ? AS part", (os.fsencode(part),))
            old, new = quoted(table_name(title)), quoted(name)
            found = db.execute(
                "SELECT sql FROM part.sqlite_master WHERE type = 'table' AND name <> ?", (COLUMNS,)
            )
            create: str = found.fetchone()[0]
            db.execute(create.replace(old, new, 1))
            db.execute(f"INSERT INTO main.{new} SELECT * FROM part.{old}")
            described = ", ".join(f'"{column}"' for column in _DESCRIBED[1:])
            db.execute(f"INSERT INTO {COLUMNS} SELECT ?, {described} FROM part.{COLUMNS}", (name,))
            db.commit()
            db.execute("DETACH DATABASE part")
    return names
