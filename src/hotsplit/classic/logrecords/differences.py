"""The lines behind a ReplaceD record, one a change. Source: log specification 4.4, 10.7."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from hotsplit.classic.logrecords.parts import Detail, head_text, node_text, objid_text, shown_data
from hotsplit.errors import Jet, LogDamaged
from hotsplit.ese.format.logrecord import LARGE_DIFF, LogRecord


class _Difference(NamedTuple):
    offset: int
    wide: bool
    kind: str
    data: bytes


def _differences(record: LogRecord) -> Iterator[_Difference]:
    """Yield the entries of a diff stream. Raises LogDamaged (-1852). Source: log spec. 4.4."""
    stream: bytes = record.change
    large = bool(record.change_size & LARGE_DIFF)
    at = 0
    while at < len(stream):
        word = int.from_bytes(stream[at : at + 2], "little")
        offset, bits = (word, stream[at + 2 : at + 3]) if large else (word & 0x1FFF, b"")
        flags = bits[0] if bits else 0 if large else word >> 8 & 0xE0
        at += 3 if large else 2
        width = 2 if flags & 0x80 else 1
        size = int.from_bytes(stream[at : at + width], "little")
        at += width
        kind = f"InsertWithValue ({size})"
        if flags & 0x20:
            kind = f"ReplaceWithSameLength ({size})"
        elif not flags & 0x40:
            old = int.from_bytes(stream[at : at + width], "little")
            kind = f"ReplaceWithNewValue ({old}=>{size})"
            at += width
        if at + size > len(stream):
            raise LogDamaged("A difference passes the end", jet=Jet.errLogCorrupted)
        yield _Difference(offset, width > 1, kind, stream[at : at + size])
        at += size


def difference_lines(r: LogRecord, detail: Detail) -> Iterator[str]:
    """Yield a line for each change that a ReplaceD record makes. Raises LogDamaged (-1852)."""
    head = f"{' ' * 20}ReplDiff  {head_text(r)}{node_text(r)},{objid_text(r)},"
    for found in _differences(r):
        width = "2B" if found.wide else "1B"
        data = shown_data(found.data, detail)
        yield f"{head}[ Offs:{found.offset} {width} {found.kind}: {data}])"
