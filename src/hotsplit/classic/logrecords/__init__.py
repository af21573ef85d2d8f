"""The lines of log records in a verbose log dump. Source: log specification 10.2, 10.7."""

from __future__ import annotations

from hotsplit.classic.logrecords import databases, nodes, sessions, trees
from hotsplit.classic.logrecords.differences import difference_lines
from hotsplit.classic.logrecords.parts import Detail
from hotsplit.ese.format.logrecord import LogRecord
from hotsplit.ese.format.recordtable import RecordType as T

__all__ = ["Detail", "record_text"]

_WRITERS = nodes.WRITERS | trees.WRITERS | sessions.WRITERS | databases.WRITERS


def record_text(record: LogRecord, detail: Detail) -> str:
    """Return what stands behind the position of a record; several lines for some types.

    Raises LogDamaged when the content of the record makes no sense.
    """
    writer = _WRITERS.get(record.type)
    text = _ignored(record) if writer is None else writer(record, detail)
    lines = [f"{record.tag:<9} {text}" if text else record.tag]
    if record.type == T.REPLACE_DIFF:
        lines += difference_lines(record, detail)
    return "\n".join(lines)


def _ignored(record: LogRecord) -> str:
    """Name type and size of a record that has no text of its own."""
    return f"(lrtyp = {int(record.type)}, {len(record.body)} bytes)"
