"""``eseutil /mp``: the header of a flush map, or one page of it.

Source: format specification 11.3; labels as the published dump has them.
"""

from __future__ import annotations

from collections.abc import Iterator

from hotsplit.errors import FileTruncated, PageDamaged
from hotsplit.ese.files.env import Env
from hotsplit.ese.files.flushmapfile import FlushMapFile
from hotsplit.ese.format.checksum import header_checksum, segment_checksum
from hotsplit.ese.format.flushmap import (
    CHECKSUM_FLAG,
    CLEAN,
    PAGE_SIZE,
    PER_PAGE,
    FlushMapHeader,
    FlushMapPage,
)

HEADER = -1
_WIDTH = 36
_STATES_A_LINE = 32


def flush_map_lines(env: Env, path: str, number: int, *, with_states: bool) -> Iterator[str]:
    """Yield the dump of page `number`, -1 for the header.

    with_states: the flush type of every database page, too. Raises FileTruncated for a page that
    is not there, PageDamaged behind the dump of a damaged one, and what `FlushMapFile.open` raises.
    """
    with FlushMapFile.open(env, path) as file:
        if number == HEADER:
            yield from _header(file.header)
            return
        if not HEADER < number < file.page_count:
            raise FileTruncated(f"There is no page {number}", file=path, position=f"page {number}")
        data = file.file.pread(PAGE_SIZE, (number + 1) * PAGE_SIZE)
    yield ""
    if not any(data):
        yield "Flush map data page is empty."
        return
    yield from _page(FlushMapPage(data), number, with_states=with_states)
    if FlushMapPage.unpack(data, number) is None:
        message = "The page of the flush map fails its checksum"
        raise PageDamaged(message, file=path, position=f"page {number}")


def _field(label: str, value: object) -> str:
    return f"{label:>{_WIDTH}}: {value}"


def _hex(number: int) -> str:
    """Return a number as the format "%#x" of C gives it: zero has no prefix."""
    return f"{number:#x}" if number else "0"


def _checksums(stored: int, computed: int) -> Iterator[str]:
    yield "Checksum Information:"
    yield _field("Persisted Checksum", f"0x{stored:016x}")
    yield _field("Calculated Checksum", f"0x{computed:016x}")
    yield ""
    yield "Fields:"


def _flag(flags: int, bit: int) -> str:
    return "Yes" if flags & bit else "No"


def _header(header: FlushMapHeader) -> Iterator[str]:
    yield ""
    yield from _checksums(header.checksum, header_checksum(header.raw))
    flags = header.flags
    words = f"Clean:{_flag(flags, CLEAN)}, NewChecksumFormat:{_flag(flags, CHECKSUM_FLAG)}"
    low, target = header.gen_min_required, header.gen_min_required_target
    yield _field("Version", f"{header.version}.{header.update_major}.{header.update_minor}")
    yield _field("Flags", f"0x{flags:08x} ({words})")
    yield _field("File Type", header.file_type)
    yield _field("Flush Map Creation", header.create_time)
    yield _field("Last Flush Map Attach", header.attach_time)
    yield _field("Last Flush Map Detach", header.detach_time)
    yield _field("Log Required Min.", f"{low} ({_hex(low)})")
    yield _field("Log Required Min. (Next)", f"{target} ({_hex(target)})")
    yield _field("Last Flush Map Full Flush Started", header.full_flush_started)
    yield _field("Last Flush Map Full Flush Completed", header.full_flush_completed)
    yield _field("DB Header Flush Signature", header.header_flush_signature)
    yield _field("Flush Map Header Flush Signature", header.flush_map_signature)


def _page(page: FlushMapPage, number: int, *, with_states: bool) -> Iterator[str]:
    yield from _checksums(page.checksum, segment_checksum(page.raw, number))
    dbtime, flags = page.dbtime_max, page.flags
    yield _field("DB Time Max.", f"{dbtime} (0x{dbtime:016x})")
    yield _field("Flush Map Page Number", f"{page.number} (0x{page.number & 0xFFFFFFFF:08x})")
    yield _field("Flags", f"0x{flags:08x} (NewChecksumFormat:{_flag(flags, CHECKSUM_FLAG)})")
    yield ""
    if with_states:
        yield f"Flush States ({PER_PAGE} database pages):"
        yield "PGNO      : FLUSH STATE"
        states = page.flush_types()
        for at in range(0, PER_PAGE, _STATES_A_LINE):
            line = " ".join(map(str, states[at : at + _STATES_A_LINE]))
            yield f"0x{number * PER_PAGE + at:08x}: {line} "
        yield ""
