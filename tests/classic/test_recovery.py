"""``eseutil /r`` and what comes after it: integrity, defragmentation, securing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from hotsplit.errors import Jet
from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.read.database import Database
from tests.classic.tool import ours, run_eseutil
from tests.conftest import manifest, unpack_vector
from tests.damage import apply_ops

SET = "errors-p4096"
SETS = (SET, "errors-p8192-llr", "tail-cut-p4096")

# Cases in which hotsplit decides otherwise (docs/engine-differences.md), or that depend on who
# runs them (read-only files) or vary from run to run with the original.
DIFFERENT = {
    "checkpoint-later": 0,
    "checkpoint-later-with-later-logs": 0,
    "earlier-database": 0,
}
ALLOWED = {("errors-p8192-llr", "page-zeroed-redo-0"): 0}
UNSTEADY = ("db-read-only", "extra-log-with-gap-above")


def cases() -> list[tuple[str, str]]:
    return [
        (name, case["case"])
        for name in SETS
        for case in manifest().get(name, {}).get("cases", [])
        if case.get("eseutil_r") and case["case"] not in UNSTEADY
    ]


@pytest.mark.parametrize(("name", "case_name"), cases())
def test_results_are_those_of_the_original(name: str, case_name: str, tmp_path: Path) -> None:
    case = next(c for c in manifest()[name]["cases"] if c["case"] == case_name)
    expected = DIFFERENT.get(case_name, ALLOWED.get((name, case_name), case["eseutil_r"]["error"]))
    folder = tmp_path / "copy"
    apply_ops(unpack_vector(name), case["ops"], folder)
    switches = ["/i"] if case_name.endswith("ignore-missing") else []
    if case.get("altdb") == "sub":
        switches.append(f"/d{folder / 'sub'}")
    ran = run_eseutil("/r", "E00", f"-l{folder}", f"-s{folder}", *switches)
    assert ran.result == expected
    closing = next(line for line in ran.out if line.startswith("Operation"))
    if expected:
        title = case["eseutil_r"]["name"]
        assert closing.startswith(f"Operation terminated with error {expected} ({title}, ")
    else:
        assert closing.startswith("Operation completed successfully in ")


@pytest.fixture
def copy(shared: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(unpack_vector(SET) / "base", tmp_path / "copy"))


def test_what_is_shown(copy: Path) -> None:
    shown = ours(run_eseutil("/R", "E00", "/L", copy, "/S", copy, "/I"))
    assert shown == [
        "",
        "",
        "Initiating RECOVERY mode...",
        "    Logfile base name: E00",
        f"            Log files: {copy.name}",
        f"         System files: {copy.name}",
        "",
        "Performing soft recovery...",
        "",
        "                      Restore Status (% complete)",
        "",
        "          0    10   20   30   40   50   60   70   80   90  100",
        "          |----|----|----|----|----|----|----|----|----|----|",
        "          ...................................................",
        "",
        "",
        "Operation completed successfully in #.",
    ]


def test_a_lossy_recovery_is_pointed_out(copy: Path) -> None:
    (copy / "E0000000007.log").unlink()
    ran = run_eseutil("/r", "E00", "-l", copy)
    text = "Recovery has indicated that there might be a lossy recovery option."
    assert f"  \t{text}  Run recovery with the /a argument." in ran.out
    assert ran.result == Jet.errMissingLogFile


@pytest.mark.parametrize("switch", ["/a", "/u", "/u7", "/bsomewhere"])
def test_what_is_not_done_in_place(copy: Path, switch: str) -> None:
    before = {path.name: path.read_bytes() for path in copy.iterdir()}
    ran = run_eseutil("/r", "E00", f"-l{copy}", switch)
    assert ran.result == Jet.errFeatureNotAvailable
    assert {path.name: path.read_bytes() for path in copy.iterdir()} == before


def test_redo_only_into_a_new_folder(copy: Path, tmp_path: Path) -> None:
    ran = run_eseutil("/r", "E00", f"-l{copy}", "/u", f"-r{tmp_path / 'new'}")
    assert ran.result == Jet.errRecoveredWithoutUndo
    header = run_eseutil("/mh", tmp_path / "new" / "test.edb").out
    assert "            State: Dirty Shutdown" in header


def test_a_backup_is_restored(shared: Path, tmp_path: Path) -> None:
    full = unpack_vector("backup-stream-p4096") / "full"
    ran = run_eseutil("/r", "E00", f"-b{full}", f"-r{tmp_path / 'new'}")
    assert ran.result == 0
    assert run_eseutil("/g", tmp_path / "new" / "test.edb").result == 0


@pytest.fixture
def clean(copy: Path) -> Path:
    assert run_eseutil("/r", "E00", f"-l{copy}", f"-s{copy}").result == 0
    return copy / "test.edb"


def rows(path: Path) -> dict[str, int]:
    with Database.open(OsEnv(), str(path)) as database:
        return {table.name: table.count() for table in database}


def test_integrity(copy: Path, clean: Path) -> None:
    assert "Integrity check successful." in run_eseutil("/g", clean).out
    data = bytearray(clean.read_bytes())
    data[5 * 4096 + 100 : 5 * 4096 + 120] = bytes(20)
    clean.write_bytes(data)
    ran = run_eseutil("/g", clean)
    assert ran.result == Jet.errDatabaseCorrupted
    assert "Integrity check completed.  Database is CORRUPTED!" in ran.out
    assert any(line.startswith("ERROR: page 4") for line in ran.err)


def test_integrity_of_a_dirty_database(copy: Path) -> None:
    ran = run_eseutil("/g", copy / "test.edb")
    assert ran.result == Jet.errDatabaseDirtyShutdown
    assert "The database is not up-to-date. This operation may find that" in ran.out


@pytest.mark.parametrize("mode", ["/d", "/z"])
def test_rebuilt_in_its_place(clean: Path, mode: str) -> None:
    before, old = rows(clean), clean.read_bytes()
    backup = clean.parent / "old.edb"
    ran = run_eseutil(mode, clean, f"-b{backup}")
    assert ran.result == 0
    assert backup.read_bytes() == old
    assert clean.read_bytes() != old
    assert rows(clean) == before
    assert run_eseutil("/g", clean).result == 0
    assert not list(clean.parent.glob("TEMP*"))


def test_a_temporary_database_that_is_kept(clean: Path, tmp_path: Path) -> None:
    old = clean.read_bytes()
    ran = run_eseutil("/d", clean, "/p", f"-t{tmp_path / 'small.edb'}")
    assert ran.result == 0
    assert clean.read_bytes() == old
    assert rows(tmp_path / "small.edb") == rows(clean)


def test_a_dirty_database_is_not_rebuilt(copy: Path) -> None:
    old = (copy / "test.edb").read_bytes()
    assert run_eseutil("/d", copy / "test.edb").result == Jet.errDatabaseDirtyShutdown
    assert (copy / "test.edb").read_bytes() == old


def damaged(clean: Path) -> None:
    data = bytearray(clean.read_bytes())
    data[57 * 4096 + 700 : 57 * 4096 + 710] = bytes(10)
    clean.write_bytes(data)


def test_a_damaged_database_is_repaired(clean: Path) -> None:
    damaged(clean)
    old = clean.read_bytes()
    ran = run_eseutil("/p", clean)
    assert ran.result == 0
    assert any(line.startswith("Operation completed successfully with 595 (") for line in ran.out)
    assert "ERROR: page 56 cannot be read" in ran.err
    assert Path(f"{clean}.unrepaired").read_bytes() == old
    assert run_eseutil("/g", clean).result == 0
    assert any(line == "     Repair Count: 1" for line in run_eseutil("/mh", clean).out)
    damaged(clean)
    second = run_eseutil("/p", clean)
    assert second.result == Jet.errFileAlreadyExists  # what was kept is not lost


def test_a_sound_database_is_left_alone(clean: Path) -> None:
    old = clean.read_bytes()
    ran = run_eseutil("/p", clean)
    assert ran.result == 0
    assert "Integrity check successful." in ran.out
    assert clean.read_bytes() == old


def test_a_dirty_database_is_repaired_only_if_one_insists(copy: Path) -> None:
    path = copy / "test.edb"
    old = path.read_bytes()
    assert run_eseutil("/p", path).result == Jet.errDatabaseDirtyShutdown
    assert path.read_bytes() == old
    assert run_eseutil("/p", path, "/o").result == 0
    assert "            State: Clean Shutdown" in run_eseutil("/mh", path).out
