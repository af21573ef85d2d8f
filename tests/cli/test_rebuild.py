"""`hotsplit compact`, `repair` and `scrub`: what they print and how they exit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from hotsplit.cli import compact_cmd, main, repair_cmd, scrub_cmd
from hotsplit.errors import DirtyDatabase, HotsplitError, TargetExists
from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.read.database import Database
from tests.conftest import manifest, unpack_vector
from tests.ese.rebuild.samples import contents, findings, recovered

COMMANDS = {
    "compact": compact_cmd.command,
    "repair": repair_cmd.command,
    "scrub": scrub_cmd.command,
}


def run(name: str, *arguments: object) -> Result:
    """Run a command; a returned status counts as the exit status, as in the real program."""
    texts = [str(a) for a in arguments]
    result = CliRunner().invoke(COMMANDS[name], texts, standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    result.exit_code = result.return_value or 0
    return result


@pytest.fixture
def database(corpus: Path, tmp_path: Path) -> Path:
    target = tmp_path / "SRUDB.dat"
    shutil.copyfile(corpus / "srum" / "win10-19043-clean-before" / "SRUDB.dat", target)
    return target


@pytest.mark.parametrize("name", COMMANDS)
def test_a_sound_database(name: str, database: Path, tmp_path: Path) -> None:
    before, into = database.read_bytes(), tmp_path / "new.dat"
    result = run(name, database, "--into", into)
    assert result.exit_code == 0
    assert result.stderr == ""
    assert str(into) in result.stdout
    assert database.read_bytes() == before
    assert list(contents(into)) == list(contents(database))
    with pytest.raises(TargetExists) as caught:
        run(name, database, "--into", into)
    assert caught.value.file == str(into)
    other: dict[str, Any] = json.loads(
        run(name, database, "--into", tmp_path / "2.dat", "--json").stdout
    )
    assert other["error"] is None
    assert other["into"] == str(tmp_path / "2.dat")
    assert (other["pages"] + 2) * other["page_size"] == (tmp_path / "2.dat").stat().st_size
    page = (Path(__file__).parents[2] / "docs" / "mending.md").read_text()
    assert [key for key in other if f"`{key}`" not in page] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_replay_reads_a_dirty_database(name: str, tmp_path: Path) -> None:
    if "crash-p4096-base" not in manifest():
        pytest.skip("needs the shared reference files beside the checkout (folder 'shared')")
    source, into = unpack_vector("crash-p4096-base") / "crash", tmp_path / "new.edb"
    before = {path.name: path.read_bytes() for path in source.iterdir()}
    if name != "repair":
        with pytest.raises(DirtyDatabase):
            run(name, source / "test.edb", "--into", into)
    assert run(name, source / "test.edb", "--into", into, "--replay").exit_code == 0
    assert not findings(into)
    assert {path.name: path.read_bytes() for path in source.iterdir()} == before
    wanted = contents(recovered("crash-p4096-base"))
    found = contents(into)
    assert all(found[name] == wanted[name] for name in wanted if name.startswith("table T"))


def test_repair_says_what_is_lost(database: Path, tmp_path: Path) -> None:
    with Database.open(OsEnv(), str(database)) as db:
        table = max(db, key=lambda table: table.count())
        leaf = list(table.tree().leaf_order())[1]
    data = bytearray(database.read_bytes())
    for pgno in (4, leaf):
        data[(pgno + 1) * 4096 : (pgno + 2) * 4096] = b"\x55" * 4096
    database.write_bytes(data)
    result = run("repair", database, "--into", tmp_path / "new.dat")
    assert result.exit_code == repair_cmd.LOST
    assert f"Damaged pages: 4, {leaf}\n" in result.stdout
    assert "the catalog: unusable pages: 4; " in result.stdout
    assert f"table {table.name}: unusable pages: {leaf}; rows lost: about" in result.stdout
    assert "Something was lost. The result is sound." in result.stdout
    report = json.loads(run("repair", database, "--into", tmp_path / "2.dat", "--json").stdout)
    assert report["lost_anything"]
    assert report["sound"]
    assert {page for tree in report["trees"] for page in tree["pages"]} == {4, leaf}


@pytest.mark.parametrize("name", COMMANDS)
def test_what_is_no_database(name: str, tmp_path: Path) -> None:
    source = tmp_path / "text"
    source.write_text("no database" * 10_000)
    with pytest.raises(HotsplitError):
        run(name, source, "--into", tmp_path / "new.edb")
    assert list(tmp_path.iterdir()) == [source]


def test_errors_have_the_engines_names(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dirty = str(corpus / "srum/win10-17763-dirty/SRUDB.dat")
    with pytest.raises(SystemExit) as caught:
        main(["compact", dirty, "--into", str(tmp_path / "new.edb"), "--json"])
    assert caught.value.code == DirtyDatabase.exit_status
    error = json.loads(capsys.readouterr().out)["error"]
    assert (error["name"], error["number"]) == ("JET_errDatabaseDirtyShutdown", -550)
    assert "hotsplit recover" in error["hint"]
