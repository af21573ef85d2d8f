"""One log file: open and validate, find the end of its data, read its records.

Opening reads the header only. What lies behind is read and verified on the first call that needs
it; the file is then held in memory (256 MB at most) until `close`.
Source: log specification 2.4, 3.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from hotsplit.errors import FileTruncated, ForeignFile, Jet, LogDamaged, UnsupportedVersion
from hotsplit.ese.files.env import Env, File
from hotsplit.ese.files.opened import Closing, closed_on_error, located
from hotsplit.ese.format import legacylog, logsegment
from hotsplit.ese.format.basics import LogPosition, Signature
from hotsplit.ese.format.logheader import HEADER_SIZE, LogHeader
from hotsplit.ese.format.logsegment import SEGMENT_SIZE, Reason, RecordReader

_ZERO_FILLED = (8, 4000, 2)
"""From this version on, unused segments are zero; before, they hold the fill pattern of v7."""


@dataclass(frozen=True, slots=True)
class LogDamage:
    """Where the data of a log stops being trustworthy.

    reason: the engine's word (event 552), or ``TornWrite``/``Corrupt`` in v7.
    torn: nothing readable lies behind: the tail of an interrupted write, or ruined like one.
    valid_after: good segments behind the damage.
    """

    reason: str
    position: LogPosition
    jet: Jet
    torn: bool
    valid_after: int = 0


@dataclass(frozen=True, slots=True)
class Corrected:
    """A place put right in memory. bit: from the start of its sector; None: a shadow was used."""

    position: LogPosition
    bit: int | None


@dataclass(frozen=True, slots=True)
class LogScan:
    """What the data of a log is like.

    end: behind the last valid segment (v8) or record (v7). checksum: of all valid segments (2.3).
    """

    end: LogPosition
    damage: LogDamage | None
    corrected: tuple[Corrected, ...]
    checksum: int
    closed_normally: bool


class LogFile(Closing):
    """An open log file. Close it, or use it as a context manager."""

    def __init__(self, file: File, header: LogHeader) -> None:
        self.path = file.path
        self.header = header
        self.unfinished: LogPosition | None = None
        self._file = file
        self._data = b""
        self._scan: LogScan | None = None
        self._replaced: dict[int, bytes] = {}
        self._legacy: legacylog.LegacyScan | None = None

    @classmethod
    def open(
        cls,
        env: Env,
        path: str,
        *,
        signature: Signature | None = None,
        page_size: int | None = None,
    ) -> Self:
        """Open and validate in the engine's order (2.4).

        signature and page_size: what the stream must have, if known.
        Raises FileTruncated (-4001, empty file), LogDamaged (-501, -541), UnsupportedVersion,
        NotEseFile, ForeignFile (-530), and what the Env raises.
        """
        file = env.open(path, "read")
        with closed_on_error(file), located(path):
            header = read_header(file)
            _check_stream(header, signature, page_size)
            check_size(header, file.size())
        return cls(file, header)

    @property
    def generation(self) -> int:
        """Generation that the header names."""
        return self.header.generation

    @property
    def end(self) -> LogPosition:
        """End of the valid data."""
        return self.scan().end

    @property
    def damage(self) -> LogDamage | None:
        """What stops the data before its proper end."""
        return self.scan().damage

    @property
    def corrected(self) -> tuple[Corrected, ...]:
        """What was put right."""
        return self.scan().corrected

    @property
    def closed_normally(self) -> bool:
        """The last record says that the instance or a recovery ended."""
        return self.scan().closed_normally

    def scan(self) -> LogScan:
        """Verify all data, once. Raises FileTruncated, LogDamaged and what the Env raises."""
        if self._scan is None:
            self._load()
            with located(self.path):
                self._scan = self._scan_v8() if self.header.has_segments else self._scan_v7()
        return self._scan

    def check(self) -> None:
        """Raise LogDamaged if the data is damaged."""
        damage = self.damage
        if damage is not None:
            raise LogDamaged(
                f"The log is damaged ({damage.reason})",
                jet=damage.jet,
                file=self.path,
                position=str(damage.position),
            )

    def segments(self, first: int = 1) -> Iterator[tuple[int, bytes]]:
        """Yield (sector number, 4096 bytes) of the valid segments of a v8 log, corrected."""
        end = self.scan().end.sector
        for sector in range(max(first, 1), end):
            good = self._replaced.get(sector)
            yield sector, good or self._data[sector * SEGMENT_SIZE : (sector + 1) * SEGMENT_SIZE]

    def records(self, start: LogPosition | None = None) -> Iterator[tuple[LogPosition, bytes]]:
        """Yield (position, record) of the valid data, from `start` on; NOPs are left out.

        Whether the data ends properly is told by `damage` and `unfinished`, the position of a
        record whose rest is missing. Raises LogDamaged (-501) for records that make no sense.
        """
        self.scan()
        with located(self.path):
            if self._legacy is not None:
                found = legacylog.read_stream(self._legacy, self.header)
                yield from ((p, raw) for p, raw in found if start is None or p >= start)
                return
            reader = RecordReader(self.generation, len(self._data))
            first = 1 if start is None else start.sector
            for position, raw in reader.read(self.segments(first)):
                if start is None or position >= start:
                    yield position, raw
            self.unfinished = reader.unfinished

    def close(self) -> None:
        """Close the file and let its contents go."""
        self._data, self._scan, self._legacy, self._replaced = b"", None, None, {}
        self._file.close()

    def _load(self) -> None:
        size = self.header.file_size
        self._data = self._file.pread(size, 0)
        if len(self._data) < size:
            raise FileTruncated("The log shrank while it was read", file=self.path)

    def _scan_v8(self) -> LogScan:
        header = self.header
        blank = bytes(SEGMENT_SIZE)
        if header.version[:3] < _ZERO_FILLED:
            blank = legacylog.FILL * (SEGMENT_SIZE // len(legacylog.FILL))
        found = logsegment.scan_segments(self._data, header.generation, header.file_sectors, blank)
        self._replaced = found.replaced
        last = (
            found.replaced.get(found.last)
            or self._data[found.last * SEGMENT_SIZE : (found.last + 1) * SEGMENT_SIZE]
        )
        damage = found.damage
        return LogScan(
            end=self._position(found.last + 1),
            damage=None
            if damage is None
            else LogDamage(
                damage.reason,
                self._position(damage.sector),
                Jet.errLogFileCorrupt,
                torn=damage.reason == Reason.CORRUPT and not damage.valid_after,
                valid_after=damage.valid_after,
            ),
            corrected=tuple(Corrected(self._position(c.sector), c.bit) for c in found.corrections),
            checksum=found.checksum,
            closed_normally=bool(found.last) and damage is None and logsegment.closes(last),
        )

    def _scan_v7(self) -> LogScan:
        found = legacylog.scan_stream(self._data, self.header)
        self._legacy = found
        size = self.header.sector_size
        damage = found.damage
        return LogScan(
            end=self._position(*divmod(found.end, size)),
            damage=None
            if damage is None
            else LogDamage(
                "TornWrite" if damage.torn else "Corrupt",
                self._position(*divmod(damage.offset, size)),
                Jet.errLogFileCorrupt,
                damage.torn,
            ),
            corrected=tuple(Corrected(self._position(o // size), None) for o in found.patched),
            checksum=0,
            closed_normally=damage is None and legacylog.closed_normally(found, self.header),
        )

    def _position(self, sector: int, byte: int = 0) -> LogPosition:
        return LogPosition(self.generation, sector, byte)


def read_header(file: File) -> LogHeader:
    """Read and check the header of an open file. Raises as `LogFile.open`, without the path."""
    data = file.pread(HEADER_SIZE, 0)
    if len(data) < HEADER_SIZE:
        raise FileTruncated(f"The log has {len(data)} bytes, its header alone has {HEADER_SIZE}")
    return LogHeader.unpack(data)


def check_size(header: LogHeader, size: int) -> None:
    """Raise LogDamaged (-541) when a log file does not measure what its header says."""
    if size != header.file_size:
        raise LogDamaged(
            f"The log has {size} bytes, its header says {header.file_size}",
            jet=Jet.errLogFileSizeMismatch,
        )


def _check_stream(header: LogHeader, signature: Signature | None, page_size: int | None) -> None:
    if signature is not None and header.signature != signature:
        raise ForeignFile("The log belongs to another stream")
    if page_size is not None and header.page_size != page_size:
        raise UnsupportedVersion(
            f"The log is for pages of {header.page_size} bytes, not {page_size}",
            jet=Jet.errPageSizeMismatch,
        )
