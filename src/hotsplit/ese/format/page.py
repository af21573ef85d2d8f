"""A database page: header fields, lines, nodes, and every way to change them.

Source: format specification 2 (pages) and 3 (nodes). A `Page` wraps a buffer and changes it in
place; checksums are another matter (`hotsplit.ese.format.checksum`).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from enum import IntFlag
from typing import NamedTuple

from hotsplit import _native
from hotsplit.errors import Jet, PageDamaged

_kernel = _native.load("page")
_tree = _native.load("tree")

_U16, _U32, _U64 = struct.Struct("<H"), struct.Struct("<I"), struct.Struct("<Q")
_COST = 6  # bytes of a node beside its key and data: tag and lengths
_LENGTHS = 2  # bytes of a node in front of its key, at least
_PREFIX_WORTH = 2  # a shared prefix must be longer than its own length field


class PageFlag(IntFlag):
    """Page flags (2.2)."""

    ROOT = 0x1
    LEAF = 0x2
    PARENT_OF_LEAF = 0x4
    EMPTY = 0x8
    REPAIR = 0x10
    SPACE_TREE = 0x20
    INDEX = 0x40
    LONG_VALUE = 0x80
    NON_UNIQUE = 0x400
    NEW_RECORD = 0x800
    NEW_CHECKSUM = 0x2000
    SCRUBBED = 0x4000
    FLUSH_TYPE = 0x18000
    PRE_INIT = 0x20000
    FDP_DELETE = 0x40000


# Plain numbers: an operation on members of a Flag takes ten times as long.
_ROOT, _LEAF, _SPACE = int(PageFlag.ROOT), int(PageFlag.LEAF), int(PageFlag.SPACE_TREE)
_ROOT_OR_SPACE, _FLUSH_TYPE = _ROOT | _SPACE, int(PageFlag.FLUSH_TYPE)


class NodeFlag(IntFlag):
    """Node flags (2.4)."""

    VERSION = 1
    DELETED = 2
    COMPRESSED = 4


_DELETED, _COMPRESSED = int(NodeFlag.DELETED), int(NodeFlag.COMPRESSED)


class Node(NamedTuple):
    """One node: full key, data, flags."""

    key: bytes
    data: bytes
    flags: int = 0

    @property
    def is_deleted(self) -> bool:
        """True for a node that a reader must ignore."""
        return bool(self.flags & _DELETED)


def common_prefix(a: bytes, b: bytes) -> int:
    """Return the number of leading bytes that are equal."""
    limit = min(len(a), len(b))
    different = int.from_bytes(a[:limit], "big") ^ int.from_bytes(b[:limit], "big")
    return limit - (different.bit_length() + 7) // 8


class _HeaderField:
    """A number in the page header, read and written in place."""

    def __init__(self, offset: int, packer: struct.Struct) -> None:
        self._offset, self._packer = offset, packer

    def __get__(self, page: Page, owner: type) -> int:
        value: int = self._packer.unpack_from(page.data, self._offset)[0]
        return value

    def __set__(self, page: Page, value: int) -> None:
        self._packer.pack_into(page.data, self._offset, value)


class Page:
    """One page of 2048 to 32768 bytes. Methods that find it damaged raise PageDamaged (-357/-358).

    `data` is wrapped, not copied, if it is writable; bytes are copied.
    """

    __slots__ = ("data", "header_size", "number", "size")

    def __init__(self, data: bytes | bytearray | memoryview, number: int = 0) -> None:
        self.data = bytearray(data) if isinstance(data, bytes) else data
        self.size = len(data)
        self.number = number
        self.header_size: int = _kernel.header_size(self.size)

    dbtime = _HeaderField(8, _U64)
    previous = _HeaderField(16, _U32)
    next = _HeaderField(20, _U32)
    objid = _HeaderField(24, _U32)
    free = _HeaderField(28, _U16)
    uncommitted_free = _HeaderField(30, _U16)
    mic_free = _HeaderField(32, _U16)
    _tag_state = _HeaderField(34, _U16)
    flags = _HeaderField(36, _U32)

    @classmethod
    def new(cls, size: int, number: int, objid: int, dbtime: int, flags: int) -> Page:
        """Return an empty page with an empty external header."""
        page = cls(bytes(size), number)
        page.format(objid, dbtime, flags)
        return page

    def format(self, objid: int, dbtime: int, flags: int) -> None:
        """Make the page empty, with an empty external header; the flush type is kept."""
        kept = self.flags & _FLUSH_TYPE
        self.data[:] = bytes(self.size)
        self.dbtime, self.objid, self.flags = dbtime, objid, flags | kept
        if self.header_size > 40:
            _U32.pack_into(self.data, 64, self.number)
        self.fill(b"", ())

    # What the header says

    @property
    def tag_count(self) -> int:
        """Number of lines, the external header included."""
        return self._tag_state & 0xFFF

    @property
    def reserved_tags(self) -> int:
        """Number of lines in front of the first node, 1 in every known file."""
        return max(1, self._tag_state >> 12 & 7)

    @property
    def node_count(self) -> int:
        """Number of nodes."""
        return max(0, self.tag_count - self.reserved_tags)

    @property
    def is_root(self) -> bool:
        """True on the root page of a tree."""
        return bool(self.flags & _ROOT)

    @property
    def is_leaf(self) -> bool:
        """True when nodes hold data, false when they point to child pages."""
        return bool(self.flags & _LEAF)

    @property
    def external(self) -> bytes:
        """The external header: space header of a root, key prefix of any other page."""
        return self.line(0)[0] if self.tag_count else b""

    @property
    def prefix(self) -> bytes:
        """The key prefix that nodes of this page can share."""
        flags = self.flags
        if not flags & _ROOT:
            return self.external
        return self.external[16:] if flags & _SPACE else b""

    # Reading nodes

    def _damaged(self, why: str, jet: Jet = Jet.errPageTagCorrupted) -> PageDamaged:
        return PageDamaged(why, jet=jet, position=f"page {self.number}")

    def line(self, line: int) -> tuple[bytes, int]:
        """Return the bytes of a line, flag bits cleared, and its flags."""
        try:
            start, length, flags = _kernel.locate(self.data, line)
        except ValueError as error:
            raise self._damaged(str(error)) from error
        data = bytes(self.data[start : start + length])
        if self.header_size > 40 and line and length >= 2:
            data = bytes((data[0], data[1] & 0x1F)) + data[2:]
        return data, flags

    def node(self, i: int) -> Node:
        """Return node `i`, the first being 0."""
        line, flags = self.line(i + self.reserved_tags)
        return self._decode(line, flags, self.prefix)

    def nodes(self) -> list[Node]:
        """Return all nodes in order."""
        try:
            nodes: list[Node] = _tree.nodes(self.data, 0, self.node_count, Node)
        except ValueError as error:
            raise self._damaged(str(error), Jet.errNodeCorrupted) from error
        return nodes

    def child_for(self, key: bytes) -> tuple[int, int]:
        """Return the number of the node below which `key` belongs and the page it points to."""
        try:
            i, pgno = _tree.child(self.data, key)
        except ValueError as error:
            raise self._damaged(str(error), Jet.errNodeCorrupted) from error
        return i, pgno

    def _decode(self, line: bytes, flags: int, prefix: bytes) -> Node:
        at = shared = 0
        if flags & _COMPRESSED:
            at = 2
            shared = int.from_bytes(line[:2], "little") & 0x1FFF
        start = at + 2
        end = start + (int.from_bytes(line[at:start], "little") & 0x1FFF)
        if len(line) < start or end > len(line) or shared > len(prefix):
            raise self._damaged("a node does not fit its line", Jet.errNodeCorrupted)
        return Node(prefix[:shared] + line[start:end], line[end:], flags)

    def problem(self) -> str | None:
        """Return why the structure of the page does not hold together (2.6), or None."""
        flags = self.flags
        if not self.tag_count and not flags & (PageFlag.EMPTY | PageFlag.PRE_INIT):
            return "no external header"
        if flags & PageFlag.INDEX and flags & PageFlag.LONG_VALUE:
            return "both an index and a long-value page"
        try:
            _kernel.check(self.data)
            for node in self.nodes():
                if not flags & _LEAF and len(node.data) != 4:
                    return "a child pointer is not 4 bytes long"
        except (ValueError, PageDamaged) as error:
            return str(error)
        return None

    # Changing nodes

    def _change(self, call: str, *args: object) -> None:
        try:
            getattr(_kernel, call)(self.data, *args)
        except ValueError as error:
            raise self._damaged(str(error)) from error

    def insert(self, i: int, key: bytes, data: bytes, flags: int = 0, shared: int = -1) -> None:
        """Insert a node as number `i`.

        shared: how many key bytes the page prefix stands for; -1 chooses as the engine does.
        """
        line, flags = self.encode(Node(key, data, flags), self.prefix, shared)
        self._change("insert", i + self.reserved_tags, line, flags)

    def delete(self, i: int) -> None:
        """Remove node `i`."""
        self._change("delete", i + self.reserved_tags)

    def replace_data(self, i: int, data: bytes, flags: int) -> None:
        """Give node `i` new data; its key stays encoded as it is."""
        line, old = self.line(i + self.reserved_tags)
        at = 4 if old & _COMPRESSED else 2
        key_end = at + (int.from_bytes(line[at - 2 : at], "little") & 0x1FFF)
        flags = flags & ~_COMPRESSED | old & _COMPRESSED
        self._change("replace", i + self.reserved_tags, line[:key_end] + data, flags)

    def overwrite_data(self, i: int, data: bytes) -> None:
        """Give node `i` new data of the same length; its key and flags stay."""
        try:
            start, length, _ = _kernel.locate(self.data, i + self.reserved_tags)
        except ValueError as error:
            raise self._damaged(str(error)) from error
        end = start + length
        if length < _LENGTHS + len(data):
            raise self._damaged("a node does not fit its line", Jet.errNodeCorrupted)
        self.data[end - len(data) : end] = data

    def replace_node(self, i: int, node: Node) -> None:
        """Give node `i` a new key, data and flags."""
        line, flags = self.encode(node, self.prefix)
        self._change("replace", i + self.reserved_tags, line, flags)

    def set_node_flags(self, i: int, flags: int) -> None:
        """Set the version and deleted flags of node `i`."""
        line = i + self.reserved_tags
        compressed = self.line(line)[1] & _COMPRESSED
        self._change("set_flags", line, flags & ~_COMPRESSED | compressed)

    def set_external(self, data: bytes) -> None:
        """Replace the external header. On a page with prefix nodes, use `fill`."""
        self._change("replace" if self.tag_count else "insert", 0, data, 0)

    def fill(self, external: bytes, nodes: Iterable[Node]) -> None:
        """Write all content anew: external header and nodes, keys compressed against it."""
        has_prefix = self.flags & _ROOT_OR_SPACE != _ROOT
        try:
            _tree.fill(self.data, external, nodes, has_prefix)
        except ValueError as error:
            raise self._damaged(str(error)) from error

    def fill_from(self, external: bytes, source: Lines, first: int, last: int) -> None:
        """Write all content anew: external header and some lines of a page, which may be this."""
        has_prefix = self.flags & _ROOT_OR_SPACE != _ROOT
        data, at, node, replaces = source.page.data, source.at, source.node, source.replaces
        try:
            _tree.fill_from(self.data, external, data, first, last, at, node, replaces, has_prefix)
        except ValueError as error:
            raise self._damaged(str(error)) from error

    @staticmethod
    def encode(node: Node, prefix: bytes, shared: int = -1) -> tuple[bytes, int]:
        """Return the line and flags of a node on a page with this prefix (3.2)."""
        key, data, flags = node
        if shared < 0:
            shared = common_prefix(key, prefix)
            if shared <= _PREFIX_WORTH:
                shared = 0
        if not shared:
            return _U16.pack(len(key)) + key + data, flags & ~_COMPRESSED
        head = _U16.pack(shared) + _U16.pack(len(key) - shared)
        return head + key[shared:] + data, flags | _COMPRESSED


class Lines:
    """The nodes of a page, with one change: `node` comes in as number `at`, or replaces that one.

    They stay where they are: a page may have hundreds.
    """

    def __init__(
        self, page: Page, at: int = 0, node: Node | None = None, *, replaces: bool = False
    ) -> None:
        self.page, self.at, self.node, self.replaces = page, at, node, replaces
        self._more = node is not None and not replaces

    def __len__(self) -> int:
        return self.page.node_count + self._more

    def __getitem__(self, i: int) -> Node:
        if self.node is not None and i == self.at:
            return self.node
        return self.page.node(self._place(i))

    def __iter__(self) -> Iterator[Node]:
        nodes = self.page.nodes()
        if self.node is not None:
            nodes[self.at : self.at + self.replaces] = [self.node]
        return iter(nodes)

    def _place(self, i: int) -> int:
        return i - (self._more and i > self.at)

    def costs(self) -> list[int]:
        """Return the bytes that each takes with its whole key, tag included."""
        costs: list[int] = _tree.costs(self.page.data)
        if self.node is not None:
            costs[self.at : self.at + self.replaces] = [
                _COST + len(self.node.key) + len(self.node.data)
            ]
        return costs

    def saved(self, first: int, last: int, prefix: bytes) -> int:
        """Return the bytes that keys of `first` to `last` - 1 take less with a prefix.

        The change keeps the key of a node that it replaces.
        """
        saved: int = _tree.saved_on(self.page.data, self._place(first), self._place(last), prefix)
        if self._more and self.node is not None and first <= self.at < last:
            saved += _tree.saved([self.node.key], prefix)
        return saved
