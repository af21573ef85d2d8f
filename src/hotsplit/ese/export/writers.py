"""Writers: one table into one file, in the formats of an export.

Text and SQLite take rows, Arrow and Parquet take batches of columns. Each writer gives its file
its name only when the table is complete.
"""

from __future__ import annotations

from typing import Any, Literal

from hotsplit.errors import InvalidUse
from hotsplit.ese.export import text
from hotsplit.ese.export.columnar import COLUMNS_A_FILE, write_columns
from hotsplit.ese.export.files import created, replaced
from hotsplit.ese.export.schema import Written, label_types
from hotsplit.ese.export.sqlite import write_sqlite
from hotsplit.ese.export.view import View
from hotsplit.ese.files.env import Env
from hotsplit.ese.format.columns import ColumnDef
from hotsplit.ese.read.parts import LeafRange

Format = Literal["parquet", "arrow", "csv", "jsonl", "sqlite"]
FORMATS: tuple[Format, ...] = ("parquet", "arrow", "csv", "jsonl", "sqlite")
COLUMNAR: tuple[Format, ...] = ("parquet", "arrow")
_SUFFIXES: dict[str, Format] = {form: form for form in FORMATS}
_SUFFIXES |= {"db": "sqlite", "feather": "arrow", "ipc": "arrow"}
TEXT: tuple[Format, ...] = ("csv", "jsonl")
"""Formats in which a table may be written in pieces, one behind the other."""


def format_of(path: str) -> Format:
    """Return the format that the suffix of a file says. Raises InvalidUse."""
    form = _SUFFIXES.get(path.rpartition(".")[2].lower())
    if form is None:
        raise InvalidUse(
            f"No format has the suffix of {path}", hint=f"Name one of {', '.join(FORMATS)}."
        )
    return form


def write_table(
    env: Env, view: View, form: Format, path: str, most: int = 0, *, ahead: bool = False
) -> Written:
    """Write one table to `path`, replacing what is there when it is complete.

    most, ahead: of formats of columns, see `write_columns`; 0 for the usual number.

    Raises FeatureMissing for Parquet and Arrow without pyarrow, and what reading raises.
    """
    if form in COLUMNAR:
        most = most or COLUMNS_A_FILE.get(form, 0)
        return write_columns(env, view, form, path, most, ahead=ahead)
    if form == "sqlite":
        return write_sqlite(env, view, path)
    return _write_text(env, view, form, path)


def write_piece(
    env: Env, view: View, form: Format, path: str, part: LeafRange, *, first: bool
) -> Written:
    """Write the rows of some leaves to a file in a format of text, to be put behind those before.

    first: what a file begins with, too. Raises what reading raises, and OutOfOrder.
    """
    with created(env, path) as file:
        return _put_text(view, form, file, part, head=first)


def _write_text(env: Env, view: View, form: str, path: str) -> Written:
    with replaced(env, path) as file:
        return _put_text(view, form, file, None, head=True)


def _put_text(view: View, form: str, file: Any, part: LeafRange | None, *, head: bool) -> Written:
    columns = [field.column for field in view.fields]
    writer = text.RowWriter(columns, "csv" if form == "csv" else "jsonl", view.names)
    count = 0
    if head:
        file.write(writer.head())
    for chunk in view.chunks(part):
        file.write(writer.encode(chunk) + b"\n")
        count += len(chunk)
    return Written(count, [_logical(f.column, f.meaning) for f in view.fields] + label_types(view))


def _logical(column: ColumnDef, meaning: Any) -> str:
    """Return what a column holds in text formats, for the manifest."""
    if meaning is not None and meaning.name not in ("secret",):
        return "time" if getattr(meaning, "is_time", False) else "text"
    return column.type_name
