"""Soft recovery of sets made by the real engine: the same rows and index entries as the engine."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from hotsplit.errors import HotsplitError, LogsMissing
from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.format.basics import LogPosition
from hotsplit.ese.format.checksum import stamp
from hotsplit.ese.format.page import Page
from hotsplit.ese.read.database import Database
from hotsplit.ese.recovery.assess import assess
from hotsplit.ese.recovery.options import Options
from hotsplit.ese.recovery.recover import recover
from tests.conftest import manifest, set_names, unpack_vector
from tests.expected import compare_rows


def differences(database: str, expected: Path) -> list[str]:
    with Database.open(OsEnv(), database) as db:
        assert not db.is_dirty
        return compare_rows(db, json.loads(expected.read_text()))


@pytest.mark.parametrize("name", set_names("crash"))
def test_crash_sets_recover_to_the_engines_rows(name: str, tmp_path: Path) -> None:
    folder = unpack_vector(name)
    source = folder / "crash"
    before = {p.name: p.read_bytes() for p in source.iterdir()}
    result = recover(OsEnv(), [str(source / "test.edb")], [str(source)], str(tmp_path / "out"))
    assert differences(result.databases[0][0], folder / "expected.json") == []
    assert before == {p.name: p.read_bytes() for p in source.iterdir()}


def snapshots() -> list[tuple[str, str]]:
    return [(n, snap) for n in set_names("hotsplit") for snap in manifest()[n]["snapshots"]]


@pytest.mark.parametrize(("name", "snap"), snapshots())
def test_hot_split_recovers_alone_and_rolls_forward(name: str, snap: str, tmp_path: Path) -> None:
    folder = unpack_vector(name)
    database = str(folder / snap / "test.edb")
    alone = recover(OsEnv(), [database], [str(folder / snap)], str(tmp_path / "alone"))
    assert differences(alone.databases[0][0], folder / f"{snap}.json") == []
    case: dict[str, Any] = manifest()[name]["snapshots"][snap].get("rollforward_no_checkpoint", {})
    if case.get("same_rows_as_end"):
        rolled = recover(OsEnv(), [database], [str(folder / "end")], str(tmp_path / "end"))
        assert differences(rolled.databases[0][0], folder / "end.json") == []


@pytest.mark.parametrize("name", set_names("tail-many"))
def test_the_same_workload_killed_at_many_points(name: str, tmp_path: Path) -> None:
    folder = unpack_vector(name)
    for case in manifest()[name]["cases"]:
        source = folder / case["directory"]
        target = tmp_path / case["case"]
        result = recover(OsEnv(), [str(source / "test.edb")], [str(source)], str(target))
        assert differences(result.databases[0][0], folder / case["result"]["rows_json"]) == []


@pytest.mark.parametrize("name", ["crash-p4096-mid", "crash-p8192-ckpt", "crash-p32768-mid"])
def test_redo_without_undo_gives_the_engines_pages(name: str, tmp_path: Path) -> None:
    if name not in manifest():
        pytest.skip("needs the shared reference files beside the checkout (folder 'shared')")
    folder, size = unpack_vector(name), manifest()[name]["page_size"]
    source = folder / "crash"
    out = str(tmp_path / "out")
    result = recover(OsEnv(), [str(source / "test.edb")], [str(source)], out, Options(undo=False))
    ours = Path(result.databases[0][0]).read_bytes()
    theirs = (folder / "redo/test.edb").read_bytes()
    wrong = []
    for pgno in range(1, len(theirs) // size - 1):
        at = (pgno + 1) * size
        mine, other = Page(ours[at : at + size], pgno), Page(theirs[at : at + size], pgno)
        same = (
            (mine.dbtime, mine.previous, mine.next, mine.objid, mine.external)
            == (other.dbtime, other.previous, other.next, other.objid, other.external)
        ) and mine.nodes() == other.nodes()
        # The engine may not write a page with changes of an open transaction before undo: it is
        # older in its file, never newer.
        if not same and other.tag_count and other.dbtime >= mine.dbtime:
            wrong.append(pgno)
    assert wrong == []


def test_a_database_of_another_stream_is_not_called_recovered(tmp_path: Path) -> None:
    if "errors-p4096" not in manifest():
        pytest.skip("needs the shared reference files beside the checkout (folder 'shared')")
    folder = unpack_vector("errors-p4096")
    databases = [str(folder / "base" / "test.edb")]
    shutil.copy(folder / "other" / "test.edb", tmp_path / "other.edb")
    for names in ([str(tmp_path / "other.edb")], [*databases, str(tmp_path / "other.edb")]):
        with pytest.raises(HotsplitError) as caught:
            recover(OsEnv(), names, [str(folder / "base")], str(tmp_path / "out"))
        assert caught.value.jet == -1216  # the engine's error for it
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("gone", "number"),
    [
        (["E0000000007.log"], -528),
        (["E000000000A.log"], -515),
        (["E00.log"], -543),
        (["E0000000007.log", "E00.chk"], -515),  # the engine begins at log 1
        ([f"E000000000{n}.log" for n in range(1, 8)], -528),
        ([f"E000000000{n}.log" for n in "789ABCDE"] + ["E00.log"], -528),
        ([f"E000000000{n}.log" for n in "789ABCDE"] + ["E00.log", "E00.chk"], -543),
        ([f"E000000000{n}.log" for n in "89ABCDE"] + ["E00.log"], -543),
        ([f"E000000000{n}.log" for n in range(1, 8)] + ["E00.chk"], -543),
    ],
)
def test_missing_logs_give_the_engines_error(gone: list[str], number: int, tmp_path: Path) -> None:
    if "errors-p4096" not in manifest():
        pytest.skip("needs the shared reference files beside the checkout (folder 'shared')")
    source = tmp_path / "set"
    shutil.copytree(unpack_vector("errors-p4096") / "base", source)
    for name in gone:
        (source / name).unlink()
    with pytest.raises(HotsplitError) as caught:
        recover(OsEnv(), [str(source / "test.edb")], [str(source)], str(tmp_path / "out"))
    assert caught.value.jet == number
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("one", "other", "number"), [(7, 8, -509), (10, 11, -515), (1, 2, 0)])
def test_logs_under_each_others_names(one: int, other: int, number: int, tmp_path: Path) -> None:
    """The numbers are the engine's; logs that are not required do not matter here."""
    if "errors-p4096" not in manifest():
        pytest.skip("needs the shared reference files beside the checkout (folder 'shared')")
    source = tmp_path / "set"
    shutil.copytree(unpack_vector("errors-p4096") / "base", source)
    first, second = (source / f"E00{n:08X}.log" for n in (one, other))
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)
    found = 0
    try:
        recover(OsEnv(), [str(source / "test.edb")], [str(source)], str(tmp_path / "out"))
    except HotsplitError as error:
        found = error.jet
    assert found == number


@pytest.mark.parametrize("part", [0.012, 0.5, 1.0])
def test_a_clean_database_that_was_cut_is_said_to_be_short(part: float, tmp_path: Path) -> None:
    """Nothing is to be replayed, so nothing else would tell."""
    name = "crash-p8192-lazy"
    if name not in manifest():
        pytest.skip("needs the shared reference files beside the checkout (folder 'shared')")
    whole = (unpack_vector(name) / "recovered/test.edb").read_bytes()
    source = tmp_path / "test.edb"
    source.write_bytes(whole[: int(part * len(whole))])
    result = recover(OsEnv(), [str(source)], [], str(tmp_path / "out"))
    expected = ["file-truncated"] if part < 1 else []
    assert [w.rule for w in result.warnings] == expected
    assert {w.file for w in result.warnings} <= {path for path, _, _ in result.databases}


def test_a_dirty_database_gets_its_length_back(tmp_path: Path) -> None:
    """What was cut off is made anew from the logs, or it is empty: the engine does the same."""
    if "crash-p8192-lazy" not in manifest():
        pytest.skip("needs the shared reference files beside the checkout (folder 'shared')")
    folder, source = unpack_vector("crash-p8192-lazy"), tmp_path / "set"
    shutil.copytree(folder / "crash", source)
    whole = (folder / "recovered/test.edb").stat().st_size
    os.truncate(source / "test.edb", whole // 5)
    recover(OsEnv(), [str(source / "test.edb")], [str(source)], str(tmp_path / "out"))
    assert (tmp_path / "out/test.edb").stat().st_size == whole


def test_an_error_names_the_source_not_the_copy(tmp_path: Path) -> None:
    """A log that ends before the newest page is only seen when all of it was replayed."""
    if "tail-cut-required-p8192" not in manifest():
        pytest.skip("needs the shared reference files beside the checkout (folder 'shared')")
    source = tmp_path / "set"
    shutil.copytree(unpack_vector("tail-cut-required-p8192") / "base", source)
    newest = bytearray((source / "test.edb").read_bytes())
    number = next(n for n in range(5, len(newest) // 8192) if any(newest[n * 8192 :][:8192]))
    page = newest[number * 8192 : (number + 1) * 8192]
    page[8:16] = (1 << 40).to_bytes(8, "little")  # dbtime
    stamp(page, number - 1)
    newest[number * 8192 : (number + 1) * 8192] = page
    (source / "test.edb").write_bytes(newest)
    with pytest.raises(LogsMissing) as caught:
        recover(OsEnv(), [str(source)], [], str(tmp_path / "out"))
    assert caught.value.file == str(source / "test.edb")
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_a_database_of_another_stream_is_said_to_be_left_out(tmp_path: Path) -> None:
    """Two instances in one folder: each recovery is of one of them, and says so."""
    if "multidb-p4096" not in manifest():
        pytest.skip("needs the shared reference files beside the checkout (folder 'shared')")
    source = tmp_path / "both"
    shutil.copytree(unpack_vector("multidb-p4096") / "crash", source)
    for path in (unpack_vector("hotsplit-p4096") / "snap2").iterdir():
        name = path.name.replace("E00", "E01").replace("test", "other")
        shutil.copy(path, source / name)
    left_out = {}
    for base in "E00", "E01":
        into = str(tmp_path / base)
        result = recover(OsEnv(), [str(source)], [], into, base=base)
        left_out[base] = {Path(w.file).name for w in result.warnings if w.rule == "other-stream"}
        there = {path.name for path in (tmp_path / base).iterdir()}
        assert there.isdisjoint(left_out[base])
        verdict = assess(OsEnv(), [str(source)], [], base=base)
        assert {Path(f.file).name for f in verdict.evidence if f.rule == "other-stream"} == (
            left_out[base]
        )
    assert left_out == {"E00": {"other.edb"}, "E01": {"test.edb", "test2.edb", "test3.edb"}}


def test_logs_that_end_before_the_point_in_time(tmp_path: Path) -> None:
    if "hotsplit-p4096" not in manifest():
        pytest.skip("needs the shared reference files beside the checkout (folder 'shared')")
    source = str(unpack_vector("hotsplit-p4096") / "snap2")
    warned = {}
    for until in 10, 11:
        options = Options(until=LogPosition(until))
        result = recover(OsEnv(), [source], [], str(tmp_path / str(until)), options)
        warned[until] = [w.rule for w in result.warnings]
    assert warned == {10: [], 11: ["until"]}
    with pytest.raises(LogsMissing) as caught:
        recover(OsEnv(), [source], [], str(tmp_path / "no"), Options(until=LogPosition(9)))
    assert "log 10 or later" in caught.value.hint
