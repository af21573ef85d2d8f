"""What several tests of logs need: the real streams, and a writer for the old log format."""

from __future__ import annotations

from pathlib import Path

from hotsplit.ese.format.basics import LogPosition, LogTime
from hotsplit.ese.format.legacylog import CHECK_SIZE, FILL, SHORT_OFF, SHORT_ON, Check
from hotsplit.ese.format.logheader import LogHeader
from tests.conftest import SHARED, set_names, unpack_vector

LOG_SETS = ("crash-p4096-mid", "crash-p32768-w10", "crash-p8192-w10rtm", "hotsplit-p16384-circ")


def folders_with_logs() -> list[Path]:
    """Every corpus folder that holds logs, and those of a few vector sets."""
    found = {p.parent for p in SHARED.glob("corpus/**/*.log")}
    for name in LOG_SETS:
        if name in set_names("crash", "hotsplit"):
            found |= {p.parent for p in unpack_vector(name).rglob("*.log")}
    return sorted(found)


def header(generation: int = 1, *, sectors: int = 64, legacy: bool = False) -> LogHeader:
    """A header of format 8.4000.5.16, or 7.3704.5 with sectors of 512 bytes."""
    made = LogHeader.empty()
    made.generation = generation
    made.sector_size, made.header_sectors = (512, 8) if legacy else (4096, 1)
    made.file_sectors = sectors
    made.created = LogTime(1, 2, 3, 4, 5, 106)
    made.major, made.minor, made.update_major = (7, 3704, 5) if legacy else (8, 4000, 5)
    made.update_minor = 0 if legacy else 16
    made.file_type = 3
    return made


class LegacyWriter:
    """Writes a v7 log: each flush starts with a CHECKSUM record that covers what follows."""

    def __init__(self, generation: int = 1, sectors: int = 64) -> None:
        self.header = header(generation, sectors=sectors, legacy=True)
        self.size = self.header.sector_size
        self.data = bytearray(FILL * sectors)
        self.data[:4096] = self.header.sealed()
        self.at = 4096
        self.written: list[tuple[LogPosition, bytes]] = []

    def flush(self, records: list[bytes], *, last: bool = False, back: bool = True) -> int:
        """Write one flush; all but the last fill their sector with NOPs. Return its offset."""
        at, size = self.at, self.size
        assert at % size + CHECK_SIZE <= size
        body = b"".join(records)
        reach = at % size + CHECK_SIZE + len(body)
        if not last or reach > size:
            body += bytes(-reach % size)
            reach += -reach % size
        self._note(at, records)
        check = Check(
            at % size if back else 0,
            len(body),
            0,
            0,
            0,
            SHORT_ON if reach > size else SHORT_OFF,
        )
        self.data[at : at + CHECK_SIZE + len(body)] = check.pack() + body
        self.at = at + CHECK_SIZE + len(body)
        self.seal(at, check)
        return at

    def seal(self, at: int, check: Check) -> None:
        """Give a CHECKSUM record its sums."""
        data = bytes(self.data)
        generation = self.header.generation
        short = 0
        if check.use_short == SHORT_ON:
            short = check.short_sum(data, at, generation, self.size)
        check = check._replace(long=check.long_sum(data, at, generation), short=short)
        self.data[at : at + CHECK_SIZE] = check.pack()

    def chain(self, flushes: list[list[bytes]]) -> list[int]:
        """Write flushes one behind the other, each naming the next; return their offsets."""
        offsets = [self.flush(f, last=f is flushes[-1]) for f in flushes]
        for at in offsets[:-1]:
            check = self.check(at)
            self.seal(at, check._replace(next=self.next_of(at, offsets)))
        return offsets

    def next_of(self, at: int, offsets: list[int]) -> int:
        """Distance from the end of a CHECKSUM record to the next one."""
        return offsets[offsets.index(at) + 1] - at - CHECK_SIZE

    def check(self, at: int) -> Check:
        """Read back a CHECKSUM record."""
        import struct

        return Check._make(struct.unpack_from("<IIIIIB", self.data, at + 1))

    def _note(self, at: int, records: list[bytes]) -> None:
        offset = at + CHECK_SIZE
        for record in records:
            place = LogPosition(self.header.generation, offset // self.size, offset % self.size)
            self.written.append((place, record))
            offset += len(record)
