"""The end of the current log: a write that was interrupted, segments that are to be put right.

A write that somebody waits for is durable before the next one begins. So what a crash may leave
torn is the last write, and the commits in it were never confirmed: they go. Anything else that is
wrong with a log was durable once and is damage, told and never cut off. The two are told apart by
what a disk does: it writes each 512 bytes or leaves them as they were. Damage knows no such bounds.

Source: log specification 3.4, 3.5.
"""

from __future__ import annotations

from hotsplit.ese.files.env import Env
from hotsplit.ese.files.logfile import LogFile
from hotsplit.ese.format.basics import LogPosition
from hotsplit.ese.format.checksum import segment_checksum
from hotsplit.ese.format.logsegment import SEGMENT_SIZE, Reason, scan_segments
from hotsplit.ese.format.writemark import is_unwritten, lacks_a_part, write_mark


def unfinished_write(data: bytes, generation: int, sectors: int) -> int:
    """Return the first sector of a last write that was interrupted, 0 if there is none.

    data: a whole log file. The write may have left any of its segments, but then nothing of a later
    write is there, and the first bad segment is torn. One wrong bit is none: readers correct it.
    """
    scan = scan_segments(data, generation, sectors)
    if scan.damage is None:
        return 0
    bad, judged = scan.last + 1, {scan.last + 1}
    if scan.damage.reason == Reason.CORRUPT_AFTER_EMPTY:
        judged.add(scan.damage.sector)
    if not all(_is_torn(data, generation, sector) for sector in judged):
        return 0
    behind = _writes_behind(data, generation, bad, sectors)
    return bad if len(behind) <= 1 and all(0 < first <= bad for first in behind) else 0


def _is_torn(data: bytes, generation: int, sector: int) -> bool:
    """Tell whether 512 bytes of a segment were not written, its first ones or others."""
    segment, shadow = _segment(data, sector), _shadow(data, generation, sector)
    if is_unwritten(segment, 0, shadow):
        return True
    mark = write_mark(segment, generation, sector)
    return mark is not None and lacks_a_part(segment, mark, shadow)


def _shadow(data: bytes, generation: int, sector: int) -> bytes:
    """Return what a segment held before: a copy of the one before it, where that is not ours."""
    before = _segment(data, sector - 1)
    ours = sector == 1 or write_mark(before, generation, sector - 1) is not None
    return b"" if ours else before


def _writes_behind(data: bytes, generation: int, bad: int, sectors: int) -> set[int]:
    """Return the first sectors of the writes that left sound segments behind a bad one.

    0 stands for segments of other engines.
    """
    found = set()
    for sector in range(bad + 1, sectors - 1):
        segment = _segment(data, sector)
        here = LogPosition(generation, sector, 0)
        sound = int.from_bytes(segment[:8], "little") == segment_checksum(segment, sector)
        if sound and LogPosition.unpack(segment, 8) == here:
            mark = write_mark(segment, generation, sector)
            found.add(mark.first if mark else 0)
    return found


def _segment(data: bytes, sector: int) -> bytes:
    return data[sector * SEGMENT_SIZE : (sector + 1) * SEGMENT_SIZE]


def put_right(env: Env, log: LogFile) -> None:
    """Write what readers correct: an open log of format v8 that is about to be continued.

    The first new segment takes the place of the shadow that may be the only sound copy.
    """
    sectors = [place.position.sector for place in log.corrected]
    if not sectors:
        return
    file = env.open(log.path, "write")
    try:
        for sector in sectors:
            _, segment = next(log.segments(sector))
            file.pwrite(segment, sector * SEGMENT_SIZE)
        file.sync()
    finally:
        file.close()
