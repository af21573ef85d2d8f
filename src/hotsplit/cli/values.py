"""Values of ESE headers in the form that JSON can carry. The form is stable."""

from __future__ import annotations

from typing import Any

from hotsplit.ese.format.attachments import Attachment, DbmsParameters
from hotsplit.ese.format.basics import BackupInfo, LogPosition, LogTime, Signature
from hotsplit.ese.format.layout import Layout


def plain(value: Any) -> Any:
    """Return numbers and texts as they are, times as ISO 8601, positions as ``(0x5,8,0)``.

    A time or signature that is not set is None; bytes are hexadecimal; structures are dicts.
    """
    if isinstance(value, LogPosition):
        return str(value)
    if isinstance(value, LogTime):
        when = value.to_datetime() if value.is_set else None
        return None if when is None else when.isoformat()
    if isinstance(value, Signature):
        return _signature(value)
    if isinstance(value, BackupInfo | Attachment):
        fields = {name: plain(field) for name, field in value._asdict().items()}
        if isinstance(value, Attachment):
            fields["path"] = value.path
            del fields["names"]
        return fields
    if isinstance(value, DbmsParameters):
        paths = {"system_path": value.system_path, "log_path": value.log_path}
        return paths | header_fields(value)
    return value.hex() if isinstance(value, bytes | bytearray) else value


def header_fields(header: Layout) -> dict[str, Any]:
    """Return all fields of a structure by name, without those that are shown decoded elsewhere."""
    return {
        name: plain(value)
        for name, value in header.as_dict().items()
        if not name.endswith("_raw") or not isinstance(value, bytes)
    }


def _signature(value: Signature) -> dict[str, Any] | None:
    if not value.is_set:
        return None
    return {
        "random": value.random,
        "created": plain(value.created),
        "computer": value.computer.decode("latin-1"),
    }
