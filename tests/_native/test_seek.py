"""Trees in memory: the kernel against its reference and against the obvious."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotsplit import _native
from hotsplit._native import redo_py
from hotsplit.ese.format.logrecord import decode
from hotsplit.ese.format.page import Node, Page, PageFlag
from hotsplit.ese.format.recordparts import insert_key
from hotsplit.ese.recovery.core import END

NATIVE = _native.load("redo")
FORMS = [pytest.param(m, id=m.__name__) for m in dict.fromkeys((redo_py, NATIVE))]
KEYS = st.binary(min_size=1, max_size=4)
SIZE, ROOT, FIRST_LEAF, DBTIME, RCEID, UNIQUE = 4096, 5, 20, 1000, 31, 4
Marks = list[tuple[bytes, bytes]]


class Tree:
    """A root and its leaves, of some nodes each. unique: keys alone are in order."""

    def __init__(self, marks: Marks, each: int, *, unique: bool, prefix: bytes = b"") -> None:
        self.unique = unique
        self.leaves = [marks[i : i + each] for i in range(0, len(marks), each)] or [[]]
        self.starts = [self.mark(*leaf[0]) for leaf in self.leaves[1:]]
        self.pages = {ROOT: Page.new(SIZE, ROOT, 6, DBTIME - 9, PageFlag.PARENT_OF_LEAF)}
        children = [(FIRST_LEAF + i).to_bytes(4, "little") for i in range(len(self.leaves))]
        self.pages[ROOT].fill(prefix, map(Node, [*self.starts, b""], children))
        for i, leaf in enumerate(self.leaves):
            page = Page.new(SIZE, FIRST_LEAF + i, 6, DBTIME - 5, PageFlag.LEAF)
            page.fill(prefix, [Node(*mark) for mark in leaf])
            self.pages[FIRST_LEAF + i] = page

    def mark(self, key: bytes, data: bytes) -> bytes:
        return key if self.unique else key + data

    def core(self, form: Any) -> Any:
        core = form.Core(SIZE)
        core.attach(1, 0, 0)
        for pgno, page in self.pages.items():
            core.load(1, pgno, bytes(page.data))
        return core

    def fields(self) -> tuple[int, ...]:
        return 5, 1, DBTIME, 12, 1, UNIQUE * self.unique, RCEID, ROOT, 6


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    """Trees of marks that stay in order when key and data are one."""
    unique = draw(st.booleans())
    keys = draw(st.sets(st.binary(min_size=3, max_size=3), max_size=30))
    marks = sorted((key, b"d") for key in keys)
    return Tree(marks, draw(st.integers(1, 9)), unique=unique, prefix=draw(KEYS))


NEW = st.lists(st.tuples(st.binary(min_size=3, max_size=3), st.sampled_from([b"d", b"e"])))


@pytest.mark.parametrize("form", FORMS)
@given(trees(), st.binary(min_size=3, max_size=3))
def test_a_place_is_found(form: Any, tree: Tree, wanted: bytes) -> None:
    core = tree.core(form)
    for key in {wanted, *(key for leaf in tree.leaves for key, _ in leaf)}:
        number = sum(start <= tree.mark(key, b"d") for start in tree.starts)
        leaf = tree.leaves[number]
        line = sum(mark < (key, b"d") for mark in leaf)
        found = core.descend(1, ROOT, key, None if tree.unique else b"d")
        assert found == (
            FIRST_LEAF + number, core.page(1, FIRST_LEAF + number), line, (key, b"d") in leaf
        )  # fmt: skip
        assert found[1] is core.page(1, found[0])


@given(trees(), NEW, st.integers(0, 2), st.sets(st.integers(0, 9)), st.booleans())
def test_kernel_and_reference_plan_the_same(
    tree: Tree, new: Marks, first: int, absent: set[int], in_order: bool
) -> None:
    marks = sorted(new) if in_order else new
    found = []
    for form in (NATIVE, redo_py):
        core = tree.core(form)
        for number in absent:
            core.forget(1, FIRST_LEAF + number, FIRST_LEAF + number)
        keys, datas = [key for key, _ in marks], [data for _, data in marks]
        found.append(core.plan(ROOT, keys, datas, first, tree.fields()))
    assert found[0] == found[1]


@pytest.mark.parametrize("form", FORMS)
@given(trees(), NEW)
def test_replayed_records_put_all_nodes_where_they_belong(
    form: Any, tree: Tree, new: Marks
) -> None:
    there = {tree.mark(*mark) for leaf in tree.leaves for mark in leaf}
    fresh = {tree.mark(*mark): mark for mark in new if tree.mark(*mark) not in there}
    marks = [fresh[mark] for mark in sorted(fresh)]
    core = tree.core(form)
    keys, datas = [key for key, _ in marks], [data for _, data in marks]
    log, ends, leaves = core.plan(ROOT, keys, datas, 0, tree.fields())
    assert len(ends) == len(marks)
    assert leaves == sorted(set(leaves))
    records = [decode(log, start) for start in (0, *ends[:-1])] if ends else []
    assert [(insert_key(r), r.rceid, r.dbtime) for r in records] == [
        (key, RCEID + 2 * i, DBTIME + i) for i, key in enumerate(keys)
    ]
    core.feed(bytes((8, 5, 0, 0x10)) + bytes(4) + log, 1 << 32, 0, False)  # Begin0 of session 5
    assert core.run() == END
    bounds = [b"", *tree.starts, b"\xff" * 9]
    for i, leaf in enumerate(tree.leaves):
        expected = leaf + [m for m in marks if bounds[i] <= tree.mark(*m) < bounds[i + 1]]
        page = Page(core.page(1, FIRST_LEAF + i), FIRST_LEAF + i)
        assert page.problem() is None
        assert [(n.key, n.data) for n in page.nodes()] == sorted(expected)


@pytest.mark.parametrize("form", FORMS)
def test_a_full_leaf_ends_a_plan(form: Any) -> None:
    tree = Tree([(b"b", b"x"), (b"m", b"x")], 1, unique=True)
    keys, datas = [b"a", b"c", b"d", b"z"], [bytes(1800)] * 4
    assert len(tree.core(form).plan(ROOT, keys, datas, 0, tree.fields())[1]) == 2
    assert tree.core(form).plan(ROOT, keys, datas, 3, tree.fields())[2] == [FIRST_LEAF + 1]


@pytest.mark.parametrize("form", FORMS)
def test_many_nodes_take_several_plans(form: Any) -> None:
    tree = Tree([(b"m", b"")], 1, unique=True)
    core = form.Core(32768)
    page = Page.new(32768, ROOT, 6, DBTIME - 1, PageFlag.LEAF)
    core.load(1, ROOT, bytes(page.data))
    keys = [n.to_bytes(2, "big") for n in range(700)]
    _, ends, leaves = core.plan(ROOT, keys, [b""] * 700, 100, tree.fields())
    assert 0 < len(ends) < 600
    assert leaves == [ROOT]


def test_damaged_trees_are_taken_alike() -> None:
    chance = random.Random(5)
    marks = [(bytes((n, n)), bytes(9)) for n in range(5, 250, 2)]
    tree = Tree(marks, 25, unique=True, prefix=b"\x09\x09")
    keys = [bytes((n, n, 0)) for n in range(0, 256, 3)]
    what = ROOT, keys, [b"data"] * len(keys), 0, tree.fields()
    taken = set()
    for _ in range(400):
        cores = [tree.core(form) for form in (NATIVE, redo_py)]
        for pgno in chance.sample(sorted(tree.pages), 2):
            for _ in range(chance.randrange(1, 3)):
                at = chance.choice((chance.randrange(28, 60), SIZE - chance.randrange(1, 200)))
                value = chance.randrange(256)
                for core in cores:
                    core.page(1, pgno)[at] = value
        one, other = (core.plan(*what) for core in cores)
        assert one == other
        taken.add(len(one[2]))
        for key in keys[::7]:
            one, other = (core.descend(1, ROOT, key, None) for core in cores)
            assert one == other
    assert len(taken) > 3


@pytest.mark.parametrize("form", FORMS)
def test_a_way_in_a_circle_leads_nowhere(form: Any) -> None:
    core = form.Core(SIZE)
    page = Page.new(SIZE, ROOT, 6, DBTIME, PageFlag(0))
    page.fill(b"", [Node(b"", ROOT.to_bytes(4, "little"))])
    core.load(1, ROOT, bytes(page.data))
    assert core.descend(1, ROOT, b"k", None) is None
    assert core.plan(ROOT, [b"k"], [b""], 0, Tree([], 1, unique=True).fields()) == (b"", [], [])


@pytest.mark.parametrize("form", FORMS)
def test_two_children_of_one_leaf_are_planned_once(form: Any) -> None:
    tree = Tree([(b"b", b""), (b"m", b"")], 1, unique=True)
    leaf = FIRST_LEAF.to_bytes(4, "little")
    tree.pages[ROOT].fill(b"", [Node(b"m", leaf), Node(b"", leaf)])
    log, ends, leaves = tree.core(form).plan(ROOT, [b"a", b"z"], [b"", b""], 0, tree.fields())
    assert (len(ends), leaves) == (1, [FIRST_LEAF])
    core = tree.core(form)
    assert core.plan(ROOT, [b"a"], [b""], 0, tree.fields()) == (log, ends, leaves)
    assert core.plan(ROOT, [b"a"], [b""], 0, tree.fields()) == (log, ends, leaves)
