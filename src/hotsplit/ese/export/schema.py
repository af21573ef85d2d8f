"""What an export says of its columns: type in the file, ESE name and type, meaning, zone, unit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from hotsplit.ese.export.fields import Field
from hotsplit.ese.export.view import View


class Written(NamedTuple):
    """What came of a table: number of rows, type of each column in the file.

    files: the names of the files if there are several, each with some of the columns.
    """

    rows: int
    types: list[str]
    files: Sequence[str] = ()


def label_types(view: View) -> list[str]:
    """Return the types of the labels that rows carry, for text and SQLite."""
    return ["text", "integer", "integer", "text", "text"] if view.include else []


def meaning_entries(field: Field) -> dict[str, Any]:
    """Return what is known of the values of a column.

    decoded: name of the decoder. zone: of times; those of OLE dates are as the application stored
    them, and have none. unit, note: what the profile says. encrypted: true of secrets.
    """
    meaning = field.meaning
    known = {
        "decoded": meaning.name if meaning else None,
        "zone": "UTC" if getattr(meaning, "is_time", False) else None,
        "unit": field.unit or ("1/10000" if field.column.type_name == "Currency" else None),
        "note": field.note or None,
        "encrypted": True if meaning and meaning.name == "secret" else None,
    }
    return {key: value for key, value in known.items() if value is not None}


def column_entries(view: View, types: list[str]) -> list[dict[str, Any]]:
    """Return an entry for each column of the result, those beside the table's own too."""
    fields: list[Field | None] = [*view.fields, *[None] * (len(types) - len(view.fields))]
    entries: list[dict[str, Any]] = []
    names = view.names + [view.free_number] * (len(types) - len(view.names))
    for name, kind, field in zip(names, types, fields, strict=True):
        entry: dict[str, Any] = {"name": name, "type": kind}
        if field is not None:
            entry |= {"column": field.column.name, "ese_type": field.column.type_name}
            entry |= meaning_entries(field)
        entries.append(entry)
    return entries
