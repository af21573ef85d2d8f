"""Checking the pages of one tree: the readable reference of the ``integrity`` kernel.

A `Tree` takes the pages of one B+ tree in order, internal pages and runs of adjacent leaves, and
appends what is wrong to a list as ``(code, page, node or -1, a, b)`` (`integrity_codes`). A page
whose tags do not hold together is reported and not read any further. What the leaves hold is taken
by a content: a list of nodes, `Rows`, `LongValues` or `Entries`.

Source: format specification 2 to 4, 8 and 13.1 P, T, L.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from hotsplit._native.collect_py import Collection
from hotsplit._native.fingerprint_py import ENTRIES, Ledger, Place, hash_number
from hotsplit._native.indexkey_py import BY_KEY, entry_hash
from hotsplit._native.integrity_codes import Code
from hotsplit._native.rowcheck_py import Report, Rows

__all__ = ["Collection", "Entries", "Ledger", "LongValues", "Rows", "Tree"]

_SIZES = (2048, 4096, 8192, 16384, 32768)
_KEY_ROOM = 16384
_COMPARISONS = 2
_ROOT, _LEAF, _ABOVE, _EMPTY, _REPAIR, _SPACE, _INDEX, _LONG = 1, 2, 4, 8, 16, 0x20, 0x40, 0x80
_NON_UNIQUE, _NEW_RECORD, _PREINIT, _FDP_DELETE, _KINDS = 0x400, 0x800, 0x20000, 0x40000, 0x7E0
_VERSION, _DELETED, _COMPRESSED = 1, 2, 4
_SPLIT_BUFFER = 16
_HALF_DELETED = 0xFFFFFFFF


class _Problem(Exception):
    """A page or a node that cannot be read any further: code, number of the node or -1."""

    def __init__(self, code: Code, node: int = -1) -> None:
        super().__init__(code)
        self.code, self.node = code, node


class _Node(NamedTuple):
    key: bytes
    data: bytes
    flags: int


class _Page:
    """The header and the tags of one page."""

    def __init__(self, data: bytes, number: int) -> None:
        self.data, self.number, self.size = data, number, len(data)
        (self.dbtime, self.previous, self.next, self.objid, self.free, self.uncommitted, self.mic,
         state, self.flags) = struct.unpack_from("<QIIIHHHHI", data, 8)  # fmt: skip
        self.head = 40 if self.size <= 8192 else 80
        self._mask = 0x1FFF if self.size <= 8192 else 0x7FFF
        self.count: int = state & 0xFFF
        self.first: int = state >> 12 & 7 or 1
        self.prefix = b""

    @property
    def node_count(self) -> int:
        return max(0, self.count - self.first)

    def tag(self, line: int) -> tuple[int, int, int]:
        """Return (offset from the header's end, length, top bits of the offset)."""
        length, start = struct.unpack_from("<HH", self.data, self.size - 4 * (line + 1))
        return start & self._mask, length & self._mask, start >> 13

    def check(self) -> None:
        """Check flags, tags and the account of the space (2.4 to 2.6). Raises _Problem."""
        room = self.size - self.head
        if 4 * self.count > room:
            raise _Problem(Code.TAGS)
        self._check_flags()
        if self.mic > room - 4 * self.count or self.free > room:
            raise _Problem(Code.TAGS)
        if self.uncommitted > self.free:
            raise _Problem(Code.UNCOMMITTED)
        used = 4 * self.count
        taken = bytearray(room)
        for line in range(self.count):
            start, length, _ = self.tag(line)
            node = line - self.first
            used += length
            if not length and line >= self.first:
                raise _Problem(Code.NODE, node)
            if length and start + length > self.mic:
                raise _Problem(Code.LINE_END, node)
            if any(taken[start : start + length]):
                raise _Problem(Code.LINE_OVERLAP, node)
            taken[start : start + length] = b"\1" * length
        if used + self.free != room:
            raise _Problem(Code.FREE)

    def _check_flags(self) -> None:
        if self.flags & _PREINIT:
            raise _Problem(Code.FLAGS_PREINIT)
        if not self.count:
            raise _Problem(Code.NO_LINES)
        if self.flags & _INDEX and self.flags & _LONG:
            raise _Problem(Code.FLAGS_MIXED)
        if self.flags & _REPAIR:
            raise _Problem(Code.FLAGS_REPAIR)

    def open(self) -> None:
        """Find the prefix that nodes can share."""
        start, length, _ = self.tag(0)
        external = self.data[self.head + start : self.head + start + length]
        if not self.flags & _ROOT:
            self.prefix = external
        elif self.flags & _SPACE:
            self.prefix = external[_SPLIT_BUFFER:]

    def node(self, i: int, key_most: int) -> _Node:
        """Return a node with its whole key. Raises _Problem."""
        start, length, flags = self.tag(self.first + i)
        line = self.data[self.head + start : self.head + start + length]
        if len(line) < 2:
            raise _Problem(Code.NODE, i)
        if self.head == 80:
            flags = line[1] >> 5
        shared, at = 0, 0
        if flags & _COMPRESSED:
            shared, at = struct.unpack_from("<H", line)[0] & 0x1FFF, 2
            if shared > len(self.prefix):
                raise _Problem(Code.PREFIX_LONG, i)
            if len(line) < 4:
                raise _Problem(Code.NODE, i)
        end = at + 2 + (struct.unpack_from("<H", line, at)[0] & 0x1FFF)
        if end > len(line):
            raise _Problem(Code.NODE, i)
        if flags & _COMPRESSED and shared == 1:
            raise _Problem(Code.PREFIX_ONE, i)
        key = self.prefix[:shared] + line[at + 2 : end]
        if len(key) > key_most:
            raise _Problem(Code.KEY_LENGTH, i)
        return _Node(key, line[end:], flags)


class LongValues:
    """The nodes of a long-value tree, in order. chunk: bytes of a full chunk."""

    def __init__(self, chunk: int, wide_allowed: bool, ledger: Ledger, tools: Rows) -> None:
        if not chunk:
            raise ValueError("no chunk size")
        self._chunk, self._ledger, self._tools = chunk, ledger, tools
        self._wide_reported = wide_allowed
        self._lid = self._size = self._seen = 0
        self._encrypted = self._loose = False
        self._root: Place = (0, -1)

    def _report(self, code: Code, place: Place, a: int, b: int = 0) -> None:
        self._tools.report(code, a, b, place)

    def close(self) -> None:
        """At the end of a long value or of the tree: report it unless it is complete."""
        if self._lid and not self._loose and self._seen != self._size:
            self._report(Code.LV_SHORT, self._root, self._lid, self._seen)
        self._loose = True

    def take(self, key: bytes, data: bytes, place: Place) -> bool:
        """Check one live node; True if it is sound."""
        wide = len(key) in (8, 12) and key[0] & 0x80
        size = 8 if wide else 4
        if len(key) not in (size, size + 4):
            self.close()
            self._report(Code.LV_KEY, place, len(key))
            return False
        lid = int.from_bytes(key[:size], "big")
        if wide and not self._wide_reported:
            self._wide_reported = True
            self._report(Code.LV_WIDE, place, lid)
        if len(key) == size:
            return self._take_root(lid, data, place)
        return self._take_chunk(lid, int.from_bytes(key[size:], "big"), data, place)

    def _take_root(self, lid: int, data: bytes, place: Place) -> bool:
        self.close()
        self._lid, self._root, self._seen = lid, place, 0
        if len(data) not in (8, 9):
            self._report(Code.LV_ROOT, place, lid, len(data))
            return False
        references, self._size = struct.unpack_from("<II", data)
        self._encrypted = len(data) == 9 and bool(data[8] & 1)
        self._loose = references in (0, _HALF_DELETED)
        if self._loose:
            self._report(Code.LV_HALF if references else Code.LV_ORPHAN, place, lid)
        hash_ = hash_number(lid)
        if not self._ledger.is_watching:
            self._ledger.enter(ENTRIES, hash_, 0 if references == _HALF_DELETED else references)
        elif self._ledger.is_watched(hash_):
            self._ledger.take(ENTRIES, lid.to_bytes(8, "little"), b"", references, place)
        return True

    def _take_chunk(self, lid: int, offset: int, data: bytes, place: Place) -> bool:
        if lid != self._lid:
            self.close()
            self._lid = lid
            self._report(Code.LV_NO_ROOT, place, lid, offset)
            return False
        if self._loose:
            return True
        expected = min(self._chunk, self._size - offset)
        self._loose = True  # until this chunk is found sound
        if offset % self._chunk:
            self._report(Code.LV_OFFSET, place, lid, offset)
            return False
        if offset != self._seen or offset >= self._size:
            self._report(Code.LV_GAP, place, lid, offset)
            return False
        if len(data) > expected and not self._encrypted:
            self._report(Code.LV_CHUNK, place, lid, len(data))
            return False
        self._loose = False
        self._seen += expected
        compressed = len(data) < expected and not self._encrypted
        if compressed and self._tools.try_expand(data, expected) != expected:
            self._report(Code.LV_EXPAND, place, lid, offset)
        return True


class Entries:
    """The entries of a secondary index. comparisons: the ways of holding them against the rows."""

    def __init__(self, comparisons: Sequence[tuple[int, Ledger]]) -> None:
        if len(comparisons) > _COMPARISONS:
            raise ValueError(f"{len(comparisons)} comparisons")
        self._comparisons = comparisons

    def take(self, key: bytes, data: bytes, place: Place) -> None:
        """Enter one live entry."""
        for compare, ledger in self._comparisons:
            hash_ = entry_hash(compare, key, data)
            if not ledger.is_watching:
                ledger.enter(ENTRIES, hash_, 1)
            elif ledger.is_watched(hash_):
                ledger.take(ENTRIES, key if compare == BY_KEY else b"", data, 1, place)


Content = list[tuple[int, int, bytes, bytes]] | Rows | LongValues | Entries | None


class Tree:
    """One B+ tree under check; see the module.

    kind: page flags that say what kind of tree it is. dbtime: no page may be newer. key_most: bytes
    of the longest key.
    """

    def __init__(
        self,
        size: int,
        objid: int,
        kind: int,
        dbtime: int,
        key_most: int,
        content: Content,
        findings: list[Report],
    ) -> None:
        if size not in _SIZES or key_most > _KEY_ROOM:
            raise ValueError(f"pages of {size} bytes, keys of {key_most}")
        self.damaged = False
        self._size, self._objid, self._kind, self._dbtime = size, objid, kind, dbtime
        self._key_most = key_most
        self._content = content
        self._findings = findings
        self._unique = not kind & _NON_UNIQUE or bool(kind & _SPACE)
        self._last_leaf = self._next = 0
        self._chained = True
        self._internals = self._leaves = self._nodes = self._deleted = self._versioned = 0

    @property
    def counts(self) -> tuple[int, int, int, int, int]:
        """Internal pages, leaves, nodes of leaves, deleted ones, versioned ones."""
        return self._internals, self._leaves, self._nodes, self._deleted, self._versioned

    def _report(self, code: Code, page: int, node: int = -1, a: int = 0, b: int = 0) -> None:
        self._findings.append((int(code), page, node, a, b))

    def lose(self) -> None:
        """A hole in what can be read: the next leaf cannot be held against the one before."""
        self.damaged, self._chained = True, False

    def finish(self) -> None:
        """After the last leaf: the chain must end there."""
        if self._chained and self._next:
            self._report(Code.NEXT, self._last_leaf, -1, self._next)
        if isinstance(self._content, LongValues) and not self.damaged:
            self._content.close()

    def _open(self, data: bytes, number: int, is_root: bool) -> _Page | None:
        """Check a page as one of this tree; None if its nodes cannot be read."""
        page = _Page(data, number)
        try:
            page.check()
        except _Problem as problem:
            self._report(problem.code, number, problem.node, page.count)
            return None
        page.open()
        if page.dbtime > self._dbtime:
            self._report(Code.DBTIME, number, -1, page.dbtime, self._dbtime)
        if page.objid != self._objid:
            self._report(Code.OBJID, number, -1, page.objid, self._objid)
            return None
        if bool(page.flags & _ROOT) != is_root:
            self._report(Code.ROOT_FLAG, number, -1, page.flags)
            if not is_root:
                return None
        if page.flags & _KINDS != self._kind:
            self._report(Code.KIND, number, -1, page.flags & _KINDS, self._kind)
        if is_root and page.flags & _FDP_DELETE:
            self._report(Code.TREE_GONE, number, -1, page.flags)
        if page.flags & _EMPTY:
            self._report(Code.EMPTY_FLAG, number, -1, page.flags)
        return page

    # Internal pages

    def internal(
        self,
        page: bytes | bytearray | memoryview,
        pgno: int,
        is_root: bool,
        low: bytes | None,
        high: bytes | None,
    ) -> tuple[list[int], list[bytes]]:
        """Check an internal page between two keys; return its children and their keys.

        Both are empty if the page cannot be used.
        """
        if len(page) != self._size:
            raise ValueError(f"a page of {len(page)} bytes")
        self._internals += 1
        opened = self._open(bytes(page), pgno, is_root)
        if opened is None:
            return [], []
        if not opened.node_count:
            self._report(Code.NO_CHILDREN, pgno)
            return [], []
        if opened.previous or opened.next:
            self._report(Code.INTERNAL_LINKS, pgno, -1, opened.previous, opened.next)
        nodes: list[_Node] = []
        for i in range(opened.node_count):
            node = self._child(opened, i, low, high, nodes)
            if node is None:
                return [], []
            nodes.append(node)
        keys = [node.key for node in nodes]
        if keys[-1] != (b"" if high is None else high):
            self._report(Code.LAST_KEY, pgno, len(keys) - 1)
        return [int.from_bytes(node.data, "little") for node in nodes], keys

    def _child(
        self, page: _Page, i: int, low: bytes | None, high: bytes | None, before: list[_Node]
    ) -> _Node | None:
        """Return the next node of an internal page, None if the page cannot be used."""
        try:
            node = page.node(i, self._key_most)
        except _Problem as problem:
            self._report(problem.code, page.number, i)
            return None
        if len(node.data) != 4:
            self._report(Code.CHILD_SIZE, page.number, i, len(node.data))
            return None
        if node.flags & (_DELETED | _VERSION):
            self._report(Code.INTERNAL_FLAGS, page.number, i, node.flags)
        if not node.key and (i + 1 < page.node_count or high is not None):
            self._report(Code.NULL_KEY, page.number, i)
            return None
        if before and node.key and before[-1].key >= node.key:
            self._report(Code.INTERNAL_ORDER, page.number, i)
        if not before and low is not None and b"" < node.key < low:
            self._report(Code.BELOW, page.number, 0)
        return node

    # Leaves

    def leaves(
        self,
        pages: bytes | bytearray | memoryview,
        first: int,
        is_root: bool,
        low: bytes | None,
        highs: list[bytes | None],
    ) -> None:
        """Check adjacent pages that must be leaves; `highs`: the key above each of them."""
        if len(pages) != len(highs) * self._size:
            raise ValueError(f"{len(pages)} bytes for {len(highs)} pages")
        data = bytes(pages)
        for i, high in enumerate(highs):
            page = data[i * self._size : (i + 1) * self._size]
            self._leaf(page, first + i, is_root, highs[i - 1] if i else low, high)

    def wanted(self, pages: bytes | bytearray | memoryview) -> list[bytes]:
        """Return the ids of separated values that keys of the records on leaves are made of."""
        content, data = self._content, bytes(pages)
        found: list[bytes] = []
        for at in range(0, len(data) - self._size + 1, self._size):
            page = _Page(data[at : at + self._size], 0)
            if isinstance(content, Rows):
                found += self._wanted(content, page)
        return found

    def _wanted(self, rows: Rows, page: _Page) -> Iterator[bytes]:
        for node in self._records(page):
            yield from rows.wanted(node.data, not page.flags & _NEW_RECORD)

    def _records(self, page: _Page) -> Iterator[_Node]:
        """Yield the records of a leaf that need not be checked yet."""
        try:
            page.check()
        except _Problem:
            return
        page.open()
        for i in range(page.node_count if page.flags & _LEAF else 0):
            with contextlib.suppress(_Problem):
                node = page.node(i, self._key_most)
                if node.data and not node.flags & _DELETED:
                    yield node

    def enter(self, pages: bytes | bytearray | memoryview) -> None:
        """Make the entries of the records on leaves, without checking these."""
        content, data = self._content, bytes(pages)
        if not isinstance(content, Rows):
            return
        for at in range(0, len(data) - self._size + 1, self._size):
            page = _Page(data[at : at + self._size], 0)
            for node in self._records(page):
                content.enter(node.key, node.data, not page.flags & _NEW_RECORD)

    def _leaf(
        self, data: bytes, pgno: int, is_root: bool, low: bytes | None, high: bytes | None
    ) -> None:
        self._leaves += 1
        page = self._open(data, pgno, is_root)
        if page is None:
            self.lose()
            return
        if not page.flags & _LEAF:
            self._report(Code.NOT_LEAF, pgno, -1, page.flags)
            self.lose()
            return
        if page.flags & _ABOVE:
            self._report(Code.LEAF_ABOVE, pgno, -1, page.flags)
        self._check_links(page)
        if page.node_count:
            self._check_nodes(page, low, high)
        elif not is_root:
            self._report(Code.EMPTY_LEAF, pgno)

    def _check_links(self, page: _Page) -> None:
        if self._chained and self._last_leaf and self._next != page.number:
            self._report(Code.NEXT, self._last_leaf, -1, self._next, page.number)
        if self._chained and page.previous != self._last_leaf:
            self._report(Code.PREVIOUS, page.number, -1, page.previous, self._last_leaf)
        self._last_leaf, self._next, self._chained = page.number, page.next, True

    def _bookmark(self, node: _Node) -> bytes:
        return node.key if self._unique else node.key + node.data

    def _check_nodes(self, page: _Page, low: bytes | None, high: bytes | None) -> None:
        """The order of the nodes, their place between two separators, each node's content."""
        before: _Node | None = None
        for i in range(page.node_count):
            node = self._leaf_node(page, i)
            if node is None:
                self.damaged = True
                return
            if before is not None and not self._is_above(node, before):
                self._report(Code.ORDER, page.number, i)
            if before is None and low is not None and low > self._bookmark(node):
                self._report(Code.BELOW, page.number, 0)
            self._nodes += 1
            self._versioned += node.flags & _VERSION
            if node.flags & _VERSION and self._kind & _SPACE:
                self._report(Code.SPACE_VERSION, page.number, i, node.flags)
            if node.flags & _DELETED:
                self._deleted += 1
            elif not self._take(page, node, (page.number, i)):
                self.damaged = True
            before = node
        if before is not None and high is not None and high <= self._bookmark(before):
            self._report(Code.ABOVE, page.number, page.node_count - 1)

    def _leaf_node(self, page: _Page, i: int) -> _Node | None:
        try:
            node = page.node(i, self._key_most)
            if not node.key:
                raise _Problem(Code.NO_KEY, i)
            if not node.data:
                raise _Problem(Code.NO_DATA, i)
        except _Problem as problem:
            self._report(problem.code, page.number, i)
            return None
        return node

    def _is_above(self, node: _Node, before: _Node) -> bool:
        if node.key != before.key or self._unique:
            return node.key > before.key
        return node.data > before.data

    def _take(self, page: _Page, node: _Node, place: Place) -> bool:
        content = self._content
        if isinstance(content, list):
            content.append((*place, node.key, node.data))
        elif isinstance(content, Rows):
            return content.take(node.key, node.data, not page.flags & _NEW_RECORD, place)
        elif isinstance(content, LongValues):
            return content.take(node.key, node.data, place)
        elif content is not None:
            content.take(node.key, node.data, place)
        return True
