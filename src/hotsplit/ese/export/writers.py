"""Writers: one table into one file, in the formats of an export.

Text and SQLite take rows, Arrow and Parquet take batches of columns. Each writer gives its file
its name only when the table is complete.
"""

from __future__ import annotations

import itertools
import math
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from hotsplit.errors import DiskFull, InvalidUse, IoFailed
from hotsplit.ese.export import text
from hotsplit.ese.export.files import PART, finish, replaced
from hotsplit.ese.export.view import LABEL_COLUMNS, View, label_values
from hotsplit.ese.files.env import Env
from hotsplit.ese.format.columns import TEXT_TYPES, Coltyp, ColumnDef, DateTime
from hotsplit.ese.read.arrow import (
    WIDE,
    ArrowField,
    ArrowForm,
    filetime_columns,
    list_columns,
    load_pyarrow,
)
from hotsplit.ese.read.batch import Batch
from hotsplit.ese.read.labels import origins

if TYPE_CHECKING:
    import pyarrow as pa

Format = Literal["parquet", "arrow", "csv", "jsonl", "sqlite"]
FORMATS: tuple[Format, ...] = ("parquet", "arrow", "csv", "jsonl", "sqlite")
_ROWS_A_WRITE = 1000
_ROWS_A_GROUP = 65536
_SQLITE_COLUMNS = 2000


class Written(NamedTuple):
    """What came of a table: number of rows, type of each column in the file."""

    rows: int
    types: list[str]


def write_table(env: Env, view: View, form: Format, path: str) -> Written:
    """Write one table to `path`, replacing what is there when it is complete.

    Raises FeatureMissing for Parquet and Arrow without pyarrow, and what reading raises.
    """
    writer = {"csv": _write_text, "jsonl": _write_text, "sqlite": _write_sqlite}
    if form in ("parquet", "arrow"):
        return _write_arrow(env, view, form, path)
    return writer[form](env, view, form, path)


def _chunks(rows: Iterator[list[Any]]) -> Iterator[list[list[Any]]]:
    while chunk := list(itertools.islice(rows, _ROWS_A_WRITE)):
        yield chunk


# Text


def _write_text(env: Env, view: View, form: str, path: str) -> Written:
    columns = [field.column for field in view.fields]
    writer = text.RowWriter(columns, "csv" if form == "csv" else "jsonl", view.names)
    count = 0
    with replaced(env, path) as file:
        file.write(writer.head())
        for chunk in _chunks(view.rows()):
            file.write(writer.encode(chunk) + b"\n")
            count += len(chunk)
    return Written(count, [_logical(f.column, f.meaning) for f in view.fields] + _label_types(view))


def _logical(column: ColumnDef, meaning: Any) -> str:
    """Return what a column holds in text formats, for the manifest."""
    if meaning is not None and meaning.name not in ("secret",):
        return "time" if getattr(meaning, "is_time", False) else "text"
    return column.type_name


def _label_types(view: View) -> list[str]:
    return ["text", "integer", "integer", "text", "text"] if view.include else []


# SQLite

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


def _write_sqlite(env: Env, view: View, form: str, path: str) -> Written:
    """Write one table into a database of its own; `merge_sqlite` puts them together."""
    types = [_sql_type(field.column, field.meaning) for field in view.fields]
    types += [t.upper() for t in _label_types(view)]
    odd = [
        (i, _sql_wide if field.column.coltyp == Coltyp.UNSIGNED_LONG_LONG else _sql_value)
        for i, field in enumerate(view.fields)
        if not _is_plain(field.column, field.meaning)
    ]
    if len(types) > _SQLITE_COLUMNS:
        raise InvalidUse(
            f"SQLite takes {_SQLITE_COLUMNS} columns, the table has {len(types)}",
            hint="Name columns with --columns, or choose another format.",
        )
    unfinished = path + PART
    if env.exists(unfinished):
        env.remove(unfinished)
    count = 0
    with _sql_errors(path), closing(sqlite3.connect(unfinished)) as db:
        db.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF")
        columns = ", ".join(f"{quoted(n)} {t}" for n, t in zip(view.names, types, strict=True))
        db.execute(f"CREATE TABLE {quoted(view.title)} ({columns})")
        insert = f"INSERT INTO {quoted(view.title)} VALUES ({', '.join('?' * len(types))})"
        for chunk in _chunks(view.rows()):
            db.executemany(insert, _sql_rows(chunk, odd))
            count += len(chunk)
        db.commit()
    file = env.open(unfinished, "write")
    try:
        file.sync()
    finally:
        file.close()
    finish(env, unfinished, path)
    return Written(count, types)


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


class _sql_errors:  # noqa: N801 - reads as a context
    """Errors of SQLite as those of the program."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, sqlite3.Error):
            cls = DiskFull if "full" in str(error) else IoFailed
            raise cls(f"SQLite: {error}", file=self._path) from error


def merge_sqlite(env: Env, parts: list[tuple[str, str]], path: str) -> None:
    """Put tables, as (file, table name), into one database, which gets its name at the end."""
    unfinished = path + PART
    if env.exists(unfinished):
        env.remove(unfinished)
    with _sql_errors(path), closing(sqlite3.connect(unfinished)) as db:
        db.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF")
        for part, title in parts:
            db.execute("ATTACH DATABASE ? AS part", (part,))
            create = "SELECT sql FROM part.sqlite_master WHERE type = 'table'"
            db.execute(db.execute(create).fetchone()[0])
            db.execute(f"INSERT INTO main.{quoted(title)} SELECT * FROM part.{quoted(title)}")
            db.commit()
            db.execute("DETACH DATABASE part")
    file = env.open(unfinished, "write")
    try:
        file.sync()
    finally:
        file.close()
    finish(env, unfinished, path)


# Arrow and Parquet


class _MoreLists(Exception):
    """A column turned out to have several values in a row after rows were written."""

    def __init__(self, names: set[str]) -> None:
        self.names = names


def _write_arrow(env: Env, view: View, form: str, path: str) -> Written:
    lists: set[str] = set()
    while True:
        try:
            return _arrow_once(env, view, form, path, lists)
        except _MoreLists as found:  # at most once a column: the table is written again
            lists |= found.names


def _arrow_once(env: Env, view: View, form: str, path: str, lists: set[str]) -> Written:
    pyarrow = load_pyarrow()
    names = [column.name for column in view.columns]
    batches = view.table.batches(names, size=_ROWS_A_GROUP, include=view.include)
    first = next(batches, None)
    shape = _shape(view, first, lists)
    schema = _with_labels(pyarrow, shape.schema, view)
    if first is not None:
        batches = itertools.chain([first], batches)
    del first
    count = 0
    with replaced(env, path) as file, _arrow_writer(pyarrow, form, file, schema) as out:
        for batch in batches:
            missing = list_columns(batch) - shape.lists - _declared(view)
            if missing:
                raise _MoreLists(missing)
            out.write_batch(_record_batch(pyarrow, shape, batch, view, schema))
            count += batch.rows
            del batch  # closing the file of a wide table takes much memory
    return Written(count, [str(field.type) for field in schema])


def _shape(view: View, first: Batch | None, lists: set[str]) -> ArrowForm:
    fields = [ArrowField(f.name, f.column, f.meaning) for f in view.fields]
    if first is None:
        return ArrowForm(fields, (), lists)
    return ArrowForm(fields, filetime_columns(first), lists | list_columns(first))


def _record_batch(
    pyarrow: Any, shape: ArrowForm, batch: Batch, view: View, schema: pa.Schema
) -> pa.RecordBatch:
    arrays = [*shape.arrays(batch), *_label_arrays(pyarrow, batch, view)]
    return pyarrow.RecordBatch.from_arrays(arrays, schema=schema)


def _declared(view: View) -> set[str]:
    return {column.name for column in view.columns if column.is_multi_valued}


def _arrow_writer(pyarrow: Any, form: str, file: Any, schema: pa.Schema) -> Any:
    """Return what writes batches, to be closed at the end."""
    if form == "arrow":
        return pyarrow.ipc.new_file(file, schema)
    import pyarrow.parquet as parquet

    narrow = len(schema) < WIDE
    return parquet.ParquetWriter(file, schema, compression="zstd", write_statistics=narrow)


def _label_kinds(pyarrow: Any) -> list[pa.DataType]:
    string = pyarrow.string()
    return [string, pyarrow.uint32(), pyarrow.uint16(), string, string]


def _with_labels(pyarrow: Any, schema: pa.Schema, view: View) -> pa.Schema:
    if view.include:
        for name, kind in zip(LABEL_COLUMNS, _label_kinds(pyarrow), strict=True):
            schema = schema.append(pyarrow.field(name, kind))
    return schema.with_metadata({"ese.table": view.table.name})


def _label_arrays(pyarrow: Any, batch: Batch, view: View) -> list[Any]:
    if not view.include:
        return []
    columns = list(zip(*map(label_values, origins(batch.places)), strict=True))
    pairs = zip(columns, _label_kinds(pyarrow), strict=True)
    return [pyarrow.array(values, kind) for values, kind in pairs]
