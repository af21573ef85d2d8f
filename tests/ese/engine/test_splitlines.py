"""Lines of a page with a change, and where a split divides them: against the obvious."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from hotsplit.ese.engine.trees.splitlines import best_prefix, fits, point, room, used
from hotsplit.ese.format.page import Lines, Node, Page, PageFlag

SIZE = 4096
KEYS = st.binary(min_size=1, max_size=8) | st.binary(max_size=8).map(lambda key: b"prefix" + key)
NODES = st.lists(
    st.builds(Node, KEYS, st.integers(0, 700).map(bytes), st.integers(0, 3)), max_size=12
)


@st.composite
def changed(draw: st.DrawFn) -> tuple[Lines, list[Node]]:
    """A page with a change, and the list of nodes that this stands for."""
    nodes = sorted(draw(NODES))
    while used(nodes, b"") > room(SIZE):
        nodes.pop()
    page = Page.new(SIZE, 9, 5, 1, PageFlag.LEAF)
    page.fill(b"", nodes)
    how = draw(st.sampled_from(["none", "insert", "replace"]))
    if how == "none" or (how == "replace" and not nodes):
        return Lines(page), nodes
    data = draw(st.integers(0, 3000).map(bytes))
    if how == "replace":
        at = draw(st.integers(0, len(nodes) - 1))
        node = Node(nodes[at].key, data)
    else:
        node = Node(draw(KEYS), data)
        at = sum(one < node for one in nodes)
    expected = list(nodes)
    expected[at : at + (how == "replace")] = [node]
    return Lines(page, at, node, replaces=how == "replace"), expected


@given(changed(), KEYS, st.tuples(st.integers(0, 13), st.integers(0, 13)))
def test_lines_are_those_of_a_list(
    what: tuple[Lines, list[Node]], prefix: bytes, part: tuple[int, int]
) -> None:
    lines, expected = what
    assert len(lines) == len(expected)
    assert list(lines) == expected
    assert [lines[i] for i in range(len(lines))] == expected
    assert lines.costs() == [used([node], b"") for node in expected]
    first, last = sorted(min(end, len(expected)) for end in part)
    nodes = expected[first:last]
    assert lines.saved(first, last, prefix) == used(nodes, b"") - used(nodes, prefix) + len(prefix)
    one, other = (Page.new(SIZE, 8, 5, 1, PageFlag.LEAF) for _ in range(2))
    if fits(SIZE, lines):
        line = best_prefix(lines, first, last)
        best = b"" if line < 0 else nodes[line].key
        one.fill_from(best, lines, first, last)
        other.fill(best, nodes)
        assert one.data == other.data
        assert used(nodes, best) <= used(nodes, b"")


@given(changed(), st.data())
def test_a_split_divides_in_the_middle_where_it_can(
    what: tuple[Lines, list[Node]], data: st.DataObject
) -> None:
    lines, expected = what
    if len(expected) < 2:
        return
    kept = data.draw(st.lists(st.integers(0, 50), min_size=len(lines), max_size=len(lines)))
    costs = [used([node], b"") + more for node, more in zip(expected, kept, strict=True)]
    total = sum(costs)

    def distance(cut: int) -> int:
        return abs(2 * sum(costs[:cut]) - total)

    def divides(cut: int) -> bool:
        return all(
            used(part, part[len(part) // 2].key if better else b"") + more <= room(SIZE)
            for part, more, better in (
                (expected[:cut], sum(kept[:cut]), _saves(expected[:cut])),
                (expected[cut:], sum(kept[cut:]), _saves(expected[cut:])),
            )
        )

    best = min(range(1, len(expected)), key=distance)
    cut = point(SIZE, lines, kept, lines.at)
    if divides(best):
        assert cut == best
    elif cut:
        assert cut in (lines.at, lines.at + 1)
        assert divides(cut)
    else:
        beside = [at for at in (lines.at, lines.at + 1) if 0 < at < len(expected)]
        assert not any(map(divides, beside))


def _saves(nodes: list[Node]) -> bool:
    """Tell whether the key of the middle one is worth being the prefix of a page of these."""
    return len(nodes) > 1 and used(nodes, nodes[len(nodes) // 2].key) < used(nodes, b"")


@given(
    st.lists(
        st.tuples(st.integers(0, 250), st.integers(0, 255), st.integers(1, 150)),
        min_size=2,
        max_size=6,
    ),
    st.integers(0, 255),
    st.randoms(use_true_random=False),
)
def test_what_a_page_holds_can_be_divided_anywhere(
    groups: list[tuple[int, int, int]], length: int, rng: random.Random
) -> None:
    """Also where the page holds so much only thanks to its prefix, which may be no key any more."""
    prefix = b"p" * length
    keys = {b"p" * same + bytes([to, n]) for same, to, count in groups for n in range(count)}
    nodes = [Node(key, b"") for key in sorted(keys)]
    while used(nodes, prefix) > room(SIZE):
        del nodes[rng.randrange(len(nodes))]
    page = Page.new(SIZE, 9, 5, 1, PageFlag.LEAF)
    page.fill(prefix, nodes)
    lines = Lines(page)
    for cut in rng.sample(range(1, len(nodes)), min(len(nodes) - 1, 10)):
        for first, last in (0, cut), (cut, len(nodes)):
            line = best_prefix(lines, first, last)
            best = b"" if line < 0 else nodes[first + line].key
            Page.new(SIZE, 8, 5, 1, PageFlag.LEAF).fill_from(best, lines, first, last)
