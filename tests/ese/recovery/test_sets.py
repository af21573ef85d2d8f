"""Sets of the real engine with several volumes, databases, backups: its rows or its errors."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from hotsplit.errors import HotsplitError, Jet
from hotsplit.ese.check.integrity import check_database
from hotsplit.ese.files.database import DatabaseFile
from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.format.basics import LogPosition
from hotsplit.ese.format.header import DbState
from hotsplit.ese.read.database import Database
from hotsplit.ese.recovery.options import Options
from hotsplit.ese.recovery.recover import Recovered, recover
from hotsplit.report import Reporter, Severity
from tests.conftest import manifest, set_names, unpack_vector
from tests.damage import apply_ops
from tests.expected import compare_rows


def differences(database: str, expected: Path) -> list[str]:
    with Database.open(OsEnv(), database) as db:
        assert not db.is_dirty
        return compare_rows(db, json.loads(expected.read_text()))


def attempt(
    sources: list[Path],
    logs: list[Path],
    into: Path,
    options: Options = Options(),  # noqa: B008
) -> tuple[int, Recovered | None]:
    """Recover; return the JET error number (0 for none) and the result."""
    try:
        result = recover(OsEnv(), list(map(str, sources)), list(map(str, logs)), str(into), options)
    except HotsplitError as error:
        assert not into.exists()
        return int(error.jet), None
    return 0, result


def two_volumes() -> list[tuple[str, str]]:
    return [(n, pair) for n in set_names("hotsplit-two") for pair in manifest()[n]["pairs"]]


@pytest.mark.parametrize(("name", "pair"), two_volumes())
def test_database_and_logs_from_two_volumes(name: str, pair: str, tmp_path: Path) -> None:
    folder, case = unpack_vector(name), manifest()[name]["pairs"][pair]
    database, logs = pair.split("_")[0].split("+")
    number, result = attempt([folder / database / "test.edb"], [folder / logs], tmp_path / "out")
    # A checkpoint newer than the database makes the engine fail (-543); here it is set aside,
    # and the result is the one that the engine has without it.
    best = manifest()[name]["pairs"].get(f"{database}+{logs}_no_checkpoint", case)
    assert number == best["error"]
    if result is not None:
        assert differences(result.databases[0][0], folder / best["rows_json"]) == []


@pytest.mark.parametrize("name", set_names("os-snapshot"))
def test_a_frozen_snapshot(name: str, tmp_path: Path) -> None:
    folder = unpack_vector(name)
    database = folder / "snap" / "test.edb"
    _, alone = attempt([database], [], tmp_path / "alone")
    assert alone is not None
    assert differences(alone.databases[0][0], folder / "snap.json") == []
    _, rolled = attempt([database], [folder / "end"], tmp_path / "rolled")
    assert rolled is not None
    assert differences(rolled.databases[0][0], folder / "end.json") == []


def several_databases() -> list[tuple[str, str]]:
    return [(n, case) for n in set_names("multidb") for case in manifest()[n]["recoveries"]]


@pytest.mark.parametrize(("name", "case_name"), several_databases())
def test_several_databases_of_one_stream(name: str, case_name: str, tmp_path: Path) -> None:
    folder, case = unpack_vector(name), manifest()[name]["recoveries"][case_name]
    source, grbit = tmp_path / "set", case["grbit"]
    shutil.copytree(folder / "crash", source)
    for gone in case["missing"]:
        (source / gone).unlink()
    if case["checkpoint_removed"]:
        (source / "E00.chk").unlink()
    sources = [source]
    for moved in case.get("moved", []):
        (source / "sub").mkdir()
        (source / moved).rename(source / "sub" / moved)
        sources.append(source / "sub" / moved)
    options = Options(undo=not grbit & 8, ignore_missing=bool(grbit & 4))
    number, result = attempt(sources, [source], tmp_path / "out", options)
    if "restore_map" in case and case["result"]["error"]:
        # The engine knows only the paths of the map; databases are found by signature here.
        assert number == 0
    else:
        assert number == (0 if not options.undo else case["result"]["error"])
    if result is not None and options.undo:
        for path, state, _ in result.databases:
            assert state == "CLEAN_SHUTDOWN"
            assert differences(path, folder / "expected" / f"{Path(path).stem}.json") == []


def test_a_database_that_was_left_out_is_recovered_later(tmp_path: Path) -> None:
    """The engine reports success and leaves it dirty (multidb: ...-ignore-then-return)."""
    for name in set_names("multidb"):
        folder = unpack_vector(name)
        rest, logs = folder / "crash" / "test2.edb", folder / "crash"
        number, result = attempt([rest], [logs], tmp_path / name, Options(ignore_missing=True))
        assert number == 0
        assert result is not None
        assert [w.rule for w in result.warnings].count("database-left-out") == 2
        assert differences(result.databases[0][0], folder / "expected" / "test2.json") == []


def cuts() -> list[tuple[str, str]]:
    return [(n, c["case"]) for n in set_names("tail-cut") for c in manifest()[n]["cases"]]


@pytest.mark.parametrize(("name", "case_name"), cuts())
def test_logs_cut_short(name: str, case_name: str, tmp_path: Path) -> None:
    folder = unpack_vector(name)
    case: dict[str, Any] = next(c for c in manifest()[name]["cases"] if c["case"] == case_name)
    source = tmp_path / "set"
    apply_ops(folder, case["ops"], source)
    number, result = attempt([source], [], tmp_path / "out")
    engine = case["result"]
    if engine.get("integrity") == "corrupted":
        # The engine calls this clean: pages are newer than the end of the logs.
        assert number == Jet.errRequiredLogFilesMissing
        return
    if name == "tail-cut-required-p8192" and number:
        assert number == Jet.errRequiredLogFilesMissing  # stricter than the engine's luck
        return
    assert number == engine["error"]
    if result is not None:
        assert differences(result.databases[0][0], folder / engine["rows_json"]) == []
        return
    number, result = attempt([source], [], tmp_path / "cut", Options(cut_torn_tail=True))
    assert number == 0
    assert result is not None
    assert any(w.rule == "torn-tail-cut" for w in result.warnings)


def restores() -> list[tuple[str, str]]:
    return [(n, case) for n in set_names("backup-stream") for case in manifest()[n]["restores"]]


@pytest.mark.parametrize(("name", "case_name"), restores())
def test_streaming_backups(name: str, case_name: str, tmp_path: Path) -> None:
    folder, case = unpack_vector(name), manifest()[name]["restores"][case_name]
    source = tmp_path / "set"
    source.mkdir()
    for part, _ in case["parts"]:
        for path in (folder / {"d": "live"}.get(part, part)).iterdir():
            if part != "d" or path.suffix == ".log":
                shutil.copy(path, source)
    logs = sorted(p for p in source.glob("E00?*.log") if "tmp" not in p.name)
    gone = {"first": logs[:1], "middle": logs[len(logs) // 2 : len(logs) // 2 + 1]}
    for word, paths in gone.items():
        if f"missing_{word}" in case_name:
            paths[0].unlink()
    hard = not case_name.endswith("_soft")
    high = case.get("genhigh")
    until = LogPosition(high, 0, 0) if high and "missing_last" in case_name else None
    folders = [source]
    if case.get("log_directory_of_live_engine"):
        folders.append(folder / "live")
    number, result = attempt(
        [source / "test.edb"], folders, tmp_path / "out", Options(hard=hard, until=until)
    )
    assert number == case["error"], case_name
    if result is None:
        return
    rows = (
        case.get("rows_json")
        or {
            "full": "content_full.json",
            "incr": "content_incr.json",
            "end": "content_end.json",
        }[case["same_rows_as"][0]]
    )
    assert differences(result.databases[0][0], folder / rows) == []


@pytest.mark.parametrize("until", [LogPosition(30), LogPosition(30, 9), LogPosition(31, 3, 500)])
def test_a_point_in_time_between_required_and_last(until: LogPosition, tmp_path: Path) -> None:
    """Rolled forward part of the way: a sound database that knows nothing from behind the stop."""
    if "errors-p4096" not in manifest():
        pytest.skip("needs the shared reference files beside the checkout (folder 'shared')")
    folder = unpack_vector("errors-p4096")
    database, logs = folder / "base" / "test.edb", folder / "late"
    number, whole = attempt([database], [logs], tmp_path / "whole")
    assert number == 0
    number, part = attempt([database], [logs], tmp_path / "part", Options(until=until))
    assert number == 0
    assert whole is not None
    assert part is not None
    assert part.last == until.generation < whole.last
    assert part.records < whole.records
    result = check_database(OsEnv(), part.databases[0][0], Reporter())
    assert [f for f in result.reporter.findings if f.severity == Severity.ERROR] == []
    with DatabaseFile.open(OsEnv(), part.databases[0][0]) as file:
        assert file.header.state == DbState.CLEAN_SHUTDOWN
