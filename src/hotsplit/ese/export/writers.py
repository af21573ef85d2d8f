"""Writers: one table into one file, in the formats of an export.

Text and SQLite take rows, Arrow and Parquet take batches of columns. Each writer gives its file
its name only when the table is complete.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, Literal

from hotsplit.ese.export import text
from hotsplit.ese.export.files import replaced
from hotsplit.ese.export.schema import Written, label_types, meaning_entries
from hotsplit.ese.export.sqlite import write_sqlite
from hotsplit.ese.export.view import LABEL_COLUMNS, Field, View, label_values
from hotsplit.ese.files.env import Env
from hotsplit.ese.format.columns import ColumnDef
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
_ROWS_A_GROUP = 65536


def write_table(env: Env, view: View, form: Format, path: str) -> Written:
    """Write one table to `path`, replacing what is there when it is complete.

    Raises FeatureMissing for Parquet and Arrow without pyarrow, and what reading raises.
    """
    if form in ("parquet", "arrow"):
        return _write_arrow(env, view, form, path)
    if form == "sqlite":
        return write_sqlite(env, view, path)
    return _write_text(env, view, form, path)


# Text


def _write_text(env: Env, view: View, form: str, path: str) -> Written:
    columns = [field.column for field in view.fields]
    writer = text.RowWriter(columns, "csv" if form == "csv" else "jsonl", view.names)
    count = 0
    with replaced(env, path) as file:
        file.write(writer.head())
        for chunk in view.chunks():
            file.write(writer.encode(chunk) + b"\n")
            count += len(chunk)
    return Written(count, [_logical(f.column, f.meaning) for f in view.fields] + label_types(view))


def _logical(column: ColumnDef, meaning: Any) -> str:
    """Return what a column holds in text formats, for the manifest."""
    if meaning is not None and meaning.name not in ("secret",):
        return "time" if getattr(meaning, "is_time", False) else "text"
    return column.type_name


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
    wide = len(view.fields) >= WIDE
    fields = [
        ArrowField(f.name, f.column, f.meaning, {} if wide else _notes(f)) for f in view.fields
    ]
    if first is None:
        return ArrowForm(fields, (), lists)
    return ArrowForm(fields, filetime_columns(first), lists | list_columns(first))


def _notes(field: Field) -> dict[str, str]:
    return {f"hotsplit.{key}": str(value) for key, value in meaning_entries(field).items()}


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
