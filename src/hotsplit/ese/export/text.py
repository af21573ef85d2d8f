"""Rows as text: JSON lines and CSV, exact and the same every time.

One convention for both formats:

| value | text |
|---|---|
| NULL | `null`; in CSV an empty field without quotes |
| Bit | `true`, `false` |
| integers, Currency | decimal digits; Currency is the stored 64-bit number (10000 is one unit) |
| IEEE floats | the shortest digits that give the same double; else "NaN", "Infinity", "-Infinity" |
| DateTime | ISO text without zone, e.g. "2021-10-07T08:26:00", with as many fraction digits as \
the double needs; a 64-bit integer where the application stored something else (a FILETIME) |
| GUID | "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx" |
| Text | the text; {"hex": "..."} where the bytes are not text in the column's code page |
| Binary | lower-case hex digits as text |
| several values | an array; always for multi-valued columns; in CSV the array as JSON text |
"""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal

from hotsplit import _native
from hotsplit.ese.format.columns import TEXT_TYPES, ColumnDef, DateTime, Value

_kernel = _native.load("jsonl")

Format = Literal["jsonl", "csv"]
FORMATS: tuple[Format, ...] = ("jsonl", "csv")


@lru_cache(maxsize=65536)
def _time(value: DateTime) -> str:
    """Rows near each other often have the same time."""
    exact = value.exact()
    return f'"{exact}"' if isinstance(exact, str) else str(exact)


def _special(value: Any) -> str:
    """Return the JSON text of what the kernel does not write itself."""
    if isinstance(value, DateTime):
        return _time(value)
    if isinstance(value, bytes):
        return f'"{value.hex()}"'
    if isinstance(value, uuid.UUID):
        return f'"{value}"'
    if isinstance(value, list):
        return f"[{', '.join(map(json_text, value))}]"
    if isinstance(value, _NoText):
        return f'{{"hex": "{value.data.hex()}"}}'
    assert isinstance(value, float)
    return '"NaN"' if math.isnan(value) else '"Infinity"' if value > 0 else '"-Infinity"'


def json_text(value: Any) -> str:
    """Return a value as JSON."""
    if value is None or isinstance(value, bool | int | str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, float) and math.isfinite(value):
        return repr(value)
    return _special(value)


class _NoText:
    """Bytes of a text column that are not text: kept apart from text that looks like hex digits."""

    def __init__(self, data: bytes) -> None:
        self.data = data


def _mark(value: Value) -> Any:
    if isinstance(value, list):
        return [_mark(one) for one in value]
    return _NoText(value) if isinstance(value, bytes) else value


class RowWriter:
    """Turns rows of some columns into text, many at a time.

    names: what the columns are called, if not by their own names; there may be more names than
    columns, the values of the rest being text and numbers.
    """

    def __init__(
        self, columns: Sequence[ColumnDef], form: Format, names: Sequence[str] | None = None
    ) -> None:
        self._names = [c.name for c in columns] if names is None else list(names)
        self._text = [i for i, c in enumerate(columns) if c.coltyp in TEXT_TYPES]
        self._prefixes = _kernel.names_to_prefixes(self._names)
        self._form = form

    def head(self) -> bytes:
        """Return what the file starts with: the column names of CSV, nothing for JSON lines."""
        return (",".join(map(_quoted, self._names)) + "\n").encode() if self._form == "csv" else b""

    def encode(self, rows: list[list[Value]], separator: bytes = b"\n") -> bytes:
        """Return the text of rows as UTF-8, with `separator` between them. Changes `rows`."""
        for values in rows:
            self._mark_bytes(values)
        if self._form == "csv":
            lines: bytes = _kernel.encode_csv(rows, separator, _special_cell)
            return lines
        text: bytes = _kernel.encode_rows(self._prefixes, rows, separator, _special)
        return text

    def _mark_bytes(self, values: list[Any]) -> None:
        for i in self._text:
            if values[i].__class__ is not str and values[i] is not None:
                values[i] = _mark(values[i])


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _special_cell(value: Any) -> str:
    """Return the cell of what the kernel does not write itself."""
    text = _special(value)
    return _quoted(text) if isinstance(value, list | _NoText) else text
