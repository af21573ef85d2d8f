"""A bounded slice of the fuzzing (`make fuzz`), and what it once found.

Cases of fixed seeds run in child processes under the limits of time and memory until the time is
up; which cases those are does not depend on the machine, only how many.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from fuzz import run
from fuzz.case import build
from fuzz.chance import Chance
from fuzz.run import fuzz
from fuzz.seeds import all_seeds
from fuzz.worker import run_case

from hotsplit.errors import NotEseFile, PageDamaged, RecoveryFailed
from hotsplit.ese.check.scan import scan_file
from hotsplit.ese.format.catalogschema import RowType, catalog_key
from hotsplit.ese.format.checksum import stamp
from hotsplit.ese.format.header import choose_header
from hotsplit.ese.format.logrecord import decode, encode
from hotsplit.ese.format.page import Page, PageFlag
from hotsplit.ese.format.recordtable import RecordType as T
from hotsplit.ese.read.database import Database
from hotsplit.ese.read.labels import State
from hotsplit.ese.recovery.core import Core
from hotsplit.ese.recovery.pages import PageAccess
from hotsplit.ese.recovery.trees import HANDLERS
from hotsplit.report import Reporter
from tests.memoryenv import MemoryEnv

SECONDS = float(os.environ.get("FUZZ_SLICE_SECONDS", "8"))
CATALOG_OBJID, ROOT_PAGE_COLUMN = 2, 4


@pytest.fixture(scope="session")
def example() -> dict[str, bytes]:
    return all_seeds()[0].load()


def test_nothing_but_our_errors_within_time_and_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fuzz.run.FINDINGS", tmp_path)
    totals = fuzz("slice", SECONDS, 1)
    assert totals.cases > 0
    assert totals.first == {}


def test_a_case_is_the_same_every_time() -> None:
    seeds = all_seeds()
    for number in range(12):
        one, two = (build("same", number, seeds) for _ in range(2))
        assert one == two
    assert len({str(build("same", n, seeds).files).__hash__() for n in range(12)}) == 12


def test_failures_are_noticed(example: dict[str, bytes]) -> None:
    """A target that breaks its contract, hangs for a while or eats memory is a finding."""

    def broken(_: object) -> str:
        raise IndexError("out of range")

    case = build("any", 1, all_seeds()[:1])
    report = run_case(case, (broken,))
    assert [f["target"] for f in report["findings"]] == ["broken"]
    assert report["findings"][0]["kind"].startswith("IndexError")


@pytest.mark.parametrize("target", ["exit", "hang", "memory"])
def test_the_watch_notices_death_hanging_and_greed(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fuzz.run.FINDINGS", tmp_path)
    monkeypatch.setattr("fuzz.run.CASE_SECONDS", 3.0)
    monkeypatch.setenv("FUZZ_SELF_TEST", target)
    totals = fuzz("self", 300, 1, enough=1)
    expected = {"exit": "death", "hang": "hang", "memory": "MemoryError"}[target]
    assert any(kind.startswith(expected) for kind in totals.first), totals.first
    assert any(path.name == "what.txt" for path in tmp_path.rglob("*"))


def test_a_target_of_another_name_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FUZZ_TARGETS", "check chek")
    assert run.main() == 2
    told = capsys.readouterr()
    assert not told.out
    assert "chek;" in told.err and " rows," in told.err


def test_chance_prefers_limits() -> None:
    chance = Chance("x")
    drawn = [chance.number(2, 700) for _ in range(2000)]
    assert all(0 <= number < 0x10000 for number in drawn)
    assert {0, 1, 0xFFFF, 699, 701} <= set(drawn)


# What fuzzing found


def edited(
    example: dict[str, bytes], change: Callable[[Page], bool], first: int = 1
) -> tuple[MemoryEnv, int]:
    """Return the example with the first page changed for which `change` says so, sealed again."""
    data = bytearray(example["test.edb"])
    size = choose_header(bytes(data[:65536])).header.page_size
    for pgno in range(first, len(data) // size - 1):
        at = (pgno + 1) * size
        page = Page(bytes(data[at : at + size]), pgno)
        if change(page):
            sealed = bytearray(page.data)
            stamp(sealed, pgno)
            data[at : at + size] = sealed
            env = MemoryEnv()
            env.put("/test.edb", bytes(data))
            return env, pgno
    raise AssertionError("no page was changed")


def test_catalog_row_of_an_index_without_root_page(example: dict[str, bytes]) -> None:
    """Found as a TypeError: the root page of an index was NULL in the catalog."""
    env, _ = edited(example, lambda _: True)
    with Database.open(env, "/test.edb") as db:
        fixed = db.table("Fixed")
    prefix = catalog_key(fixed.definition.objid, RowType.INDEX)

    def change(page: Page) -> bool:
        nodes = page.nodes() if page.objid == CATALOG_OBJID and page.is_leaf else []
        found = [i for i, node in enumerate(nodes) if node.key.startswith(prefix)]
        if not found:
            return False
        data = bytearray(nodes[found[0]].data)
        end = int.from_bytes(data[2:4], "little")
        data[end - (data[0] + 7) // 8] |= 1 << ROOT_PAGE_COLUMN - 1
        page.replace_data(found[0], bytes(data), nodes[found[0]].flags)
        return True

    env, _ = edited(example, change)
    with Database.open(env, "/test.edb") as db:
        assert len(db.table("Fixed").indexes) == len(fixed.indexes) - 1
        assert db.reporter.counts["catalog-row"] == 1


@pytest.mark.parametrize("bad", [1 << 40, 0, 5])
def test_impossible_long_value_id(example: dict[str, bytes], bad: int) -> None:
    """Found as an OverflowError: eight bytes of an id without the bit that says so."""
    ids = [(0x80000000_80000000 | number).to_bytes(8, "little") for number in (0x12, 0x17)]

    def change(page: Page) -> bool:
        data = bytes(page.data)
        if not page.is_leaf or any(one not in data for one in ids):
            return False
        page.data[:] = data.replace(ids[0], bad.to_bytes(8, "little"))
        return True

    env, _ = edited(example, change)
    with Database.open(env, "/test.edb") as db:
        rows = [row["lvBin"] for row in db.table("LV").rows()]
        found = {f.rule for f in db.reporter.findings}
    assert None in rows
    assert "value" in found


def test_tags_that_overlap_the_page_header(example: dict[str, bytes]) -> None:
    """Found as a struct.error: looking for remains of rows read tags before the page."""
    env, _ = edited(example, lambda _: True)
    with Database.open(env, "/test.edb") as db:
        table = db.table("LV")
        leaf = next(table.tree().leaves()).number

    def change(page: Page) -> bool:
        page.data[34:36] = (0x1FFF).to_bytes(2, "little")
        return True

    env, _ = edited(example, change, leaf)
    with Database.open(env, "/test.edb") as db:
        found = [row.origin.page for row in db.table("LV").labelled(include=list(State))]
        assert leaf not in found
        assert db.reporter.findings


@pytest.mark.parametrize("size", [4097, 6002, 8191])
def test_verify_of_a_file_cut_off_in_its_header(example: dict[str, bytes], size: int) -> None:
    """Found as a ValueError: a header copy of an odd size was summed."""
    env = MemoryEnv()
    env.put("/test.edb", example["test.edb"][:size])
    result = scan_file(env, "/test.edb", Reporter())
    assert result.is_damaged


def test_random_bytes_are_no_file_of_ours() -> None:
    env = MemoryEnv()
    env.put("/x", random.Random(1).randbytes(50000))
    with pytest.raises(NotEseFile):
        scan_file(env, "/x", Reporter())


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (T.CREATE_SINGLE_EXTENT_FDP, {"pgno": 9, "cpg_primary": -1}),
        (T.CREATE_MULTIPLE_EXTENT_FDP, {"pgno": 9, "cpg_primary": -2}),
        (T.CREATE_MULTIPLE_EXTENT_FDP, {"pgno": 0xFFFFFFF0, "cpg_primary": 0x7FFFFFFF}),
        (T.CONVERT_FDP2, {"pgno": 9, "pgno_secondary": 0xFFFFFFFF, "cpg_secondary": 2}),
    ],
)
def test_extents_that_cannot_exist(kind: T, fields: dict[str, int]) -> None:
    """Found as a struct.error: replay wrote an extent beyond the last page that can be."""
    pages = PageAccess(Core(4096), 4096, 1 << 20)
    with pytest.raises(RecoveryFailed):
        HANDLERS[kind](pages, decode(encode(kind, **fields)))


def test_split_of_a_damaged_internal_page() -> None:
    """Found as a ValueError: the page's node did not fit its line."""
    page = Page.new(4096, 7, 3, 1, PageFlag.INDEX)
    page.insert(0, b"", (5).to_bytes(4, "little"))
    assert page.child_for(b"key") == (0, 5)
    page.data[-8:-6] = (1).to_bytes(2, "little")  # one byte long
    with pytest.raises(PageDamaged):
        page.child_for(b"key")
