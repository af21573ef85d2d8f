"""Trees written bottom-up: every node once and in order, by the rules of the format."""

from __future__ import annotations

from itertools import count, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotsplit.errors import DataDamaged
from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.format.header import DatabaseHeader
from hotsplit.ese.format.page import Node, Page, PageFlag, common_prefix
from hotsplit.ese.rebuild.pack import PageBuilder, shared_size
from hotsplit.ese.rebuild.sorting import EntrySorter
from hotsplit.ese.rebuild.treewriter import TreeWriter
from hotsplit.ese.rebuild.walk import TreeName, TreeWalk, linked_leaves

SIZES = (2048, 4096, 32768)
ROOT, OBJID = 4, 77
TREE = TreeName(ROOT, OBJID, "a tree")


class Pages:
    """Pages in memory, as target and as source."""

    def __init__(self, size: int) -> None:
        self.page_size = size
        self.header = DatabaseHeader.empty(size)
        self.kept: dict[int, bytes] = {}

    def write(self, page: Page) -> None:
        assert page.number not in self.kept
        self.kept[page.number] = bytes(page.data)

    def read_page(self, pgno: int, /) -> bytes:
        return self.kept[pgno]


def written(size: int, nodes: list[Node], kind: int = 0) -> Pages:
    pages, numbers = Pages(size), count(ROOT + 1)
    writer = TreeWriter(pages, lambda: next(numbers), OBJID, kind, name="a tree", external=16)
    for key, data, _ in nodes:
        writer.add(key, data)
    content = writer.finish()
    root = Page.new(size, ROOT, OBJID, 0, content.flags)
    root.fill(bytes(16), content.nodes)
    pages.write(root)
    assert content.pages == len(pages.kept)
    return pages


def leaves_below(pages: Pages, pgno: int, depth: int, depths: set[int]) -> list[bytes]:
    """Check separators (format 4.2) below a page; return its bookmarks."""
    page = Page(pages.read_page(pgno), pgno)
    assert page.problem() is None
    unique = not page.flags & PageFlag.NON_UNIQUE
    nodes = page.nodes()
    if page.is_leaf:
        depths.add(depth)
        return [n.key if unique else n.key + n.data for n in nodes]
    found: list[bytes] = []
    low = b""
    for node in nodes:
        child = int.from_bytes(node.data, "little")
        below = leaves_below(pages, child, depth + 1, depths)
        is_leaf = Page(pages.read_page(child)).is_leaf
        assert is_leaf == bool(page.flags & PageFlag.PARENT_OF_LEAF)
        if not is_leaf:
            assert Page(pages.read_page(child)).nodes()[-1].key == node.key
        assert all(b >= low and (not node.key or b < node.key) for b in below)
        low = node.key
        found += below
    return found


byte_strings = st.binary(min_size=1, max_size=60)


@given(
    size=st.sampled_from(SIZES),
    keys=st.lists(byte_strings, unique=True, max_size=400),
    prefix=st.binary(max_size=40),
    length=st.integers(1, 300),
)
@settings(max_examples=60, deadline=None)
def test_a_unique_tree(size: int, keys: list[bytes], prefix: bytes, length: int) -> None:
    nodes = [Node(prefix + k, bytes([k[0]]) * (1 + (k[-1] * length >> 8))) for k in sorted(keys)]
    check(size, nodes, 0)


@given(
    size=st.sampled_from(SIZES),
    entries=st.sets(st.tuples(st.binary(min_size=6, max_size=6), st.binary(min_size=5, max_size=5)),
                    max_size=500),
)  # fmt: skip
@settings(max_examples=40, deadline=None)
def test_an_index_with_equal_keys(size: int, entries: set[tuple[bytes, bytes]]) -> None:
    nodes = [Node(key[:4], data) for key, data in sorted(entries, key=lambda e: (e[0][:4], e[1]))]
    nodes = [b for a, b in pairwise([Node(b"", b""), *nodes]) if a != b]
    check(size, nodes, int(PageFlag.INDEX | PageFlag.NON_UNIQUE))


def check(size: int, nodes: list[Node], kind: int) -> None:
    pages = written(size, nodes, kind)
    depths: set[int] = set()
    leaves_below(pages, ROOT, 0, depths)
    assert len(depths) == 1
    walk = TreeWalk(pages, TREE)
    found = [n for page in linked_leaves(walk, TREE) for n in page.nodes()]
    assert [(n.key, n.data) for n in found] == [(n.key, n.data) for n in nodes]
    assert all(pgno in walk.visited for pgno in pages.kept)


def test_a_deep_tree_is_packed_and_keeps_a_little_room() -> None:
    nodes = [Node(n.to_bytes(60, "big"), b"x" * 8) for n in range(20_000)]
    check(2048, nodes, 0)
    pages = written(2048, nodes)
    free = [Page(data).free for data in pages.kept.values() if Page(data).is_leaf]
    assert all(2048 // 32 <= one < 2048 // 32 + 200 for one in free[:-1])


def test_what_is_out_of_order_or_too_large_is_refused() -> None:
    for wrong in ([Node(b"b", b""), Node(b"a", b"")], [Node(b"a", b"1"), Node(b"a", b"2")]):
        with pytest.raises(DataDamaged):
            written(4096, wrong)
    with pytest.raises(DataDamaged):
        written(4096, [Node(b"a", bytes(4096))])


@given(first=st.binary(max_size=30), second=st.binary(max_size=30), room=st.integers(8, 200))
def test_accounting_is_that_of_the_page(first: bytes, second: bytes, room: int) -> None:
    keys = sorted({b"k" + first, b"k" + first + second})
    builder = PageBuilder(2048 - 40, 2008 - room)
    taken = [builder.add(key, b"data") for key in keys]
    page = Page.new(2048, 1, 1, 0, int(PageFlag.LEAF))
    page.fill(builder.prefix, builder.nodes)
    assert 2048 - 40 - page.free == builder._used
    assert taken[0]
    assert shared_size(builder.prefix, keys[0]) == len(builder.prefix)
    assert len(builder.prefix) in (0, common_prefix(keys[0], keys[-1]))


@given(entries=st.lists(st.tuples(st.binary(max_size=9), st.binary(max_size=9)), max_size=200))
@settings(max_examples=30, deadline=None)
def test_sorting_with_runs_in_a_file(
    tmp_path_factory: pytest.TempPathFactory, entries: list[tuple[bytes, bytes]]
) -> None:
    folder = tmp_path_factory.mktemp("sort")
    sorter = EntrySorter(OsEnv(), str(folder / "runs"), run=16)
    found = list(sorter.sorted(Node(*entry) for entry in entries))
    assert [(n.key, n.data) for n in found] == sorted(entries)
    assert list(folder.iterdir()) == []
