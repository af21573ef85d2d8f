"""Changes of log files of format v7: header and records; checksums made good again."""

from __future__ import annotations

import struct

from fuzz.chance import Chance
from fuzz.database import spoil_field
from hotsplit.ese.format.legacylog import CHECK_SIZE, SHORT_ON, Check
from hotsplit.ese.format.logheader import HEADER_SIZE, LogHeader
from hotsplit.ese.format.recordtable import RecordType

_CHECK = struct.Struct("<IIIIIB")


def spoil_old_log(chance: Chance, data: bytearray) -> None:
    """Change the header, a CHECKSUM record or other records, and seal what was changed."""
    header = LogHeader(data[:HEADER_SIZE])
    if chance.once_in(4):
        spoil_field(chance, header)
        data[:HEADER_SIZE] = header.sealed()
        return
    checks = _checks(data)
    if not checks:
        return
    at = chance.choice(checks)
    check = Check._make(_CHECK.unpack_from(data, at + 1))
    if chance.once_in(3):
        name = chance.choice(("backwards", "forwards", "next", "use_short"))
        size = 1 if name == "use_short" else 4
        check = check._replace(**{name: chance.number(size, getattr(check, name))})
    else:
        end = min(at + CHECK_SIZE + check.forwards, len(data))
        for _ in range(chance.randrange(1, 4)):
            chance.spoil(data, at + CHECK_SIZE, end)
    _seal(data, at, check, header)


def _checks(data: bytearray) -> list[int]:
    """Return the offsets of all CHECKSUM records that the chain of them leads to."""
    found, at = [], HEADER_SIZE
    while at + CHECK_SIZE <= len(data) and data[at] == RecordType.CHECKSUM and at not in found:
        found.append(at)
        at += CHECK_SIZE + int(_CHECK.unpack_from(data, at + 1)[2])
    return found


def _seal(data: bytearray, at: int, check: Check, header: LogHeader) -> None:
    whole = bytes(data)
    backwards = min(check.backwards, at)
    bounded = check._replace(backwards=backwards) if backwards != check.backwards else check
    short = 0
    if check.use_short == SHORT_ON:
        short = bounded.short_sum(whole, at, header.generation, header.sector_size or 512)
    sealed = bounded._replace(long=bounded.long_sum(whole, at, header.generation), short=short)
    data[at : at + CHECK_SIZE] = sealed.pack()
