"""Changes of database files: headers, pages, lines, nodes, links; checksums made good again."""

from __future__ import annotations

from collections.abc import Callable

from fuzz.chance import Chance
from hotsplit.errors import HotsplitError
from hotsplit.ese.format.checksum import stamp
from hotsplit.ese.format.header import DatabaseHeader
from hotsplit.ese.format.layout import Layout
from hotsplit.ese.format.page import Page, PageFlag

_CATALOGS = (2, 3)
_PAGE_FIELDS = ((8, 8), (16, 4), (20, 4), (24, 4), (28, 2), (30, 2), (32, 2), (34, 2), (36, 4))
_LARGE = 16384


def spoil_field(chance: Chance, block: Layout) -> None:
    """Change one field of a fixed structure."""
    field = chance.choice(block.fields())
    if field.size in (1, 2, 4, 8):
        chance.put(block.raw, field.offset, field.size)
    else:
        chance.spoil(block.raw, field.offset, field.offset + field.size)


class DatabaseSpoiler:
    """Changes one database file. The file must have a sound header to begin with."""

    def __init__(self, chance: Chance, data: bytearray, page_size: int) -> None:
        self.chance = chance
        self.data = data
        self.size = page_size
        self.pages = [
            pgno
            for pgno in range(1, len(data) // page_size - 1)
            if any(data[(pgno + 1) * page_size : (pgno + 1) * page_size + 40])
        ]

    def spoil(self) -> None:
        """Make one change."""
        if self.chance.once_in(12) or not self.pages:
            self.chance.choice((self._header, self._length))()
            return
        pgno = self._choose()
        page = self._read(pgno)
        self.chance.choice(_CHANGES)(self, page)
        self._write(page)

    def _choose(self) -> int:
        """Return a page number: any, one of the catalog, a long-value page, or a low one."""
        kind = self.chance.randrange(5)
        if kind < 2:
            return self.chance.choice(self.pages)
        if kind == 2:
            return self.chance.choice(self.pages[:64])
        for _ in range(40):
            pgno = self.chance.choice(self.pages)
            page = self._read(pgno)
            wanted = page.objid in _CATALOGS if kind == 3 else page.flags & PageFlag.LONG_VALUE
            if wanted:
                break
        return pgno

    def _read(self, pgno: int) -> Page:
        at = (pgno + 1) * self.size
        return Page(bytes(self.data[at : at + self.size]), pgno)

    def _write(self, page: Page) -> None:
        data = bytearray(page.data)
        if self.size >= _LARGE and not self.chance.once_in(20):
            data[64:68] = page.number.to_bytes(4, "little")
        stamp(data, page.number)
        if self.chance.once_in(30):
            for _ in range(self.chance.randrange(1, 3)):
                data[self.chance.randrange(self.size)] ^= 1 << self.chance.randrange(8)
        at = (page.number + 1) * self.size
        self.data[at : at + self.size] = data

    # The file

    def _header(self) -> None:
        header = DatabaseHeader(self.data[: self.size])
        for _ in range(self.chance.randrange(1, 4)):
            spoil_field(self.chance, header)
        block = header.sealed()
        places = self.chance.choice(((0,), (self.size,), (0, self.size), (0, self.size)))
        for at in places:
            self.data[at : at + self.size] = block

    def _length(self) -> None:
        pages = len(self.data) // self.size
        if self.chance.once_in(2):
            del self.data[self.chance.randrange(len(self.data)) :]
        elif self.chance.once_in(2):
            del self.data[self.chance.randrange(pages) * self.size :]
        else:
            self.data.extend(self.chance.blob(2 * self.size))

    # A page

    def _any_page(self) -> int:
        kind = self.chance.randrange(4)
        if kind == 0:
            return self.chance.number(4)
        return self.chance.choice(self.pages)

    def _page_field(self, page: Page) -> None:
        offset, size = self.chance.choice(_PAGE_FIELDS)
        self.chance.put(bytearray_of(page), offset, size)

    def _line(self, page: Page) -> None:
        """Change where a line lies, its length or its flags."""
        line = self.chance.randrange(max(1, min(page.tag_count, self.size // 8)) + 1)
        self.chance.put(bytearray_of(page), self.size - 4 * (line + 1) + self._half(), 2)

    def _half(self) -> int:
        return self.chance.choice((0, 2))

    def _node(self, page: Page) -> None:
        """Change bytes inside a line, most often near its start, where lengths and offsets are."""
        if not page.tag_count:
            return
        line = self.chance.randrange(page.tag_count)
        try:
            length = len(page.line(line)[0])
        except HotsplitError:
            return
        tag = self.size - 4 * (line + 1)
        start = page.header_size + int.from_bytes(page.data[tag + 2 : tag + 4], "little") % 0x8000
        end = min(start + length, self.size)
        near = min(end, start + self.chance.choice((4, 8, 16, 32, length)))
        for _ in range(self.chance.randrange(1, 4)):
            self.chance.spoil(bytearray_of(page), start, near)

    def _rewrite_node(self, page: Page) -> None:
        """Give a node other data or another key; everything else stays sound."""
        if not page.node_count:
            return
        try:
            i = self.chance.randrange(page.node_count)
            node = page.node(i)
            data = bytearray(node.data)
            for _ in range(self.chance.randrange(1, 4)):
                self.chance.spoil(data, 0, len(data))
            if self.chance.once_in(3):
                del data[self.chance.randrange(len(data) + 1) :]
            key = self.chance.choice((node.key, node.key, self.chance.blob(300)))
            flags = self.chance.choice((node.flags, node.flags, self.chance.randrange(8)))
            page.replace_node(i, node._replace(key=key, data=bytes(data), flags=flags))
        except HotsplitError:
            return

    def _more_nodes(self, page: Page) -> None:
        try:
            if page.node_count and self.chance.once_in(2):
                page.delete(self.chance.randrange(page.node_count))
            else:
                i = self.chance.randrange(page.node_count + 1)
                page.insert(i, self.chance.blob(40), self.chance.blob(80))
        except HotsplitError:
            return

    def _link(self, page: Page) -> None:
        """Let a page, or a node of an internal page, point to another page."""
        target = self._any_page()
        if page.is_leaf or not page.node_count:
            at = self.chance.choice((16, 20))
            page.data[at : at + 4] = target.to_bytes(4, "little")
            return
        try:
            i = self.chance.randrange(page.node_count)
            page.replace_data(i, target.to_bytes(4, "little"), page.node(i).flags)
        except HotsplitError:
            return

    def _other_page(self, page: Page) -> None:
        """Put another page's content here, or nothing, or noise."""
        kind = self.chance.randrange(4)
        if kind == 0:
            page.data[:] = bytes(self.size)
        elif kind == 1:
            page.data[40:] = self.chance.randbytes(self.size - 40)
        else:
            page.data[:] = self._read(self.chance.choice(self.pages)).data

    def _noise(self, page: Page) -> None:
        for _ in range(self.chance.randrange(1, 10)):
            self.chance.spoil(bytearray_of(page), 8, self.size)


def bytearray_of(page: Page) -> bytearray:
    """Return the buffer that a page made from bytes has."""
    assert isinstance(page.data, bytearray)
    return page.data


_CHANGES: tuple[Callable[[DatabaseSpoiler, Page], None], ...] = (
    DatabaseSpoiler._page_field,
    DatabaseSpoiler._line,
    DatabaseSpoiler._node,
    DatabaseSpoiler._node,
    DatabaseSpoiler._node,
    DatabaseSpoiler._rewrite_node,
    DatabaseSpoiler._rewrite_node,
    DatabaseSpoiler._more_nodes,
    DatabaseSpoiler._link,
    DatabaseSpoiler._other_page,
    DatabaseSpoiler._noise,
)
