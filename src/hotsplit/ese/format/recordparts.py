"""The inner structures of some records: page lists, paths, contents of the skippable family.

Each function takes a record of the type that it names. Source: log specification 4.2.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

from hotsplit.errors import Jet, LogDamaged
from hotsplit.ese.format.attachments import ansi_text, utf16_text
from hotsplit.ese.format.basics import LogPosition, Signature
from hotsplit.ese.format.logrecord import WITH_VERSION, LogRecord
from hotsplit.ese.format.recordtable import RecordType

_UTF16 = {
    RecordType.CREATE_DB: 0x08,
    RecordType.ATTACH_DB: 0x08,
    RecordType.DETACH_DB: 0x10,
}


class EmptiedPage(NamedTuple):
    """One page of an EMPTY_TREE record."""

    dbtime_before: int
    pgno: int
    flags: int


class ReAttached(NamedTuple):
    """A database that stayed attached over a recovery (REATTACH)."""

    dbid: int
    attach: LogPosition
    consistent: LogPosition
    signature: Signature


class FreedTree(NamedTuple):
    """A tree whose space was given back (FREE_FDP). kind: 1 table, 2 index."""

    dbid: int
    fdp: int
    trx: int
    kind: int


class ScanChecked(NamedTuple):
    """What the online scan of the writer saw on a page (SCAN_CHECK)."""

    dbid: int
    pgno: int
    dbtime_before: int
    dbtime: int
    checksum: int


def insert_key(record: LogRecord) -> bytes:
    """INSERT: the full key of the new node."""
    key: bytes = record.prefix + record.suffix
    return key


def database_path(record: LogRecord) -> str:
    """CREATE_DB, ATTACH_DB, DETACH_DB: where the database lay on the writer's machine."""
    wide = record.flags & _UTF16[record.type]
    return utf16_text(record.path) if wide else ansi_text(record.path)


def create_version(record: LogRecord) -> tuple[int, int] | None:
    """CREATE_DB: (version, update-major) of the creation, (2, 0) if every page of it is logged."""
    return _read(record, "<HH", record.version) if record.flags & WITH_VERSION else None


def macro_pages(record: LogRecord) -> list[tuple[int, int]]:
    """MACRO_INFO, MACRO_INFO2: (dbid, pgno) of all pages that the macro touched."""
    content: bytes = record.content
    if record.type == RecordType.MACRO_INFO:
        dbid, pages = 1, content
    else:
        dbid, count = _read(record, "<BI", content)
        pages = content[5 : 5 + 4 * count]
        if len(pages) != 4 * count:
            raise _short(record)
    return [(dbid, pgno) for (pgno,) in struct.iter_unpack("<I", pages[: len(pages) & ~3])]


def emptied_pages(record: LogRecord) -> list[EmptiedPage]:
    """EMPTY_TREE: the pages that it empties."""
    if len(record.pages) % 16:
        raise _short(record)
    return [EmptiedPage._make(entry) for entry in struct.iter_unpack("<QII", record.pages)]


def extended_to(record: LogRecord) -> tuple[int, int]:
    """EXTEND_DB: (dbid, new last page)."""
    dbid, pgno = _read(record, "<BI", record.content)
    return dbid, pgno


def reattached(record: LogRecord) -> ReAttached:
    """REATTACH: which database, from where."""
    dbid, attach, consistent, sign = _read(record, "<B8s8s28s", record.content)
    positions = LogPosition.unpack(attach), LogPosition.unpack(consistent)
    return ReAttached(dbid, *positions, Signature.unpack(sign))


def freed_tree(record: LogRecord) -> FreedTree:
    """FREE_FDP: which tree was freed."""
    return FreedTree._make(_read(record, "<BIIB", record.content))


def scan_checked(record: LogRecord) -> ScanChecked:
    """SCAN_CHECK: page, its dbtime, its checksum."""
    return ScanChecked._make(_read(record, "<BI16xQQH", record.content))


def commit_procid(record: LogRecord) -> int:
    """COMMIT_CTX: the session whose commit it accompanies."""
    (procid,) = _read(record, "<H", record.content)
    assert isinstance(procid, int)
    return procid


def _read(record: LogRecord, form: str, data: bytes) -> tuple[Any, ...]:
    """Unpack the beginning of `data`; later versions may have added bytes behind it."""
    if len(data) < struct.calcsize(form):
        raise _short(record)
    return struct.unpack_from(form, data)


def _short(record: LogRecord) -> LogDamaged:
    return LogDamaged(f"{record.tag} is too short for its content", jet=Jet.errLogCorrupted)
