"""The integrity check: no error where there is none, the engine's verdicts, no fall on ruins."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from bench.bigdb import build
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hotsplit import _native
from hotsplit._native import integrity_py
from hotsplit.errors import HotsplitError
from hotsplit.ese.check import compare, integrity, tablecheck, treewalk
from hotsplit.ese.check.integrity import CheckResult, check_database
from hotsplit.ese.check.rules import GROUPS, LAST_NUMBER, REMARKS, RULES, ids_of
from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.format.checksum import stamp
from hotsplit.ese.format.page import Node, Page
from hotsplit.ese.read.database import Database
from hotsplit.ese.recovery.recover import recover
from hotsplit.report import Reporter, Severity
from tests.conftest import manifest, set_names, unpack_vector
from tests.damage import apply_ops
from tests.ese.check.planted import MemoryEnv, Planter, check

LEAKS = {"crash-p8192-ddl", "crash-p32768-ddl"}
"""Sets whose database has a leaked page after the engine's recovery, too."""


def check_file(path: Path | str) -> CheckResult:
    return check_database(OsEnv(), str(path), Reporter())


def grave(result: CheckResult) -> dict[str, int]:
    """The rules broken, normal notes and a file that is larger than the database left out."""
    notes = {rule.id for rule in RULES.values() if rule.severity == Severity.NOTE}
    counts = result.reporter.counts
    return {rule: count for rule, count in counts.items() if rule not in notes | {"H7b"}}


# Sound databases


@pytest.mark.parametrize("name", set_names("crash"))
def test_the_engines_recovered_databases_are_sound(name: str) -> None:
    result = check_file(unpack_vector(name) / "recovered" / "test.edb")
    assert grave(result) == ({"S34": 1} if name in LEAKS else {})
    assert not result.is_damaged and not result.dirty
    assert result.totals.not_compared == 0
    assert result.totals.by_bookmark == 0  # all Unicode text of these sets is covered


@pytest.mark.parametrize("name", set_names("crash"))
def test_our_recovered_databases_are_sound(name: str, tmp_path: Path) -> None:
    source = unpack_vector(name) / "crash"
    result = recover(OsEnv(), [str(source / "test.edb")], [str(source)], str(tmp_path / "out"))
    checked = check_file(result.databases[0][0])
    assert grave(checked) == ({"S34": 1} if name in LEAKS else {})
    assert not checked.is_damaged


CORPUS: dict[str, dict[str, int]] = {
    # Three pages newer than the header and a stale entry: the engine calls it corrupted as well.
    "engine/Catalog1.edb": {"P15": 3, "X59a": 1},
    "srum/win10-19043-clean-before/SRUDB.dat": {"S34": 1},
    "srum/win10-19043-clean-after/SRUDB.dat": {"S34": 1},
    "srum/win11-22000-clean-before/SRUDB.dat": {"S34": 1},
    "srum/win11-22000-clean-after/SRUDB.dat": {"S34": 1},
}
"""What is found in real databases that were shut down cleanly; all others are sound."""

_ENDINGS = (".edb", ".dit", ".dat", ".mdb", ".sdb")


def test_real_databases(corpus: Path) -> None:
    found = {}
    clean = 0
    for path in sorted(p for p in corpus.rglob("*") if p.suffix in _ENDINGS):
        result = check_file(path)
        if result.dirty:
            assert not result.is_damaged
            continue
        clean += 1
        if grave(result):
            found[str(path.relative_to(corpus))] = grave(result)
    assert clean > 25
    assert found == CORPUS


# The engine's own verdicts


def cut_logs() -> list[tuple[str, dict[str, Any]]]:
    return [
        (name, case)
        for name in set_names("tail-cut")
        for case in manifest()[name]["cases"]
        if "integrity" in case["result"]
    ]


@pytest.mark.parametrize(("name", "case"), cut_logs())
def test_verdict_on_databases_recovered_from_cut_logs(
    name: str, case: dict[str, Any], tmp_path: Path
) -> None:
    """Where the engine recovers into a corrupted database, recovery here refuses."""
    apply_ops(unpack_vector(name), case["ops"], tmp_path / "in")
    database, out = str(tmp_path / "in" / "test.edb"), str(tmp_path / "out")
    try:
        result = recover(OsEnv(), [database], [str(tmp_path / "in")], out)
    except HotsplitError:
        verdict = "corrupted"
    else:
        damaged = check_file(result.databases[0][0]).is_damaged
        verdict = "corrupted" if damaged else "ok"
    assert verdict == case["result"]["integrity"]


# Dirty databases


@pytest.mark.parametrize("name", set_names("crash"))
def test_a_crashed_database_is_called_dirty_not_damaged(name: str) -> None:
    result = check_file(unpack_vector(name) / "crash" / "test.edb")
    assert result.dirty and not result.is_damaged
    assert result.reporter.counts["H4"] == 1


def test_damaged_checksums_are_errors_in_a_dirty_database(shared: Path) -> None:
    path = unpack_vector("crash-p4096-mid") / "crash" / "test.edb"
    data = bytearray(path.read_bytes())
    for at in range(5 * 4096 + 600, 5 * 4096 + 900):  # page 4, the root of the catalog
        data[at] ^= 0x5A
    result = check(bytes(data))
    errors = {f.rule for f in result.reporter.findings if f.severity == Severity.ERROR}
    assert errors == {"P12a"}


# Findings


def test_all_findings_are_counted_and_a_limited_number_kept(shared: Path) -> None:
    path = unpack_vector("crash-p4096-mid") / "recovered" / "test.edb"
    data = bytearray(path.read_bytes())
    for pgno in range(40, 200):
        at = (pgno + 1) * 4096
        if any(data[at : at + 4096]):
            data[at + 8 : at + 16] = b"\xff" * 8  # the dbtime
            page = data[at : at + 4096]
            stamp(page, pgno)
            data[at : at + 4096] = page
    result = check(bytes(data))
    few = Reporter(limit=5)
    check_database(MemoryEnv(bytes(data)), "x.edb", few)
    newer = [f for f in result.reporter.findings if f.rule == "P15"]
    assert len(newer) == result.reporter.counts["P15"] > 50
    assert len([f for f in few.findings if f.rule == "P15"]) == 5
    assert few.counts == result.reporter.counts


# Trees of three levels


@pytest.mark.parametrize(("page_size", "megabytes"), [(4096, 2), (16384, 8), (32768, 16)])
def test_a_database_written_page_by_page_is_sound(
    tmp_path: Path, page_size: int, megabytes: int
) -> None:
    rows = build(tmp_path / "test.edb", megabytes, page_size)
    result = check_file(tmp_path / "test.edb")
    assert result.reporter.findings == []
    assert result.totals.not_compared == 0
    with Database.open(OsEnv(), str(tmp_path / "test.edb")) as db:
        assert db.table("Big").count() == rows
        assert result.totals.records == rows + 2 * db.table("MSysObjects").count()


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with a tree of three levels."""
    path = tmp_path_factory.mktemp("deep") / "test.edb"
    build(path, 9, 4096)
    return path


def test_the_last_key_of_an_internal_page_is_its_parents(deep: Path) -> None:
    planter = Planter(deep)
    root = planter.page(planter.table("Big").definition.root)
    inner = planter.page(planter.children(root.number)[0])
    assert not inner.is_leaf
    last = inner.node_count - 1
    node = inner.node(last)
    inner.replace_node(last, Node(node.key + b"\0", node.data))
    assert planter.added(planter.check()) == {"T22"}


def test_all_leaves_are_equally_deep(deep: Path) -> None:
    """The root gets a pointer to a leaf that was below the page that it pointed to."""
    planter = Planter(deep)
    root = planter.page(planter.table("Big").definition.root)
    leaf = planter.children(planter.children(root.number)[0])[0]
    root.replace_data(0, leaf.to_bytes(4, "little"), 0)
    assert "T20" in planter.added(planter.check())


# Damage of any kind

KERNELS = (treewalk, tablecheck, compare, integrity)


def run_with(kernel: ModuleType, data: bytes, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, ...]:
    with monkeypatch.context() as patch:
        for module in KERNELS:
            patch.setattr(module, "_kernel", kernel)
        result = check(data)
    findings = [(f.rule, f.severity, f.message, f.position) for f in result.reporter.findings]
    return findings, result.totals, result.bytes


def small_database() -> bytes:
    return (unpack_vector("crash-p4096-base") / "recovered" / "test.edb").read_bytes()


def damage(data: bytes, pgno: int, edits: list[tuple[int, int]], size: int = 4096) -> bytearray:
    """Change bytes of a page of a database and give it a good checksum again."""
    changed = bytearray(data)
    at = (pgno + 1) * size
    page = changed[at : at + size]
    for offset, value in edits:
        page[offset % size] = value
    stamp(page, pgno)
    changed[at : at + size] = page
    return changed


edits = st.lists(
    st.tuples(
        st.one_of(st.integers(8, 60), st.integers(60, 4095), st.integers(3900, 4095)),
        st.one_of(st.integers(0, 255), st.sampled_from([0, 1, 0x7F, 0x80, 0xFF])),
    ),
    min_size=1,
    max_size=12,
)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(damages=st.lists(st.tuples(st.integers(1, 140), edits), min_size=1, max_size=4))
def test_damaged_pages_end_in_findings(
    shared: Path, damages: list[tuple[int, list[tuple[int, int]]]]
) -> None:
    data = small_database()
    for pgno, changes in damages:
        data = bytes(damage(data, pgno, changes))
    result = check(data)
    assert set(result.reporter.counts) <= set(RULES)


@pytest.mark.skipif(_native.CHOICE == "python", reason="both kernels are needed")
@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(damages=st.lists(st.tuples(st.integers(4, 140), edits), min_size=3, max_size=12))
def test_kernel_and_reference_find_the_same(
    shared: Path,
    monkeypatch: pytest.MonkeyPatch,
    damages: list[tuple[int, list[tuple[int, int]]]],
) -> None:
    native = pytest.importorskip("hotsplit._native.integrity")
    data = small_database()
    for pgno, changes in damages:
        data = bytes(damage(data, pgno, changes))
    assert run_with(native, data, monkeypatch) == run_with(integrity_py, data, monkeypatch)


@pytest.mark.parametrize("cut", [0, 1, 5000, 3 * 4096, 20 * 4096, 100 * 4096 + 17])
def test_a_file_cut_anywhere(shared: Path, cut: int) -> None:
    data = small_database()[:cut]
    try:
        result = check(data)
    except HotsplitError:
        assert cut < 5 * 4096
        return
    assert result.is_damaged


def test_pointers_in_circles_end(shared: Path) -> None:
    """The catalog's root points to itself, then to its own parent again and again."""
    data = bytearray(small_database())
    at = 5 * 4096
    page = Page(memoryview(data)[at : at + 4096], 4)
    page.flags &= ~0x4  # its children are internal pages now
    for i in range(page.node_count):
        page.replace_data(i, (4).to_bytes(4, "little"), 0)
    copy = bytearray(page.data)
    stamp(copy, 4)
    data[at : at + 4096] = copy
    assert check(bytes(data)).reporter.counts["P16"] >= page.node_count


def test_every_number_of_the_list_is_a_rule_or_remarked_on() -> None:
    """Of the specification's list: what is not checked is said with its reason."""
    by_number = {number: ids_of(number) for number in range(1, LAST_NUMBER + 1)}
    assert all(ids or number in REMARKS for number, ids in by_number.items())
    assert [rule for ids in by_number.values() for rule in ids] == list(RULES)


def test_rules_are_complete() -> None:
    assert {rule.id[0] for rule in RULES.values()} == set(GROUPS)
    assert all(rule.meaning.endswith(".") for rule in RULES.values())
