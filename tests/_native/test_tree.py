"""Search in pages: the kernel against its reference and against the obvious."""

from __future__ import annotations

import random
from collections.abc import Callable
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


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("size", [4096, 32768])
@given(
    nodes=st.lists(st.tuples(KEYS, st.binary(max_size=9), st.integers(0, 3)), max_size=20),
    prefixes=st.tuples(KEYS, KEYS),
    new=st.none() | st.tuples(KEYS, st.binary(max_size=3000), st.integers(0, 3)),
    places=st.tuples(st.integers(0, 20), st.integers(0, 21), st.integers(0, 21)),
    replaces=st.booleans(),
    in_place=st.booleans(),
)
def test_a_page_is_filled_from_another_one(
    form: ModuleType,
    size: int,
    nodes: list[tuple[bytes, bytes, int]],
    prefixes: tuple[bytes, bytes],
    new: tuple[bytes, bytes, int] | None,
    places: tuple[int, int, int],
    replaces: bool,
    in_place: bool,
) -> None:
    source = leaf([Node(*node) for node in nodes], prefixes[0], size)
    page = source if in_place else leaf([Node(b"key", b"old")], b"\0", size)
    before = bytes(page)
    at, first, last = places
    at = min(at, len(nodes) - replaces)
    if at < 0:
        new = None
    lines = list(nodes)
    if new is not None:
        lines[at : at + replaces] = [new]
    expected, fits = bytearray(page), True
    try:
        tree_py.fill(expected, prefixes[1], lines[first:last], True)
    except ValueError:
        fits = False
    if last > len(lines) and first < last:  # lines that are not there
        fits = False
    try:
        form.fill_from(page, prefixes[1], source, first, last, max(at, 0), new, replaces, True)
    except ValueError:
        assert not fits
        assert bytes(page) == before
        return
    assert fits
    assert page == expected


@pytest.mark.parametrize("form", FORMS)
@given(
    nodes=st.dictionaries(KEYS, st.binary(max_size=9), max_size=25),
    prefixes=st.tuples(KEYS, st.binary(max_size=12)),
    part=st.tuples(st.integers(0, 25), st.integers(0, 25)),
)
def test_what_nodes_take_and_save(
    form: ModuleType,
    nodes: dict[bytes, bytes],
    prefixes: tuple[bytes, bytes],
    part: tuple[int, int],
) -> None:
    ordered = sorted(nodes.items())
    page = leaf([Node(key, data) for key, data in ordered], prefixes[0], 4096)
    plain = leaf([Node(key, data) for key, data in ordered], b"", 4096)
    assert sum(form.costs(page)) == Page(leaf([], b"", 4096)).free - Page(plain).free
    assert form.costs(page) == [6 + len(key) + len(data) for key, data in ordered]
    first, last = min(part[0], len(ordered)), min(part[1], len(ordered))
    keys = [key for key, _ in ordered[first:last]]
    assert form.saved_on(page, first, last, prefixes[1]) == form.saved(keys, prefixes[1])


def test_damaged_pages_are_read_alike_as_sources() -> None:
    native, chance = _native.load("tree"), random.Random(9)
    whole = leaf([Node(bytes((n,)) * 4, bytes(20)) for n in range(1, 60)], b"\x05\x05\x05", 4096)
    results = set()
    for _ in range(400):
        page = bytearray(whole)
        for _ in range(chance.randrange(1, 4)):
            place = chance.choice((chance.randrange(28, 40), 4096 - chance.randrange(1, 240)))
            page[place] = chance.randrange(256)
        first, last = chance.randrange(30), chance.randrange(30, 64)
        found = []
        for form in (native, tree_py):
            target = bytearray(whole)
            what = first, last, 12, (b"new", b"", 1), False
            found.append(
                [
                    _outcome(form.fill_from, target, b"\x05\x05\x05\x05", page, *what, True),
                    bytes(target),
                    _outcome(form.costs, page),
                    _outcome(form.saved_on, page, first, last, b"\x05\x05\x05"),
                ]
            )
        assert found[0] == found[1]
        results.add(found[0][0] == "damaged")
    assert results == {True, False}


def _outcome(call: Callable[..., object], *what: object) -> object:
    try:
        return call(*what)
    except ValueError:
        return "damaged"
