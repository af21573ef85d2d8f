"""All leaf pages of a damaged database by the object that they belong to.

Source: format specification 2.1 to 2.3. Four bytes for each leaf page.
"""

from __future__ import annotations

import contextlib
import struct
from array import array
from typing import NamedTuple

from hotsplit.errors import HotsplitError, IoFailed, Jet
from hotsplit.ese.format.checksum import RUN_GOOD, scan_pages
from hotsplit.ese.format.page import Page, PageFlag
from hotsplit.ese.format.space import SpaceHeader
from hotsplit.ese.read.pages import RunSource
from hotsplit.ese.rebuild.source import OnPage

_RUN_BYTES = 1 << 19
_OBJID, _FLAGS = struct.Struct("<I"), struct.Struct("<I")
_UNREAD = b"?"  # anything but zeros
_NO_LEAF = PageFlag.SPACE_TREE | PageFlag.EMPTY | PageFlag.PRE_INIT


class TreeRoot(NamedTuple):
    """A root page: its number, its flags, and the root page that its space comes from."""

    page: int
    flags: int
    parent: int


class Inventory:
    """What a look at every page of the file found.

    leaves: page numbers of readable leaf pages by object id, unlinked ones included; damaged:
    numbers of pages that are not empty and cannot be read. roots: readable root pages by object id.
    """

    def __init__(self, source: RunSource, on_page: OnPage) -> None:
        self.leaves: dict[int, array[int]] = {}
        self.damaged: array[int] = array("I")
        self.roots: dict[int, TreeRoot] = {}
        self._source = source
        size = source.page_size
        step = _RUN_BYTES // size
        for first in range(1, source.page_count + 1, step):
            count = min(step, source.page_count + 1 - first)
            try:
                self._take_run(first, source.read_raw(first, count))
            except IoFailed:  # a part of the device cannot be read
                for pgno in range(first, first + count):
                    self._take(pgno, _UNREAD, False)
            on_page(count)

    def _take_run(self, first: int, data: bytes) -> None:
        size = self._source.page_size
        states = scan_pages(data, size, first).states
        for i in range(len(data) // size):
            self._take(first + i, data[i * size : (i + 1) * size], states[i] == RUN_GOOD)

    def _take(self, pgno: int, page: bytes, good: bool) -> None:
        if not good and any(page):
            try:
                page = self._source.read_page(pgno)
            except HotsplitError as error:
                if error.jet != Jet.errPageNotInitialized:
                    self.damaged.append(pgno)
                return
        flags = _FLAGS.unpack_from(page, 36)[0]
        objid = _OBJID.unpack_from(page, 24)[0]
        if flags & PageFlag.ROOT and not flags & _NO_LEAF:
            self._take_root(objid, Page(page, pgno))
        if flags & PageFlag.LEAF and not flags & _NO_LEAF:
            self.leaves.setdefault(objid, array("I")).append(pgno)

    def _take_root(self, objid: int, page: Page) -> None:
        with contextlib.suppress(HotsplitError, ValueError):
            parent = SpaceHeader.unpack(page.external).parent
            self.roots[objid] = TreeRoot(page.number, page.flags, parent)
