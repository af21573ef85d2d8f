"""Writing a B+ tree bottom-up: nodes come in order, pages leave as soon as they are full.

Memory is one page a level. Source: format specification 3.3 (internal nodes), 4.1 (invariants),
4.2 (separators).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from hotsplit.errors import DataDamaged, Jet
from hotsplit.ese.format.page import Node, Page, PageFlag, common_prefix
from hotsplit.ese.rebuild.pack import TAG, PageBuilder

_RESERVED = 32  # a leaf keeps one part in so many free


class PageWriter(Protocol):
    """Where finished pages go."""

    page_size: int

    def write(self, page: Page) -> None:
        """Take a page that is complete but for dbtime and checksum."""
        ...


@dataclass(frozen=True)
class RootContent:
    """What belongs on the root page, which is written when the tree's space is known."""

    flags: int
    nodes: list[Node]
    count: int
    pages: int


@dataclass
class _Level:
    builder: PageBuilder
    pages: int = 0


class TreeWriter:
    """One tree. take: gives the number of its next page. kind: its page flags.

    external: bytes of the space header on the root page. Nodes come in order by key, or by key and
    data if the kind says that keys are not unique. leaf_kind may change between nodes; a page holds
    nodes of one kind.
    """

    def __init__(
        self,
        writer: PageWriter,
        take: Callable[[], int],
        objid: int,
        kind: int,
        *,
        name: str,
        external: int,
    ) -> None:
        self._writer, self._take = writer, take
        self._objid, self._kind = objid, kind
        self._name, self._external = name, external
        self._unique = not kind & PageFlag.NON_UNIQUE
        self._room = writer.page_size - Page(bytes(writer.page_size)).header_size
        self._levels = [_Level(self._builder(0))]
        self.leaf_kind = self._leaf_kind = kind
        self._leaf = self._previous = 0
        self._last: tuple[bytes, bytes] | None = None
        self.count = self.pages = 0

    def _builder(self, level: int) -> PageBuilder:
        reserve = 0 if level else self._writer.page_size // _RESERVED
        return PageBuilder(self._room, reserve)

    def add(self, key: bytes, data: bytes) -> None:
        """Take the next node. Raises DataDamaged (-1206) if it is out of order or too large."""
        place = key, b"" if self._unique else data
        if self._last is not None and place <= self._last:
            raise DataDamaged(f"{self._name}: keys are not in ascending order")
        leaves = self._levels[0]
        changed = self.leaf_kind != self._leaf_kind and leaves.builder.nodes
        if changed or not leaves.builder.add(key, data):
            if not leaves.builder.nodes:
                raise DataDamaged(f"{self._name}: a node of {len(key) + len(data)} bytes")
            self._close_leaf(self._separator(self._bookmark(*leaves.builder.nodes[-1][:2]),
                                             self._bookmark(key, data)))  # fmt: skip
            leaves.builder.add(key, data)
        self._leaf_kind = self.leaf_kind
        self._last = place
        self.count += 1

    def _bookmark(self, key: bytes, data: bytes) -> bytes:
        return key if self._unique else key + data

    @staticmethod
    def _separator(left: bytes, right: bytes) -> bytes:
        return right[: common_prefix(left, right) + 1]

    # Pages

    def _close_leaf(self, separator: bytes) -> None:
        """Write the leaf; `separator` bounds it from the next one, empty for the last leaf."""
        number = self._leaf or self._take()
        self._leaf = self._take() if separator else 0
        page = self._page(0, number, self._leaf_kind | PageFlag.LEAF)
        page.previous, page.next = self._previous, self._leaf
        self._previous = number
        self._finish_page(0, page, separator)

    def _close_internal(self, level: int) -> None:
        separator = self._levels[level].builder.nodes[-1][0]
        flags = self._kind | (PageFlag.PARENT_OF_LEAF if level == 1 else 0)
        self._finish_page(level, self._page(level, self._take(), flags), separator)

    def _page(self, level: int, number: int, flags: int) -> Page:
        builder = self._levels[level].builder
        page = Page.new(self._writer.page_size, number, self._objid, 0, flags)
        page.fill(builder.prefix, builder.nodes)
        return page

    def _finish_page(self, level: int, page: Page, separator: bytes) -> None:
        self._writer.write(page)
        self.pages += 1
        self._levels[level].pages += 1
        self._levels[level].builder = self._builder(level)
        self._push(level + 1, separator, page.number)

    def _push(self, level: int, separator: bytes, child: int) -> None:
        """Enter a finished page in the level above."""
        if level == len(self._levels):
            self._levels.append(_Level(self._builder(level)))
        data = child.to_bytes(4, "little")
        if not self._levels[level].builder.add(separator, data):
            self._close_internal(level)
            self._levels[level].builder.add(separator, data)

    # The end

    def finish(self) -> RootContent:
        """Write all pages but the root, and return what belongs on that."""
        level = 0
        while not self._fits_root(level):
            self._flush(level)
            level += 1
        flags = self._kind | PageFlag.ROOT
        if level == 0:
            flags = self._leaf_kind | PageFlag.ROOT | PageFlag.LEAF
        elif level == 1:
            flags |= PageFlag.PARENT_OF_LEAF
        nodes = self._levels[level].builder.nodes
        return RootContent(flags, nodes, self.count, self.pages + 1)

    def _fits_root(self, level: int) -> bool:
        top = self._levels[level]
        if top.pages:
            return False
        return TAG + self._external + top.builder.plain_size() <= self._room

    def _flush(self, level: int) -> None:
        """Write the last page of a level, as two if it is the only one."""
        top = self._levels[level]
        nodes = top.builder.nodes
        if not top.pages and len(nodes) > 1:
            half = len(nodes) // 2
            top.builder = self._filled(level, nodes[:half])
            self._close(level, nodes[half])
            top.builder = self._filled(level, nodes[half:])
        self._close(level, None)

    def _filled(self, level: int, nodes: list[Node]) -> PageBuilder:
        builder = self._builder(level)
        for key, data, _ in nodes:
            if not builder.add(key, data):
                raise DataDamaged(f"{self._name}: half a page is too much for one",
                                  jet=Jet.errInternalError)  # fmt: skip
        return builder

    def _close(self, level: int, following: Node | None) -> None:
        """Write the page of a level; `following` is the first node of the next one."""
        if level:
            self._close_internal(level)
            return
        separator = b""
        if following is not None:
            last = self._levels[0].builder.nodes[-1]
            separator = self._separator(self._bookmark(*last[:2]), self._bookmark(*following[:2]))
        self._close_leaf(separator)
