"""Dumps of single pages: ``eseutil /m /pN``, ``esefile /x`` and ``/d``."""

from __future__ import annotations

from collections.abc import Iterator

from hotsplit.errors import FileTruncated, PageDamaged
from hotsplit.ese.files.database import DatabaseFile
from hotsplit.ese.files.env import Env
from hotsplit.ese.format.checksum import State, header_checksum, page_state
from hotsplit.ese.format.page import NodeFlag, Page, PageFlag
from hotsplit.ese.format.space import Extent, SpaceHeader

_WIDTH, _QUARTET = 16, 4
_PRINTABLE = range(32, 127)
_POOLS = {0: "general", 1: "continuous", 2: "shelved"}
_MARKS = ((NodeFlag.VERSION, "v"), (NodeFlag.DELETED, "d"), (NodeFlag.COMPRESSED, "c"))
_KINDS = tuple(flag for flag in PageFlag if flag != PageFlag.FLUSH_TYPE)


def page_lines(env: Env, path: str, pgno: int, *, with_bytes: bool) -> Iterator[str]:
    """Yield the dump of a page; pages -1 and 0 are the copies of the header.

    Raises FileTruncated for a page that is not in the file, PageDamaged behind the dump of one
    that fails its checksum, and what `DatabaseFile.open` raises.
    """
    with DatabaseFile.open(env, path) as file:
        data = file.read_raw(pgno) if -1 <= pgno <= file.page_count else b""
        if len(data) < file.page_size:
            raise FileTruncated(f"There is no page {pgno}", file=path)
    if pgno < 1:
        good, lines = _header_page(data)
    else:
        good, lines = _numbered_page(data, pgno)
    yield from lines
    if with_bytes:
        yield ""
        yield f"Raw dump (cbPage = {len(data)}) in big-endian quartets of bytes:"
        yield from hex_lines(data)
    if not good:
        message = "The page fails its checksum"
        raise PageDamaged(message, file=path, position=f"page {pgno}")


def node_lines(env: Env, path: str, pgno: int, number: int, *, is_tag: bool) -> Iterator[str]:
    """Yield the dump of one line of a page and its bytes.

    number: of the node; of the tag, those that are no nodes counted, if `is_tag`. Raises
    FileTruncated if there is no such page or line, and what reading a page raises.
    """
    with DatabaseFile.open(env, path) as file:
        page = Page(file.read_page(pgno), pgno)
    problem = page.problem()
    if problem:
        raise PageDamaged(problem, file=path, position=f"page {pgno}")
    tag = number if is_tag else number + page.reserved_tags
    if not 0 <= tag < page.tag_count or number < 0:
        where = f"page {pgno}"
        raise FileTruncated(f"There is no {'tag' if is_tag else 'node'} {number}", position=where)
    yield list(_lines(page))[tag]
    yield ""
    yield from hex_lines(bytes(page.line(tag)[0]))


def hex_lines(data: bytes) -> Iterator[str]:
    """Yield the bytes, 16 a line, in quartets as they lie in the file, and as text."""
    for at in range(0, len(data), _WIDTH):
        part = data[at : at + _WIDTH]
        quartets = (part[i : i + _QUARTET].hex() for i in range(0, len(part), _QUARTET))
        text = "".join(chr(byte) if byte in _PRINTABLE else "." for byte in part)
        yield f"{at:08x}    {' '.join(quartets):<36}\\ {text}"


def _header_page(data: bytes) -> tuple[bool, list[str]]:
    stored, computed = int.from_bytes(data[:4], "little"), header_checksum(data)
    return stored == computed, [
        f"Expected Checksum: 0x{computed:08x}",
        f"  Actual Checksum: 0x{stored:08x}",
    ]


def _numbered_page(data: bytes, pgno: int) -> tuple[bool, list[str]]:
    """Return whether the page can be used, and what it says."""
    found = page_state(data, pgno)
    checksum = str(found.state)
    if found.bits:
        checksum += f" ( bit {', '.join(map(str, found.bits))} )"
    if found.claimed:
        checksum += f" (written for page {found.claimed})"
    lines = [f"{'checksum':>20}: 0x{int.from_bytes(data[:8], 'little'):016x} {checksum}"]
    if found.state == State.UNINITIALIZED:
        return True, lines
    page = Page(data, pgno)
    lines += _header(page)
    problem = page.problem()
    lines += [f"The page cannot be read: {problem}"] if problem else ["", *_lines(page)]
    return found.state in (State.GOOD, State.CORRECTABLE), lines


def _header(page: Page) -> Iterator[str]:
    flags = page.flags
    names = " ".join(flag.name for flag in _KINDS if flags & flag and flag.name)
    fields = (
        ("dbtimeDirtied", f"{page.dbtime} (0x{page.dbtime:x})"),
        ("pgnoPrev", page.previous),
        ("pgnoNext", page.next),
        ("objidFDP", page.objid),
        ("cbFree", page.free),
        ("cbUncommittedFree", page.uncommitted_free),
        ("ibMicFree", page.mic_free),
        ("ctagReserved", page.reserved_tags),
        ("itagMicFree", page.tag_count),
        ("fFlags", f"0x{flags:x} {names.lower()}"),
    )
    for label, value in fields:
        yield f"{label:>20}: {value}"
    if page.is_root and page.tag_count and not flags & PageFlag.SPACE_TREE:
        yield from _space_header(page)


def _space_header(page: Page) -> Iterator[str]:
    try:
        header = SpaceHeader.unpack(page.external)
    except ValueError as error:
        yield f"{'space header':>20}: {error}"
        return
    kind = "multiple" if header.is_multiple else "single"
    yield f"{'space header':>20}: {kind} extent, parent {header.parent}, cpg {header.pages}"
    if header.is_multiple:
        yield f"{'space trees':>20}: OE {header.owned}, AE {header.owned + 1}"
    if header.autoincrement is not None:
        yield f"{'autoincrement':>20}: {header.autoincrement}"


def _lines(page: Page) -> Iterator[str]:
    """Yield a line for each tag of a page whose structure holds together."""
    is_space = page.is_leaf and bool(page.flags & PageFlag.SPACE_TREE)
    nodes = page.nodes()
    for number in range(page.tag_count):
        line, flags = page.line(number)
        marks = "".join(mark if flags & bit else " " for bit, mark in _MARKS)
        text = f"TAG {number:3}: cb:0x{len(line):04x}"
        at = number - page.reserved_tags
        if at >= 0:
            node = nodes[at]
            text += f" key:cb=0x{len(node.key):04x} data:cb=0x{len(node.data):04x}"
            text += _meaning(page, node.key, node.data, is_space)
        yield f"{text} flags:0x{flags:04x} ({marks})"


def _meaning(page: Page, key: bytes, data: bytes, is_space: bool) -> str:
    if not page.is_leaf:
        return f" child:{int.from_bytes(data, 'little')}"
    if is_space:
        try:
            extent = Extent.unpack(key, data)
        except ValueError as error:
            return f" SP: {error}"
        pool = _POOLS.get(extent.pool, f"pool {extent.pool}")
        return f" SP: {pool}: {extent.pages},{extent.first}-{extent.last}"
    return ""
