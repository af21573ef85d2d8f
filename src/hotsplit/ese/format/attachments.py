"""What a log header and a checkpoint say about their instance: parameters and attached databases.

Source: log specification 0.3 (DBMS_PARAM) and 2.1 (attachment list).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import NamedTuple

from hotsplit.errors import Jet, LogDamaged
from hotsplit.ese.format.basics import NO_SIGNATURE, LogPosition, Signature
from hotsplit.ese.format.layout import U8, U32, Field, Layout, Raw

LIST_SIZE = 2048
"""Bytes of an attachment list, in the log header and in the checkpoint."""

UTF16_NAMES = 0x20
SPARSE = 0x40

_ENTRY = struct.Struct("<BBHQII8s8s28s")
assert _ENTRY.size == 64


class DbmsParameters(Layout):
    """Settings of the instance that wrote the file (``DBMS_PARAM``, 567 bytes): information only.

    log_sectors: size of a log file in sectors; cache_max: pages.
    """

    SIZE = 567
    system_path_raw = Raw(0, 261)
    log_path_raw = Raw(261, 261)
    flags = U8(522)
    sessions = U32(523)
    open_tables = U32(527)
    version_pages = U32(531)
    cursors = U32(535)
    log_buffers = U32(539)
    log_sectors = U32(543)
    cache_max = U32(547)

    @property
    def system_path(self) -> str:
        """Where the checkpoint lay, in the words of the machine that wrote it."""
        return ansi_text(self.system_path_raw)

    @property
    def log_path(self) -> str:
        """Where the logs lay."""
        return ansi_text(self.log_path_raw)

    @property
    def circular(self) -> bool:
        """Circular logging was on."""
        return bool(self.flags & 1)


def Parameters(offset: int) -> Field[DbmsParameters]:  # noqa: N802 - reads as a type
    """DBMS_PARAM, 567 bytes."""
    return Field(offset, DbmsParameters.SIZE, DbmsParameters, lambda value: bytes(value.raw))


class Attachment(NamedTuple):
    """One database attached when the generation began.

    names: the raw bytes behind the entry (path with its NUL, UTF-16LE if `flags` has 0x20).
    max_pages: the allowed size of the database in pages, 0 for no limit.
    consistent: zero when the database came from another log stream.
    """

    dbid: int = 0
    flags: int = 0
    dbtime: int = 0
    last_objid: int = 0
    max_pages: int = 0
    attach: LogPosition = LogPosition()
    consistent: LogPosition = LogPosition()
    signature: Signature = NO_SIGNATURE
    names: bytes = b""

    @property
    def path(self) -> str:
        """Where the database lay on the machine that wrote the log."""
        return utf16_text(self.names) if self.flags & UTF16_NAMES else ansi_text(self.names)

    @property
    def sparse(self) -> bool:
        """The file is a sparse one."""
        return bool(self.flags & SPARSE)


def parse_attachments(data: bytes) -> list[Attachment]:
    """Read a list of at most 2048 bytes; a dbid of 0 or the end of the list ends it.

    Raises LogDamaged when an entry does not fit.
    """
    found: list[Attachment] = []
    offset = 0
    while offset < len(data) and data[offset]:
        head = data[offset : offset + _ENTRY.size]
        if len(head) < _ENTRY.size:
            raise _bad_list(offset)
        dbid, flags, size, dbtime, objid, pages, attach, consistent, sign = _ENTRY.unpack(head)
        names = data[offset + _ENTRY.size : offset + _ENTRY.size + size]
        if len(names) < size:
            raise _bad_list(offset)
        positions = LogPosition.unpack(attach), LogPosition.unpack(consistent)
        found.append(
            Attachment(dbid, flags, dbtime, objid, pages, *positions, Signature.unpack(sign), names)
        )
        offset += _ENTRY.size + size
    return found


def pack_attachments(entries: Iterable[Attachment]) -> bytes:
    """Return the 2048 bytes of a list. Raises ValueError when the entries do not fit."""
    data = b"".join(
        _ENTRY.pack(
            *(e.dbid, e.flags, len(e.names), e.dbtime, e.last_objid, e.max_pages),
            *(e.attach.pack(), e.consistent.pack(), e.signature.pack()),
        )
        + e.names
        for e in entries
    )
    if len(data) > LIST_SIZE:
        raise ValueError(f"attachment list of {len(data)} bytes, {LIST_SIZE} fit")
    return data.ljust(LIST_SIZE, b"\0")


def fit_a_list(names: Iterable[bytes]) -> bool:
    """Tell whether entries with these names fit a list."""
    return sum(_ENTRY.size + len(name) for name in names) <= LIST_SIZE


def ansi_text(data: bytes) -> str:
    """Return the text before the first NUL of a name in the writer's code page."""
    return data.split(b"\0", 1)[0].decode("cp1252", "replace")


def utf16_text(data: bytes) -> str:
    """Return the text before the first NUL of a UTF-16LE name."""
    return data.decode("utf-16-le", "replace").split("\0", 1)[0]


def _bad_list(offset: int) -> LogDamaged:
    return LogDamaged(
        f"The attachment list is cut off at byte {offset} of the list", jet=Jet.errLogFileCorrupt
    )
