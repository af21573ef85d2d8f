"""The integrity kernel and its reference: entries of rows against plain rules, page by page."""

from __future__ import annotations

import itertools
import struct
from array import array
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotsplit._native import integrity_py
from hotsplit._native.integrity_codes import Code
from hotsplit.ese.check.rowplan import Compare, LastIds, TableShape, index_plan, layout_of
from hotsplit.ese.format.catalogschema import IndexDef, IndexFlag, KeySegment, Segment, TableDef
from hotsplit.ese.format.collation import KeyUnknown
from hotsplit.ese.format.columns import UTF16, Coltyp, ColumnDef, ColumnFlag, Value
from hotsplit.ese.format.keys import record_key
from hotsplit.ese.format.page import Node, Page, PageFlag
from hotsplit.ese.format.record import encode_record
from hotsplit.ese.format.taggedcolumns import TaggedField, TagHeader, build_fields

KERNELS: list[Any] = [integrity_py]
try:
    from hotsplit._native import integrity

    KERNELS.append(integrity)
except ImportError:
    pass

SIZE = 4096
LEAF = PageFlag.NEW_RECORD | PageFlag.NEW_CHECKSUM | PageFlag.LEAF
COLUMNS = [
    ColumnDef("k", 1, Coltyp.LONG, 4, offset=4),
    ColumnDef("small", 2, Coltyp.SHORT, 2, offset=8),
    ColumnDef("name", 128, Coltyp.TEXT, 255, code_page=1252),
    ColumnDef("data", 129, Coltyp.BINARY, 255),
    ColumnDef("a", 256, Coltyp.LONG, 4, ColumnFlag.MULTI_VALUED),
    ColumnDef("b", 257, Coltyp.LONG, 4, ColumnFlag.MULTI_VALUED),
    ColumnDef("title", 258, Coltyp.LONG_TEXT, code_page=UTF16),
]
IDS = {column.name: column.id for column in COLUMNS}
TABLE = TableDef("t", 8, 40, columns=COLUMNS)
SHAPE = TableShape(TABLE, LastIds.of(list(IDS.values())))


def page_of(nodes: list[Node], pgno: int = 50, flags: int = LEAF) -> bytes:
    page = Page.new(SIZE, pgno, 8, 1, flags)
    page.fill(b"", nodes)
    return bytes(page.data)


def index(names: list[str], flags: int, **more: Any) -> IndexDef:
    key = tuple(Segment(IDS[name.lstrip("-")], 0x40 * name.startswith("-")) for name in names)
    return IndexDef("i", 9, 60, flags | IndexFlag.EXTENDED_SEGMENTS, key, **more)


def entries(kernel: ModuleType, records: list[dict[str, Value]], on: IndexDef) -> list[bytes]:
    """Return the keys that records make in an index, in order."""
    nodes = [
        Node(struct.pack(">I", number), encode_record(COLUMNS, values, large=False))
        for number, values in enumerate(records, 1)
    ]
    ledger = kernel.Ledger(12, False)
    reports: list[Any] = []
    plan = index_plan(SHAPE, on, ledger)
    rows = kernel.Rows(layout_of(SHAPE, SIZE, None), None, [plan], lambda *_: None, reports)
    for again in (False, True):
        if again:
            ledger.watch(1 << 12, 1 << 16, False)
        tree = kernel.Tree(SIZE, 8, 0, 1, 2000, rows, reports)
        tree.leaves(page_of(nodes), 50, False, None, [None])
    assert reports == [] and rows.unknown == [0] and not ledger.missed
    found = sorted(key for key, _ in ledger.found)
    assert len(found) == ledger.counts[0]
    return found


def segment(value: int | None) -> bytes:
    return b"\0" if value is None else b"\x7f" + (value + (1 << 31)).to_bytes(4, "big")


ALL = IndexFlag.ALLOW_ALL_NULLS | IndexFlag.ALLOW_FIRST_NULL | IndexFlag.ALLOW_SOME_NULLS
longs = st.integers(-(2**31), 2**31 - 1)
several = st.lists(longs, min_size=0, max_size=4)


@pytest.mark.parametrize("kernel", KERNELS)
@settings(max_examples=40, deadline=None)
@given(a=several, b=several, how=st.sampled_from(["first", "cross", "nested"]))
def test_entries_of_multi_valued_columns(kernel: Any, a: list[int], b: list[int], how: str) -> None:
    """Format specification 10.5: first column only, all combinations, or side by side."""
    flags = {"first": 0, "cross": IndexFlag.CROSS_PRODUCT, "nested": IndexFlag.NESTED_TABLE}[how]
    values: dict[str, Value] = {"k": 1}
    values.update({name: list(v) for name, v in (("a", a), ("b", b)) if v})
    some_a: list[int | None] = [*a] or [None]
    some_b: list[int | None] = [*b] or [None]
    pairs: Any = {
        "first": itertools.product(some_a, some_b[:1]),
        "cross": itertools.product(some_a, some_b),
        "nested": itertools.zip_longest(some_a, some_b),
    }[how]
    on = index(["a", "b"], ALL | flags | IndexFlag.MULTI_VALUED)
    expected = {segment(x) + segment(y) for x, y in pairs}
    assert entries(kernel, [values], on) == sorted(expected)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(
    ("flags", "present"),
    [(0, "k"), (IndexFlag.ALLOW_ALL_NULLS, "k0"), (IndexFlag.ALLOW_FIRST_NULL, "kf"),
     (IndexFlag.ALLOW_SOME_NULLS, "ks"), (ALL, "k0fs")],
)  # fmt: skip
def test_null_rules(kernel: Any, flags: int, present: str) -> None:
    records: dict[str, dict[str, Value]] = {
        "k": {"k": 1, "small": 2}, "0": {"k": None, "small": None},
        "f": {"k": None, "small": 2}, "s": {"k": 1, "small": None},
    }  # fmt: skip
    on = index(["k", "small"], flags)
    for name, record in records.items():
        assert bool(entries(kernel, [record], on)) == (name in present), name


@pytest.mark.parametrize("kernel", KERNELS)
@given(values=st.lists(longs, min_size=1, max_size=20, unique=True))
@settings(max_examples=25, deadline=None)
def test_keys_sort_as_the_values_do(kernel: Any, values: list[int]) -> None:
    records: list[dict[str, Value]] = [{"k": value} for value in values]
    assert entries(kernel, records, index(["k"], ALL)) == [segment(v) for v in sorted(values)]
    down = entries(kernel, records, index(["-k"], ALL))
    assert [bytes(0xFF ^ x for x in key) for key in reversed(down)] == [
        segment(v) for v in sorted(values)
    ]


TEXTS: list[tuple[bytes, dict[str, Any], str]] = [
    (b"Hello", {}, "7f48454c4c4f00"),
    (b"a\0b", {}, "7f4100"),
    (b"", {}, "40"),
    (b"abcdef", {"var_segment_most": 5}, "7f41424344"),  # d is lowered by 32 whatever it is
    (b"abcDef", {"var_segment_most": 5}, "7f41424324"),
    (b"abcd", {"var_segment_most": 6}, "7f4142434400"),
    (b"x" * 255, {}, "7f" + "58" * 254),
]
BINARIES: list[tuple[bytes, dict[str, Any], str]] = [
    (b"abc", {}, "7f616263000000000003"),
    (b"12345678", {}, "7f313233343536373808"),
    (b"123456789", {}, "7f3132333435363738093900000000000000" + "01"),
    (b"123456789", {"var_segment_most": 10}, "7f313233343536373809"),
    (b"123456789", {"var_segment_most": 13}, "7f313233343536373809390000"),
    (b"", {}, "40"),
]  # worked examples of format specification 10.1, 10.3 and what follows from their rules


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(
    ("column", "value", "more", "key"),
    [("name", *case) for case in TEXTS] + [("data", *case) for case in BINARIES],
)
def test_keys_of_text_and_binary(
    kernel: Any, column: str, value: bytes, more: dict[str, Any], key: str
) -> None:
    on = index([column], ALL, **more)
    assert [k.hex() for k in entries(kernel, [{"k": 1, column: value}], on)] == [key]


PLAIN = st.sampled_from("aAbZz09 -'!é\u0301Ωж_\0\uff21\u4e00ßæﬃ")
KANA = st.sampled_from("aかがカガｶｱぁァーゝゞヽヾっッ\u3099!")
"""Characters of most kinds that sort keys know: case, marks, punctuation, width, expansions."""
TITLES = st.one_of(
    st.text(PLAIN, max_size=30),
    st.text(KANA, max_size=30),
    st.text(max_size=30),
    st.text("aB-éßカ", min_size=120),
)


@pytest.mark.parametrize("kernel", KERNELS)
@settings(max_examples=250, deadline=None)
@given(
    title=TITLES,
    flags=st.sampled_from([0x30401, 0x31403, 0x30403, 0x400, 0x410, 0x405, 0x20401, 0x10400]),
    version=st.sampled_from([0x50000, 0x60101, 0x6020F, 0x60305]),
    more=st.sampled_from(
        [{}, {"key_most": 300}, {"key_most": 60}, {"var_segment_most": 9}, {"var_segment_most": 1}]
    ),
)
def test_keys_of_unicode_text(
    kernel: Any, title: str, flags: int, version: int, more: dict[str, int]
) -> None:
    """The same keys as `record_key` makes by all rules, or none."""
    on = index(["title"], ALL, lcmap_flags=flags, sort_version=version, **more)
    column = COLUMNS[-1]
    stored = title.encode("utf-16-le", "surrogatepass")
    try:
        expected = [record_key([column], on, [stored])]
    except KeyUnknown:
        expected = []
    record = encode_record([column], {"title": stored}, large=False)
    keys, unknown = made(kernel, record, index_plan(SHAPE, on, kernel.Ledger(12, False)))
    assert (keys, unknown) == (expected, [not expected])


def made(kernel: Any, record: bytes, plan: Any) -> tuple[list[bytes], list[int]]:
    """Return the keys of a record in an index, and for how many rows they are not known."""
    reports: list[Any] = []
    ledger = plan[7]
    rows = kernel.Rows(layout_of(SHAPE, SIZE, None), None, [plan], lambda *_: None, reports)
    tree = kernel.Tree(SIZE, 8, 0, 1, 2000, rows, reports)
    tree.leaves(page_of([Node(b"k", record)]), 50, False, None, [None])
    unknown = list(rows.unknown)
    ledger.watch(1 << 12, 1 << 16, False)
    kernel.Tree(SIZE, 8, 0, 1, 2000, rows, reports).leaves(
        page_of([Node(b"k", record)]), 50, False, None, [None]
    )
    assert reports == []
    return sorted(key for key, _ in ledger.found), unknown


@pytest.mark.parametrize("kernel", KERNELS[1:])
@pytest.mark.parametrize("title", ["Straße", "カターハナ", "naïve co-op ℃ 42", "Ж" * 300])
def test_keys_of_common_text_are_made_without_asking(kernel: Any, title: str) -> None:
    """Of the compiled kernel: the rules in Python are slow."""
    on = index(["title"], ALL, lcmap_flags=0x30401, sort_version=0x60305)
    record = encode_record([COLUMNS[-1]], {"title": title.encode("utf-16-le")}, large=False)
    *plan, order = index_plan(SHAPE, on, kernel.Ledger(12, False)) or ()
    asked: list[bytes] = []
    keys, _ = made(kernel, record, (*plan, order._replace(key=asked.append)))
    assert not asked
    assert keys == [record_key([COLUMNS[-1]], on, [title.encode("utf-16-le")])]


@pytest.mark.parametrize("kernel", KERNELS)
def test_unicode_text_of_an_order_that_is_not_known_has_no_keys(kernel: Any) -> None:
    on = index(["title"], ALL, lcmap_flags=0x30401, sort_version=0x60305, locale="sv-SE")
    record = encode_record([COLUMNS[-1]], {"title": "a".encode("utf-16-le")}, large=False)
    plan = index_plan(SHAPE, on, kernel.Ledger(12, False), Compare.BY_KEY)
    assert made(kernel, record, plan) == ([], [1])


@pytest.mark.parametrize("kernel", KERNELS[1:])
def test_weights_that_lie_outside_of_the_table_are_refused(kernel: Any) -> None:
    """Of the compiled kernel: the reference asks for its keys."""
    on = index(["title"], ALL, lcmap_flags=0x30401, sort_version=0x60305)
    *plan, order = index_plan(SHAPE, on, kernel.Ledger(12, False)) or ()
    for pages in (order.pages[:-1], array("I", [len(order.weights) - 255] * 256)):
        with pytest.raises(ValueError, match="weights"):
            kernel.Rows(layout_of(SHAPE, SIZE, None), None,
                        [(*plan, order._replace(pages=pages))], lambda *_: None, [])  # fmt: skip


@pytest.mark.parametrize("kernel", KERNELS)
def test_entries_are_compared_in_two_ways_at_most(kernel: Any) -> None:
    ledger = kernel.Ledger(6, False)
    with pytest.raises(ValueError, match="3 comparisons"):
        kernel.Entries([(Compare.BY_KEY, ledger)] * 3)


@pytest.mark.parametrize("kernel", KERNELS)
def test_tuples(kernel: Any) -> None:
    """Format specification 10.5: pieces of 3 to 10 characters from each place on."""
    limits = struct.pack("<5I", 3, 10, 32767, 1, 0)
    text = "banana split"
    expected = {b"\x7f" + text[i : i + 10].upper().encode() + b"\0" for i in range(len(text) - 2)}
    on = index(["name"], 0, tuple_limits=limits)
    assert entries(kernel, [{"k": 1, "name": text}], on) == sorted(expected)
    assert entries(kernel, [{"k": 1, "name": "ab"}], on) == []


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_long_value_is_fetched_once_for_all_its_tuples(kernel: Any) -> None:
    limits = struct.pack("<5I", 3, 10, 50, 1, 0)
    on = index(["title"], 0, tuple_limits=limits, lcmap_flags=0x30401, sort_version=0x60305)
    text = "".join(map(chr, range(0x41, 0x7B))).encode("utf-16-le")
    fields = [TaggedField(258, False, TagHeader.LONG | TagHeader.SEPARATED, bytes([7, 0, 0, 0]))]
    record = encode_record([], {}, large=False) + build_fields(fields, large=False)
    asked = []

    def fetch(separated: bool, data: bytes, most: int) -> bytes:
        asked.append((separated, data))
        return text[:most]

    ledger = kernel.Collection()
    plan = index_plan(SHAPE, on, ledger)
    rows = kernel.Rows(layout_of(SHAPE, SIZE, None), None, [plan], fetch, [])
    kernel.Tree(SIZE, 8, 0, 1, 2000, rows, []).enter(page_of([Node(b"k", record)]))
    assert asked == [(True, bytes([7, 0, 0, 0]))]
    assert ledger.size > 40 * len(b"k")


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(("must_be_null", "present"), [(False, 1), (True, 2)])
def test_conditions(kernel: Any, must_be_null: bool, present: int) -> None:
    condition = Segment(IDS["small"], KeySegment.MUST_BE_NULL if must_be_null else 0)
    on = index(["k"], ALL, conditions=(condition,))
    records: list[dict[str, Value]] = [{"k": 1, "small": 7}, {"k": 2, "small": None}]
    assert entries(kernel, records, on) == [segment(present)]


# Entries in order


def collected(kernel: Any, pages: list[bytes], plan: Any) -> list[tuple[bytes, bytes]]:
    """Return the entries that the records on leaves make, as a collection hands them out."""
    rows = kernel.Rows(layout_of(SHAPE, SIZE, None), None, [plan], lambda *_: None, [])
    tree = kernel.Tree(SIZE, 8, 0, 1, 2000, rows, [])
    for page in pages:
        tree.enter(page)
    assert rows.unknown == [0]
    run, found, at = plan[7].run(), [], 0
    while at < len(run):
        key, data = struct.unpack_from("<II", run, at)
        found.append((run[at + 8 : at + 8 + key], run[at + 8 + key : at + 8 + key + data]))
        at += 8 + key + data
    return found


@pytest.mark.parametrize("kernel", KERNELS)
@settings(max_examples=30, deadline=None)
@given(
    names=st.lists(
        st.one_of(
            st.binary(max_size=60),
            st.text("ab", max_size=12).map(str.encode),
            st.integers(0, 40).map(lambda size: b"a" * size),
        ),
        max_size=25,
    )
)
def test_a_collection_has_all_entries_in_order(kernel: Any, names: list[bytes]) -> None:
    """Of a tuple index, where a record may make an entry twice: those of the records in order."""
    limits = struct.pack("<5I", 3, 10, 32767, 1, 0)
    on = index(["name"], 0, tuple_limits=limits)
    expected = set()
    nodes = []
    for number, name in enumerate(names, 1):
        mark = struct.pack(">I", number)
        record = encode_record([COLUMNS[2]], {"name": name}, large=False)
        nodes.append(Node(mark, record))
        for start in range(len(name) - 2):
            part = name[start : start + 10].split(b"\0")[0].upper()
            expected.add((b"\x7f" + part + b"\0", mark))
    pages = [page_of(nodes[:12]), page_of(nodes[12:])]
    ledger = kernel.Collection()
    found = collected(kernel, pages, index_plan(SHAPE, on, ledger))
    assert found == sorted(expected)
    assert ledger.size == 0 and ledger.run() == b""


@pytest.mark.parametrize("kernel", KERNELS)
def test_records_that_break_rules_make_entries_all_the_same(kernel: Any) -> None:
    """An unused bit of the null bitmap is cleared; deleted nodes make none."""
    record = bytearray(encode_record(COLUMNS, {"k": 5, "small": 1}, large=False))
    end = struct.unpack_from("<H", record, 2)[0]
    record[end - 1] &= 0x7F
    page = page_of([Node(b"a", bytes(record)), Node(b"b", bytes(record), 2)])
    plan = index_plan(SHAPE, index(["k"], 0), kernel.Collection())
    assert collected(kernel, [page], plan) == [(segment(5), b"a")]


def test_entries_of_damaged_leaves_are_the_same_of_both() -> None:
    """A byte changed at a time: in the header, the records, the tags."""
    record = encode_record(COLUMNS, {"k": 5}, large=False)
    page = page_of([Node(b"a", record), Node(b"c", record)])
    for at in (*range(24, 120), *range(SIZE - 16, SIZE)):
        damaged = bytearray(page)
        damaged[at] ^= 0xFF
        found = []
        for kernel in KERNELS:
            plan = index_plan(SHAPE, index(["k"], 0), kernel.Collection())
            assert plan is not None
            rows = kernel.Rows(layout_of(SHAPE, SIZE, None), None, [plan], lambda *_: None, [])
            kernel.Tree(SIZE, 8, 0, 1, 2000, rows, []).enter(bytes(damaged))
            found.append((plan[7].run(), list(rows.unknown)))
        assert len({str(one) for one in found}) == 1, at


# Ledgers


@pytest.mark.parametrize("kernel", KERNELS)
@settings(max_examples=30, deadline=None)
@given(
    rows=st.sets(st.binary(min_size=1, max_size=20), max_size=30),
    there=st.sets(st.binary(min_size=1, max_size=20), max_size=30),
)
def test_a_ledger_finds_what_only_one_side_has(
    kernel: Any, rows: set[bytes], there: set[bytes]
) -> None:
    """Records stand for one side, whose bookmarks the other side holds as entries."""
    ledger = kernel.Ledger(10, False)
    reports: list[Any] = []
    condition = index(["k"], ALL)
    plan = index_plan(SHAPE, condition, ledger, Compare.BY_BOOKMARK)
    content = kernel.Rows(layout_of(SHAPE, SIZE, None), None, [plan], lambda *_: None, reports)
    record = encode_record(COLUMNS, {"k": 1}, large=False)
    one = page_of([Node(key, record) for key in sorted(rows)])
    two = page_of([Node(b"k", key) for key in sorted(there)], 51, LEAF | 0x440)

    def both() -> None:
        for page, pgno, kind, what in (
            (one, 50, 0, content),
            (two, 51, 0x440, kernel.Entries([(Compare.BY_BOOKMARK, ledger)])),
        ):
            tree = kernel.Tree(SIZE, 8, kind, 1, 2000, what, reports)
            tree.leaves(page, pgno, True, None, [None])

    both()
    assert ledger.counts == (len(rows), len(there))
    assert bool(ledger.differing(False)) == (rows != there)
    ledger.watch(1 << 10, 1000, False)
    both()
    wrong = {data for (_, data), (made, found, *_) in ledger.found.items() if made != found}
    assert wrong == rows ^ there


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_ledger_keeps_no_more_items_than_it_may(kernel: Any) -> None:
    ledger = kernel.Ledger(6, False)
    page = page_of([Node(b"k", struct.pack(">I", i)) for i in range(1, 50)], 51, LEAF | 0x440)
    for again in (False, True):
        if again:
            ledger.watch(64, 5, False)
        content = kernel.Entries([(Compare.BY_BOOKMARK, ledger)])
        tree = kernel.Tree(SIZE, 8, 0x440, 1, 2000, content, [])
        tree.leaves(page, 51, True, None, [None])
    assert len(ledger.found) == 5 and ledger.missed == 44


# Internal pages


def pointer(page: int) -> bytes:
    return page.to_bytes(4, "little")


INTERNAL = PageFlag.NEW_RECORD | PageFlag.NEW_CHECKSUM
GOOD = [Node(b"b", pointer(60)), Node(b"d", pointer(61)), Node(b"", pointer(62))]
INNER: list[tuple[str, list[Node], bytes | None, bytes | None, set[Code]]] = [
    ("sound", GOOD, None, None, set()),
    ("between two keys", [*GOOD[:2], Node(b"f", pointer(62))], b"a", b"f", set()),
    ("last key is not the parent's", [*GOOD[:2], Node(b"e", pointer(62))], b"a", b"f",
     {Code.LAST_KEY}),
    ("last key is not empty at the end", GOOD[:2], None, None, {Code.LAST_KEY}),
    ("first key too low", [*GOOD[:2], Node(b"f", pointer(62))], b"c", b"f", {Code.BELOW}),
    ("empty key in the middle", [GOOD[0], GOOD[2], Node(b"d", pointer(61))], None, None,
     {Code.NULL_KEY}),
    ("empty key before the end", GOOD, None, b"f", {Code.NULL_KEY}),
    ("keys descend", [GOOD[1], GOOD[0], GOOD[2]], None, None, {Code.INTERNAL_ORDER}),
    ("keys equal", [GOOD[0], GOOD[0], GOOD[2]], None, None, {Code.INTERNAL_ORDER}),
    ("no children", [], None, None, {Code.NO_CHILDREN}),
    ("deleted", [Node(b"b", pointer(60), 2), GOOD[2]], None, None, {Code.INTERNAL_FLAGS}),
    ("long pointer", [Node(b"b", bytes(5)), GOOD[2]], None, None, {Code.CHILD_SIZE}),
]  # fmt: skip


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(
    ("name", "nodes", "low", "high", "codes"), INNER, ids=lambda v: str(v)[:20]
)
def test_internal_pages(
    kernel: Any,
    name: str,
    nodes: list[Node],
    low: bytes | None,
    high: bytes | None,
    codes: set[Code],
) -> None:
    reports: list[Any] = []
    tree = kernel.Tree(SIZE, 8, 0, 1, 2000, None, reports)
    children, keys = tree.internal(page_of(nodes, 50, INTERNAL), 50, False, low, high)
    assert {Code(code) for code, *_ in reports} == codes
    usable = not codes & {Code.NO_CHILDREN, Code.NULL_KEY, Code.CHILD_SIZE}
    assert bool(children) == usable
    if usable:
        assert keys == [node.key for node in nodes]


@pytest.mark.parametrize("kernel", KERNELS)
def test_impossible_arguments_are_refused(kernel: Any) -> None:
    layout = layout_of(SHAPE, SIZE, None)
    with pytest.raises(ValueError):
        kernel.Tree(5000, 8, 0, 1, 2000, None, [])
    with pytest.raises(ValueError):
        kernel.Tree(SIZE, 8, 0, 1, 2000, None, []).leaves(bytes(100), 1, True, None, [None])
    with pytest.raises(ValueError):
        kernel.Ledger(3, False)
    rows = kernel.Rows(layout, None, [], lambda *_: None, [])
    with pytest.raises(ValueError):
        kernel.LongValues(0, True, kernel.Ledger(6, False), rows)
    segment_ = (1, 4, 3, False, 1, False, False, False, False, None)  # three bytes, unsigned
    with pytest.raises(ValueError):
        kernel.Rows(layout, None, [([segment_], [], 0, 255, 256, None, 0, None)], print, [])


@pytest.mark.parametrize("kernel", KERNELS)
def test_an_error_of_the_caller_comes_through(kernel: Any) -> None:
    """A long value is wanted for a key, and reading it fails unexpectedly."""
    column = ColumnDef("long", 256, Coltyp.LONG_BINARY)
    shape = TableShape(TableDef("t", 8, 40, columns=[COLUMNS[0], column]), LastIds(1, 127, 256))
    ledger = kernel.Ledger(6, False)
    plan = index_plan(shape, IndexDef("i", 9, 60, 0x1000E, (Segment(256),)), ledger)

    def fail(*_: Any) -> bytes | None:
        raise KeyboardInterrupt

    reports: list[Any] = []
    rows = kernel.Rows(layout_of(shape, SIZE, None), None, [plan], fail, reports)
    rows.set_references(kernel.Ledger(6, False))
    record = encode_record([COLUMNS[0]], {"k": 1}, large=False)
    record += struct.pack("<HHB", 256, 4 | 0x4000, 5) + b"\1\0\0\0"
    tree = kernel.Tree(SIZE, 8, 0, 1, 2000, rows, reports)
    with pytest.raises(KeyboardInterrupt):
        tree.leaves(page_of([Node(b"k", record)]), 50, False, None, [None])
    assert reports == []
