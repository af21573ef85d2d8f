"""`hotsplit verify`: what it prints and how it exits."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from hotsplit.cli import verify_cmd
from hotsplit.ese.format.header import choose_header


def run(*arguments: object) -> Result:
    """Run the command; a returned status counts as the exit status, as in the real program."""
    runner = CliRunner()
    texts = [str(a) for a in arguments]
    result = runner.invoke(verify_cmd.command, texts, standalone_mode=False)
    assert result.exception is None, result.exception
    result.exit_code = result.return_value
    return result


def report(*arguments: object) -> tuple[int, dict[str, Any]]:
    result = run(*arguments, "--json")
    return result.exit_code, json.loads(result.stdout)


@pytest.fixture
def database(corpus: Path, tmp_path: Path) -> Path:
    target = tmp_path / "SRUDB.dat"
    shutil.copyfile(corpus / "srum" / "win10-19043-clean-before" / "SRUDB.dat", target)
    return target


def flip(path: Path, offset: int, mask: int = 1) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= mask
    path.write_bytes(data)


def test_a_sound_database(database: Path) -> None:
    before = database.read_bytes()
    result = run(database)
    assert result.exit_code == 0
    assert "Nothing is wrong." in result.stdout
    assert result.stderr == ""
    status, found = report(database)
    assert (status, found["error"], found["findings"]) == (0, None, [])
    assert found["pages"] == len(before) // 4096
    assert found["bytes"] == len(before)
    assert found["mb_per_second"] > 0
    (entry,) = found["files"]
    assert (entry["file"], entry["kind"]) == (str(database), "database")
    for key in ("pages", "bad", "correctable", "uninitialized", "wrong_page_number"):
        assert entry[key] == found[key]
    assert database.read_bytes() == before


def test_one_wrong_bit_is_told_by_the_exit_status(database: Path) -> None:
    flip(database, 5 * 4096 + 1000, 4)
    status, found = report(database)
    assert (status, found["correctable"], found["bad"]) == (3, 1, 0)
    (finding,) = found["findings"]
    assert (finding["rule"], finding["position"]) == ("page-correctable", "page 4")
    assert "single wrong bits" in run(database).stdout


def test_damage_is_told_by_the_exit_status(database: Path) -> None:
    flip(database, 5 * 4096 + 1000, 3)
    status, found = report(database)
    assert (status, found["correctable"], found["bad"]) == (4, 0, 1)
    (finding,) = found["findings"]
    assert finding["error"] == {"name": "JET_errReadVerifyFailure", "number": -1018}
    text = run(database).stdout
    assert f"{database}, page 4: " in text
    assert "JET_errReadVerifyFailure (-1018)" in text


def test_pages_that_changed_places(database: Path) -> None:
    data = bytearray(database.read_bytes())
    data[5 * 4096 : 6 * 4096], data[6 * 4096 : 7 * 4096] = (
        data[6 * 4096 : 7 * 4096],
        data[5 * 4096 : 6 * 4096],
    )
    database.write_bytes(data)
    status, found = report(database)
    assert (status, found["bad"], found["wrong_page_number"]) == (4, 2, 2)
    assert [f["rule"] for f in found["findings"]] == ["page-number"] * 2


def test_no_usable_header(database: Path) -> None:
    flip(database, 100)
    assert report(database)[0] == 4
    flip(database, 4096 + 100)
    status, found = report(database)
    assert (status, found["bad"]) == (4, 1)
    assert found["error"]["number"] == -1018
    assert found["error"]["file"] == str(database)
    result = run(database)
    assert "JET_errReadVerifyFailure (-1018)" in result.stderr
    assert "Next: " in result.stderr


def test_a_whole_folder(corpus: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(corpus / "srum" / "win10-17763-dirty", folder)
    (folder / "notes.txt").write_text("not ESE")
    (folder / "empty").mkdir()
    status, found = report(folder)
    kinds = [entry["kind"] for entry in found["files"]]
    assert status == 0
    assert found["skipped"] == [str(folder / "notes.txt")]
    assert (kinds.count("log"), kinds.count("database"), kinds.count("flush map")) == (5, 1, 1)
    assert found["pages"] == sum(entry["pages"] for entry in found["files"])
    flip(folder / "SRU.chk", 60)
    flip(folder / "SRU.chk", 4096 + 60)
    (folder / "SRU00050.log").write_bytes(bytes(65536))
    status, found = report(folder)
    wrong = {Path(e["file"]).name: e["error"]["number"] for e in found["files"] if e["error"]}
    assert status == 4
    assert wrong == {"SRU.chk": -533, "SRU00050.log": -501}


def test_what_cannot_be_checked(tmp_path: Path) -> None:
    assert report(tmp_path / "nothing.edb")[0] == 26
    text = tmp_path / "notes.txt"
    text.write_text("hello")
    status, found = report(text)
    assert (status, found["error"]["name"]) == (11, "JET_errFileInvalidType")
    assert found["findings"][0]["rule"] == "not-checked"


def test_a_file_that_changes_while_it_is_read(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = verify_cmd.Throttle.__call__

    def write(throttle: verify_cmd.Throttle, amount: int) -> None:
        header = choose_header(database.read_bytes()[:65536]).header
        header.dbtime += 1
        with database.open("r+b") as file:
            file.write(header.sealed() * 2)
        real(throttle, amount)

    monkeypatch.setattr(verify_cmd.Throttle, "__call__", write)
    status, found = report(database)
    assert (status, found["error"]["file"]) == (29, str(database))
    assert found["pages"] > 0


def test_the_throttle_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "sleep", sleep)
    throttle = verify_cmd.Throttle(2.0)
    for _ in range(10):
        throttle(1_000_000)
        now[0] += 0.1
    assert now[0] - 100.0 == pytest.approx(5.1)
    verify_cmd.Throttle(None)(10**12)
    assert sum(slept) == pytest.approx(5.1 - 0.1 * 10)


def test_many_findings_are_cut_on_the_screen_only(database: Path) -> None:
    size = database.stat().st_size
    with database.open("ab") as file:
        file.write(b"\x5a" * 4096 * 50)
    status, found = report(database)
    assert (status, len(found["findings"])) == (0, 50)
    text = run(database).stdout
    assert text.count("[page-unowned]") == 20
    assert "30 more" in text
    assert "see the warnings" in text
    assert found["bytes"] == size + 4096 * 50
