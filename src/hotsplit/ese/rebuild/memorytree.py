"""A catalog that was put together from what is readable, as a tree in memory."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count

from hotsplit.errors import Jet, PageDamaged
from hotsplit.ese.format.header import DatabaseHeader
from hotsplit.ese.format.page import Node, Page
from hotsplit.ese.format.space import SpaceHeader
from hotsplit.ese.rebuild.objects import CATALOG
from hotsplit.ese.rebuild.space import header_size
from hotsplit.ese.rebuild.treewriter import TreeWriter


class MemoryCatalog:
    """Pages of a catalog, read as those of a database."""

    def __init__(self, header: DatabaseHeader, kind: int, rows: Iterable[Node]) -> None:
        self.header = header
        self.page_size: int = header.page_size
        self._pages: dict[int, bytes] = {}
        numbers = count(CATALOG.root + 1)
        writer = TreeWriter(
            self, lambda: next(numbers), CATALOG.objid, kind,
            name=CATALOG.text, external=header_size(None),
        )  # fmt: skip
        for key, data, _ in rows:
            writer.add(key, data)
        content = writer.finish()
        root = Page.new(self.page_size, CATALOG.root, CATALOG.objid, 0, content.flags)
        root.fill(SpaceHeader(1, 1, 0, 0).pack(), content.nodes)
        self.write(root)

    def write(self, page: Page) -> None:
        """Keep a page."""
        self._pages[page.number] = bytes(page.data)

    def read_page(self, pgno: int, /) -> bytes:
        """Return a page."""
        try:
            return self._pages[pgno]
        except KeyError:
            raise PageDamaged("no such page", jet=Jet.errPageNotInitialized) from None
