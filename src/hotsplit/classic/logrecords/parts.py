"""What the lines of many record types share. Source: log specification 10.2, 10.7."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum

from hotsplit.ese.format.basics import LogPosition, LogTime, Signature
from hotsplit.ese.format.beforeimage import COMPRESSED, DEHYDRATED
from hotsplit.ese.format.logrecord import LINE_MASK, LogRecord
from hotsplit.ese.format.recordtable import RecordType as T


class Detail(IntEnum):
    """How much of the records is shown: nothing, all but users' data, all (``/v1``, ``/v2``)."""

    NONE = 0
    STRUCTURE = 1
    DATA = 2


Writer = Callable[[LogRecord, Detail], str]
"""Makes the text of a record behind its tag. Raises LogDamaged for content without sense."""

_SHOWN = 16  # bytes of data
_FLAGS = (
    ("U", 0x04, "U", "NU"),
    ("V", 0x01, "V", "NV"),
    ("D", 0x02, "D", "ND"),
    ("P", 0x08, "SP", "NSP"),
    ("S", 0x20, "SYS", "USR"),
    ("C", 0x10, "CI", "NCI"),
)


def shown_data(data: bytes, detail: Detail) -> str:
    """Return the first bytes of a user's data, or a word in their place."""
    if detail < Detail.DATA:
        return "<Data>"
    return "".join(f"{byte:02X} " for byte in data[:_SHOWN])


def flags_text(record: LogRecord, wanted: str) -> str:
    """Return the page flags that a record type shows, by their letters."""
    return ":".join(
        on if record.flags & bit else off for key, bit, on, off in _FLAGS if key in wanted
    )


def head_text(record: LogRecord) -> str:
    """Return dbtimes and session of a page record."""
    return f"{record.dbtime:x},{record.dbtime_before:x},{session_text(record)}"


def session_text(record: LogRecord) -> str:
    """Return transaction, level and session."""
    return f"{record.trx:x}:{record.level}({record.procid:x},"


def page_text(record: LogRecord, pgno: int) -> str:
    """Return a page of the record's database."""
    return f"[{record.dbid}:{pgno}]"


def node_text(record: LogRecord) -> str:
    """Return the node that a record is about."""
    return f"[{record.dbid}:{record.pgno}:{record.iline & LINE_MASK}]"


def objid_text(record: LogRecord) -> str:
    """Return the tree that a record belongs to."""
    return f"objid:[{record.dbid}:{record.objid}]"


def moment_text(time: LogTime) -> str:
    """Return a time as records show it: without leading zeros in the day and hour."""
    day = f"{time.month}/{time.day}/{time.year1900 + 1900}"
    return f"({day} {time.hours}:{time.minutes:02}:{time.seconds:02}.{time.milliseconds:03})"


def place_text(position: LogPosition) -> str:
    """Return a position as records show it."""
    return f"({position.generation:X},{position.sector:X},{position.byte:X})"


def signature_text(signature: Signature) -> str:
    """Return a signature as records show it."""
    return str(signature) if signature.computer else f"{signature}<None>"


def image_text(record: LogRecord) -> str:
    """Return the length of the image of the page before; the first kind carries none."""
    if record.type not in (T.SPLIT2, T.MERGE2):
        return "beforeImage:0[]"
    flags = record.image_flags
    marks = ("D" if flags & DEHYDRATED else "") + ("X" if flags & COMPRESSED else "")
    return f"beforeImage:{record.image_size}[{marks}]"


def word_text(words: tuple[str, ...], number: int) -> str:
    """Return the word for a number."""
    return words[number] if number < len(words) else f"*Unknown* ({number})"
