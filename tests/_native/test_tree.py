"""Search in pages: the kernel against its reference and against the obvious."""

from __future__ import annotations

from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotsplit import _native
from hotsplit._native import tree_py
from hotsplit.ese.format.page import Node, Page, PageFlag

FORMS = [pytest.param(m, id=m.__name__) for m in dict.fromkeys((tree_py, _native.load("tree")))]
KEYS = st.binary(min_size=1, max_size=12)


def leaf(nodes: list[Node], prefix: bytes, size: int, flags: int = PageFlag.LEAF) -> bytearray:
    page = Page.new(size, 9, 5, 1, flags)
    page.fill(prefix, nodes)
    assert isinstance(page.data, bytearray)
    return page.data


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("size", [4096, 32768])
@given(
    nodes=st.dictionaries(KEYS, st.binary(min_size=1, max_size=9), max_size=25),
    prefix=KEYS,
    wanted=KEYS,
)
def test_the_first_node_not_below_is_found(
    form: ModuleType, size: int, nodes: dict[bytes, bytes], prefix: bytes, wanted: bytes
) -> None:
    ordered = sorted(nodes.items())
    page = leaf([Node(k, d) for k, d in ordered], prefix, size)
    for key in (wanted, *nodes):
        below = sum(k < key for k, _ in ordered)
        assert form.find(page, key, None) == (below, key in nodes)
    for i, (key, data) in enumerate(ordered):
        assert form.node(page, i)[:2] == (key, data)
    assert form.count(page) == len(ordered)
    part = form.nodes(page, len(ordered) // 3, len(ordered))
    assert [(key, data) for key, data, _ in part] == ordered[len(ordered) // 3 :]
    with pytest.raises(ValueError):
        form.node(page, len(ordered))


@pytest.mark.parametrize("form", FORMS)
def test_nodes_come_as_tuples_of_the_kind_that_is_wanted(form: ModuleType) -> None:
    class Odd(tuple[bytes, bytes, int]):
        """One with a dictionary."""

    page = leaf([Node(b"key", b"data"), Node(b"more", b"")], b"", 4096)
    plain, named = form.nodes(page, 0, 2), form.nodes(page, 0, 2, Node)
    assert {type(node) for node in plain} == {tuple}
    assert {type(node) for node in named} == {Node}
    assert named == plain == [Node(b"key", b"data"), Node(b"more", b"")]
    assert named[1].key == b"more"
    for wrong in (list, Odd):
        with pytest.raises(TypeError):
            form.nodes(page, 0, 2, wrong)


@pytest.mark.parametrize("form", FORMS)
@given(
    marks=st.sets(st.tuples(KEYS, st.binary(min_size=1, max_size=3)), max_size=25),
    wanted=st.tuples(KEYS, st.binary(max_size=3)),
)
def test_equal_keys_are_ordered_by_data(
    form: ModuleType, marks: set[tuple[bytes, bytes]], wanted: tuple[bytes, bytes]
) -> None:
    ordered = sorted(marks)
    page = leaf([Node(k, d) for k, d in ordered], b"\0\0\0", 4096)
    for mark in (wanted, *marks):
        assert form.find(page, *mark) == (sum(m < mark for m in ordered), mark in marks)


@pytest.mark.parametrize("form", FORMS)
@given(separators=st.sets(KEYS, max_size=20), wanted=KEYS)
def test_the_child_is_the_one_with_the_first_separator_above(
    form: ModuleType, separators: set[bytes], wanted: bytes
) -> None:
    ordered = [*sorted(separators), b""]
    nodes = [Node(k, (100 + i).to_bytes(4, "little")) for i, k in enumerate(ordered)]
    page = leaf(nodes, b"\0\0\0", 4096, 0)
    for mark in (wanted, *separators):
        place = sum(k <= mark for k in separators)
        assert form.child(page, mark) == (place, 100 + place)


@pytest.mark.parametrize("form", FORMS)
@given(prefix=KEYS, key=KEYS)
def test_a_prefix_is_shared_where_it_saves_bytes(
    form: ModuleType, prefix: bytes, key: bytes
) -> None:
    page = leaf([], prefix, 4096)
    line, _ = Page.encode(Node(key, b"x"), prefix)
    shared = form.shared(page, key)
    assert key[:shared] == prefix[:shared]
    assert len(line) == len(key) + 3 + (2 - shared if shared else 0)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("size", [4096, 32768])
@pytest.mark.parametrize("flags", [PageFlag.LEAF, PageFlag.LEAF | PageFlag.ROOT])
@given(
    nodes=st.lists(st.tuples(KEYS, st.binary(min_size=1, max_size=900), st.integers(0, 3))),
    prefix=st.binary(max_size=40),
)
def test_filling_a_page_gives_its_nodes_back(
    form: ModuleType, size: int, flags: int, nodes: list[tuple[bytes, bytes, int]], prefix: bytes
) -> None:
    page = leaf([Node(b"key", b"old")], b"\0" * 16, size, flags)
    before = bytes(page)
    compress = not flags & PageFlag.ROOT
    room = size - Page(page).header_size - 4 - len(prefix)
    try:
        form.fill(page, prefix, nodes, compress)
    except ValueError:
        assert sum(4 + 2 + len(k) + len(d) for k, d, _ in nodes) > room
        assert bytes(page) == before
        return
    filled = Page(page)
    assert filled.problem() is None or not nodes
    assert filled.external == prefix
    assert [(k, d, f & 3) for k, d, f in filled.nodes()] == nodes
    plain = Page.new(size, 9, 5, 1, flags)
    lines = [Page.encode(Node(*n), prefix if compress else b"") for n in nodes]
    assert filled.free == plain.free + 0 - len(prefix) - sum(4 + len(line) for line, _ in lines)


@pytest.mark.parametrize("form", FORMS)
@given(keys=st.lists(KEYS, max_size=9), prefix=KEYS)
def test_a_prefix_saves_what_a_page_with_it_has_more_room(
    form: ModuleType, keys: list[bytes], prefix: bytes
) -> None:
    nodes = [Node(key, b"data") for key in sorted(keys)]
    free = [Page(leaf(nodes, shared, 4096)).free for shared in (prefix, b"")]
    assert form.saved(keys, prefix) == free[0] + len(prefix) - free[1]
    with pytest.raises(TypeError):
        form.saved([1], prefix)
