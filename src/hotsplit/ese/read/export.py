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
from collections.abc import Callable, Sequence
from typing import Any, Literal

from hotsplit.ese.format.columns import TEXT_TYPES, ColumnDef, DateTime, Value

Format = Literal["jsonl", "csv"]
FORMATS: tuple[Format, ...] = ("jsonl", "csv")


def _special(value: Any) -> Any:
    """What the JSON encoder does not know by itself."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, DateTime):
        return value.exact()
    if isinstance(value, uuid.UUID):
        return str(value)
    raise TypeError(type(value).__name__)


_encode = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, default=_special, check_circular=False
).encode


def _without_nan(value: Value) -> Any:
    if isinstance(value, list):
        return [_without_nan(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def _mark_bytes(value: Value) -> Any:
    """Undecodable text is kept apart from text that looks like hex digits."""
    if isinstance(value, list):
        return [_mark_bytes(one) for one in value]
    return {"hex": value.hex()} if isinstance(value, bytes) else value


def _json(value: Any) -> str:
    try:
        return _encode(value)
    except ValueError:  # a float that is not a number
        if isinstance(value, dict):
            return _encode({name: _without_nan(one) for name, one in value.items()})
        return _encode(_without_nan(value))


class RowWriter:
    """Turns rows of some columns into lines of text, without line ends."""

    def __init__(self, columns: Sequence[ColumnDef], form: Format) -> None:
        self._names = [c.name for c in columns]
        self._text = [i for i, c in enumerate(columns) if c.coltyp in TEXT_TYPES]
        self.line: Callable[[list[Value]], str] = self._jsonl if form == "jsonl" else self._csv

    def head(self) -> str:
        """Return the line of column names that a CSV file starts with."""
        return ",".join(map(_quoted, self._names))

    def _ready(self, values: list[Any]) -> list[Any]:
        for i in self._text:
            if values[i].__class__ is not str and values[i] is not None:
                values[i] = _mark_bytes(values[i])
        return values

    def _jsonl(self, values: list[Value]) -> str:
        return _json(dict(zip(self._names, self._ready(values), strict=True)))

    def _csv(self, values: list[Value]) -> str:
        return ",".join(map(_cell, self._ready(values)))


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return _quoted(value)
    text = _json(value)
    return _quoted(text) if isinstance(value, list | dict) else text
