"""Writers: one table into one file, in the formats of an export.

Text and SQLite take rows, Arrow and Parquet take batches of columns. Each writer gives its file
its name only when the table is complete.
"""

from __future__ import annotations

from typing import Any, Literal

from hotsplit.ese.export import text
from hotsplit.ese.export.columnar import COLUMNS_A_FILE, write_columns
from hotsplit.ese.export.files import replaced
from hotsplit.ese.export.schema import Written, label_types
from hotsplit.ese.export.sqlite import write_sqlite
from hotsplit.ese.export.view import View
from hotsplit.ese.files.env import Env
from hotsplit.ese.format.columns import ColumnDef

Format = Literal["parquet", "arrow", "csv", "jsonl", "sqlite"]
FORMATS: tuple[Format, ...] = ("parquet", "arrow", "csv", "jsonl", "sqlite")
COLUMNAR: tuple[Format, ...] = ("parquet", "arrow")


def write_table(env: Env, view: View, form: Format, path: str, most: int = 0) -> Written:
    """Write one table to `path`, replacing what is there when it is complete.

    most: columns of a file in formats of columns, see `write_columns`; 0 for the usual number.

    Raises FeatureMissing for Parquet and Arrow without pyarrow, and what reading raises.
    """
    if form in COLUMNAR:
        return write_columns(env, view, form, path, most or COLUMNS_A_FILE.get(form, 0))
    if form == "sqlite":
        return write_sqlite(env, view, path)
    return _write_text(env, view, form, path)


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
