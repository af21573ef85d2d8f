"""The map of pages against a plain one that keeps every page by itself."""

from __future__ import annotations

import tracemalloc

from hypothesis import given, settings
from hypothesis import strategies as st

from hotsplit.ese.check.pagemap import NOBODY, PageMap, Trouble, Use

LAST = 3 * 4096 + 100


class Plain:
    """Owner and use of each page in a dict."""

    def __init__(self) -> None:
        self.owners = dict.fromkeys(range(1, LAST + 1), NOBODY)
        self.uses = dict.fromkeys(range(1, LAST + 1), Use.NONE)
        self.contested: set[int] = set()

    def odd(self, first: int, length: int, owner: int) -> list[int]:
        """Pages with another owner or a use."""
        pages = range(first, first + length)
        return [p for p in pages if self.owners[p] != owner or self.uses[p] or p in self.contested]

    def claim(self, first: int, length: int, parent: int, child: int) -> set[int]:
        new = set(self.odd(first, length, parent)) - self.contested
        for page in range(first, first + length):
            self.owners[page] = child
        for page in new:
            self.uses[page] = Use.NONE
        self.contested |= new
        return new

    def reserve(self, first: int, length: int, owner: int, use: Use) -> set[int]:
        odd = set(self.odd(first, length, owner))
        for page in set(range(first, first + length)) - odd:
            self.uses[page] = use
        return odd - self.contested

    def visit(self, first: int, length: int, owner: int) -> set[int]:
        odd = self.odd(first, length, owner)
        met = {p for p in odd if self.uses[p] == Use.TREE}
        for page in range(first, first + length):
            self.uses[page] = Use.TREE
        return met | (set(odd) - self.contested)


def pages_of(troubles: list[Trouble]) -> set[int]:
    pages = [page for t in troubles for page in range(t.page, t.last + 1)]
    assert len(pages) == len(set(pages))
    return set(pages)


spans = st.one_of(
    st.tuples(st.integers(1, 60), st.integers(1, 40)),
    st.tuples(st.integers(4080, 4110), st.integers(1, 40)),
    st.tuples(st.integers(1, 9000), st.integers(1, LAST - 9000)),
)
owners = st.integers(1, 3)
steps = st.one_of(
    st.tuples(st.just("claim"), spans, st.integers(0, 3), owners),
    st.tuples(st.just("reserve"), spans, owners, st.sampled_from([Use.AVAILABLE, Use.SPLIT])),
    st.tuples(st.just("visit"), spans, owners, st.none()),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(steps, max_size=12))
def test_runs_of_pages_are_told_as_single_pages_would_be(
    work: list[tuple[str, tuple[int, int], int, int | None]],
) -> None:
    pages, plain = PageMap(LAST), Plain()
    for name, (first, length), owner, more in work:
        args = (first, length, owner) if more is None else (first, length, owner, more)
        troubles = getattr(pages, name)(*args)
        assert pages_of(troubles) == getattr(plain, name)(*args)
    found = {
        (page, owner)
        for start, length, owner in pages.unused(LAST)
        for page in range(start, start + length)
    }
    assert found == {
        (page, owner)
        for page, owner in plain.owners.items()
        if owner and not plain.uses[page] and page not in plain.contested
    }


def test_long_runs_take_no_memory_and_no_time() -> None:
    last = (1 << 38) // 4096
    tracemalloc.start()
    pages = PageMap(last)
    assert pages.claim(1, last, NOBODY, 1) == []
    assert pages.claim(1000, last - 2000, 1, 8) == []
    assert pages.reserve(5000, last - 10_000, 8, Use.AVAILABLE) == []
    assert pages.claim(2000, last - 4000, 1, 9) == [
        Trouble(2000, 3000, 8, Use.NONE),
        Trouble(5000, last - 10_000, 8, Use.AVAILABLE),
        Trouble(last - 5000, 3000, 8, Use.NONE),
    ]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 << 20
