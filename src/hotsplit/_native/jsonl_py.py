"""Rows as JSON or CSV, many in one call: the readable reference of the ``jsonl`` kernel.

Source: RFC 8259; RFC 4180. Text is UTF-8; only what JSON demands is escaped.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from typing import Any

_text = json.JSONEncoder(ensure_ascii=False).encode


def names_to_prefixes(names: Sequence[str]) -> list[bytes]:
    """Return for each member of an object what stands in front of its value."""
    return [
        (("{" if i == 0 else ", ") + _text(name) + ": ").encode() for i, name in enumerate(names)
    ]


def encode_rows(
    prefixes: Sequence[bytes],
    rows: Sequence[Sequence[Any]],
    separator: bytes,
    special: Callable[[Any], str],
) -> bytes:
    """Return one JSON object a row, with `separator` between them.

    prefixes: from `names_to_prefixes`; each row has as many values. None, bool, int, finite float
    and str are written here; `special` gives the JSON text of everything else.
    """
    objects = []
    for row in rows:
        members = zip(prefixes, row, strict=True)
        parts = [prefix + _value(value, special).encode() for prefix, value in members]
        objects.append(b"".join(parts) + b"}" if parts else b"{}")
    return separator.join(objects)


def _value(value: Any, special: Callable[[Any], str]) -> str:
    if value is None:
        return "null"
    kind = type(value)
    if kind is str or kind is bool or kind is int or (kind is float and math.isfinite(value)):
        return _text(value)
    return special(value)


def encode_csv(
    rows: Sequence[Sequence[Any]], separator: bytes, special: Callable[[Any], str]
) -> bytes:
    """Return one line of CSV a row, with `separator` between them.

    None is empty, text is in quotes, numbers are as in JSON; `special` gives the cell of everything
    else.
    """
    return separator.join(",".join(_cell(value, special) for value in row).encode() for row in rows)


def _cell(value: Any, special: Callable[[Any], str]) -> str:
    if value is None:
        return ""
    if type(value) is str:
        return '"' + value.replace('"', '""') + '"'
    return _value(value, special)
