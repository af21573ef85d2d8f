"""Format v7 of the log (Exchange 2000 and 2003, Windows XP): one stream of records with checksums.

The records run on across the sectors. Each flush is described by a CHECKSUM record (LRCHECKSUM),
which names the range that it covers and where the next one is. Source: log specification 3.7, 3.8.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from hotsplit.errors import LogDamaged
from hotsplit.ese.format.basics import LogPosition
from hotsplit.ese.format.logheader import LogHeader
from hotsplit.ese.format.logrecord import record_size
from hotsplit.ese.format.recordtable import CLOSING, RecordType

CHECK_SIZE = 22
SHORT_ON, SHORT_OFF = 0x9A, 0xD1

_CHECK = struct.Struct("<BIIIIIB")
assert _CHECK.size == CHECK_SIZE
_LONG_SEED, _SHORT_SEED, _SHADOW = 0xFEEDBEAF, 0xDEADC0DE, 0x5AD05EC7
_FILL_UNIT = 512
FILL = b"".join(bytes(((0xDA + 0x10 * k) & 0xFF,)) + b"\xda" * 15 for k in range(32))
"""What unused sectors hold: 512 bytes, repeated."""


class Check(NamedTuple):
    """A CHECKSUM record. The range is `backwards` bytes before it and `forwards` bytes behind it.

    next: from the record's end to the next CHECKSUM record, 0 for the last one.
    """

    backwards: int
    forwards: int
    next: int
    long: int
    short: int
    use_short: int

    def pack(self) -> bytes:
        """Return the 22 bytes."""
        return _CHECK.pack(RecordType.CHECKSUM, *self)

    def _mix(self, seed: int, generation: int) -> int:
        return seed ^ self.backwards ^ self.forwards ^ self.next ^ self.use_short ^ generation

    def long_sum(self, data: bytes, at: int, generation: int) -> int:
        """Return the checksum over the whole range of the record at offset `at`."""
        start = at + CHECK_SIZE
        parts = data[at - self.backwards : at], data[start : start + self.forwards]
        return _xor(parts[0]) ^ _xor(parts[1]) ^ self._mix(_LONG_SEED, generation)

    def short_sum(self, data: bytes, at: int, generation: int, sector_size: int) -> int:
        """Return the checksum up to the end of the record's own sector."""
        start = at + CHECK_SIZE
        stop = at - at % sector_size + sector_size
        parts = data[at - self.backwards : at], data[start:stop]
        return _xor(parts[0]) ^ _xor(parts[1]) ^ self._mix(_SHORT_SEED, generation)


class LegacyDamage(NamedTuple):
    """Where the stream cannot be trusted any further. torn: only unused space lies behind."""

    offset: int
    torn: bool


@dataclass
class LegacyScan:
    """What following the chain of CHECKSUM records found. Offsets are in the file.

    data: the file, patched from shadow sectors where `patched` names offsets.
    checks: the offsets of the CHECKSUM records; end: of the first byte behind the data.
    """

    data: bytes
    end: int
    checks: list[int] = field(default_factory=list)
    patched: list[int] = field(default_factory=list)
    damage: LegacyDamage | None = None


def scan_stream(data: bytes, header: LogHeader) -> LegacyScan:
    """Follow the checksum chain of a whole v7 log file to the end of its data."""
    size, generation = header.sector_size, header.generation
    at = header.header_sectors * size
    scan = LegacyScan(data, at)
    while True:
        check = _sound(scan.data, at, generation, size)
        if check is None:
            check = _from_shadow(scan, at, generation, size)
        if check is None:
            _judge(scan, at, generation, size)
            return scan
        scan.checks.append(at)
        scan.end = at + CHECK_SIZE + check.forwards
        if not check.next:
            break
        at += CHECK_SIZE + check.next
    tail = _next_sector(scan.end, size)
    if not _is_fill(scan.data, tail) and not (
        _is_shadow(scan.data, at, generation, size) and _is_fill(scan.data, tail + size)
    ):
        scan.damage = LegacyDamage(tail, torn=False)
    return scan


def read_stream(scan: LegacyScan, header: LogHeader) -> Iterator[tuple[LogPosition, bytes]]:
    """Yield (position, record) up to the end of the data; NOPs are left out.

    A record cut short by a patched crash is skipped: its CHECKSUM record begins anew. One that is
    cut short by a torn end of the data is left out. Raises LogDamaged (-501).
    """
    size = header.sector_size
    restarts = [at for at in scan.checks if at % size and not _check_at(scan.data, at).backwards]
    at = header.header_sectors * size
    while at < scan.end:
        position = LogPosition(header.generation, at // size, at % size)
        while restarts and restarts[0] <= at:
            restarts.pop(0)
        if scan.data[at] == RecordType.NOP:
            at += 1
            continue
        try:
            step = record_size(scan.data, at, scan.end)
        except LogDamaged as error:
            if not restarts and scan.damage is not None and scan.damage.torn:
                return  # the rest of this record was never written
            if not restarts:
                raise error.at(position=str(position)) from None
            at = restarts[0]
            continue
        if restarts and at + step > restarts[0]:
            at = restarts[0]
            continue
        yield position, scan.data[at : at + step]
        at += step


def closed_normally(scan: LegacyScan, header: LogHeader) -> bool:
    """Tell whether the last record says so; CHECKSUM records do not count. Raises LogDamaged."""
    last = RecordType.NOP
    for _, record in read_stream(scan, header):
        if record[0] != RecordType.CHECKSUM:
            last = RecordType(record[0])
    return last in CLOSING


def _check_at(data: bytes, at: int) -> Check:
    return Check._make(_CHECK.unpack_from(data, at)[1:])


def _well_formed(data: bytes, at: int, size: int) -> Check | None:
    """Read a CHECKSUM record whose numbers make sense in this file; its sums are not looked at."""
    if at % size + CHECK_SIZE > size or at + CHECK_SIZE > len(data):
        return None
    if data[at] != RecordType.CHECKSUM:
        return None
    check = _check_at(data, at)
    reach = at % size + CHECK_SIZE + check.forwards
    wide = reach > size
    good = (
        check.backwards in (0, at % size)
        and at + CHECK_SIZE + check.forwards <= len(data)
        and check.use_short == (SHORT_ON if wide else SHORT_OFF)
        and not (wide and reach % size)
    )
    if good and check.next:
        following = at + CHECK_SIZE + check.next
        good = reach % size == 0 and following // size == (at - at % size + reach) // size
    return check if good else None


def _sound(data: bytes, at: int, generation: int, size: int) -> Check | None:
    check = _well_formed(data, at, size)
    return check if check and check.long_sum(data, at, generation) == check.long else None


def _is_shadow(data: bytes, at: int, generation: int, size: int) -> bool:
    """Tell whether the sector behind that of `at` holds a shadow copy of it."""
    copy = _well_formed(data, at + size, size)
    if copy is None or copy.next or copy.use_short != SHORT_OFF:
        return False
    return copy.long_sum(data, at + size, generation) ^ _SHADOW == copy.long


def _from_shadow(scan: LegacyScan, at: int, generation: int, size: int) -> Check | None:
    """Put the sector of `at` right from its shadow copy, if there is one."""
    if not _is_shadow(scan.data, at, generation, size):
        return None
    start = at - at % size
    copy = _check_at(scan.data, at + size)
    good = copy._replace(long=copy.long ^ _SHADOW)
    sector = bytearray(scan.data[start + size : start + 2 * size])
    sector[at - start : at - start + CHECK_SIZE] = good.pack()
    scan.data = scan.data[:start] + bytes(sector) + scan.data[start + size :]
    scan.patched.append(start)
    return good


def _judge(scan: LegacyScan, at: int, generation: int, size: int) -> None:
    """Decide between a torn write and corruption; keep the first sector of a torn long range."""
    check = _well_formed(scan.data, at, size)
    start = at - at % size
    if (
        check is not None
        and check.use_short == SHORT_ON
        and check.short_sum(scan.data, at, generation, size) == check.short
    ):
        scan.checks.append(at)
        scan.end = start + size
        stop = min(_next_sector(at + CHECK_SIZE + check.forwards, size), len(scan.data))
        inside = any(_is_fill(scan.data[s : s + size]) for s in range(start + size, stop, size))
        scan.damage = LegacyDamage(start + size, inside and _is_fill(scan.data, stop))
        return
    scan.damage = LegacyDamage(at, _is_fill(scan.data, start + size))


def _next_sector(offset: int, size: int) -> int:
    return -(-offset // size) * size


def _is_fill(data: bytes, start: int = 0) -> bool:
    """Tell whether everything from `start`, a multiple of 512, is unused space."""
    rest = len(data) - start
    return rest <= 0 or data[start:] == FILL * (rest // _FILL_UNIT)


def _xor(data: bytes) -> int:
    """XOR of the little-endian dwords of `data`, padded with zeros."""
    value = int.from_bytes(data, "little")
    width = max(1, (len(data) + 3) // 4)
    while width > 1:
        half = (width + 1) // 2
        value = value >> 32 * half ^ value & ((1 << 32 * half) - 1)
        width = half
    return value
