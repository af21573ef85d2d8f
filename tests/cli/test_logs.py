"""`hotsplit logs` and `hotsplit inspect` on real files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from hotsplit.cli import inspect_cmd, logs_cmd
from hotsplit.errors import FileMissing, HeaderDamaged, LogsMissing, NotEseFile
from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.files.flushmapfile import FlushMapFile
from tests.conftest import unpack_vector


def run(command: Any, *args: str) -> tuple[int, str]:
    """Run a command as the group does; return its exit status and what it printed."""
    runner = CliRunner()
    with runner.isolation() as streams:
        status = command.main(args=list(args), prog_name="hotsplit", standalone_mode=False)
        return status, streams[0].getvalue().decode()


@pytest.fixture
def crash(shared: Path, tmp_path: Path) -> Path:
    target = tmp_path / "crash"
    shutil.copytree(unpack_vector("crash-p4096-mid") / "crash", target)
    return target


def test_whole_stream(crash: Path) -> None:
    status, text = run(logs_cmd.command, str(crash))
    assert status == 0
    assert "E0000000001.log" in text
    assert "Replay would start at (0x1,1,0) (checkpoint)." in text
    status, text = run(logs_cmd.command, str(crash), "--json")
    report = json.loads(text)
    (stream,) = report["streams"]
    assert (status, report["error"], stream["gaps"]) == (0, None, [])
    assert [log["generation"] for log in stream["logs"]] == [1, 2, 3, 4, 5, 6, 7]
    assert [log["state"] for log in stream["logs"]] == ["ok"] * 6 + ["current"]
    assert stream["logs"][-1]["end"] == "(0x7,6,0)"


def test_trouble_has_a_status_and_a_name(crash: Path) -> None:
    (crash / "E0000000003.log").unlink()
    status, text = run(logs_cmd.command, str(crash), "--json")
    report = json.loads(text)
    assert (status, report["error"]["name"]) == (17, "JET_errMissingLogFile")
    assert report["streams"][0]["gaps"] == [[3, 3]]
    torn = crash / "E00.log"
    data = bytearray(torn.read_bytes())
    data[5 * 4096 + 60 : 7 * 4096] = bytes(8132)  # the last segment and its shadow
    torn.write_bytes(data)
    (crash / "E0000000003.log").write_bytes(b"")
    status, text = run(logs_cmd.command, str(crash), "--json")
    states = {x["generation"]: x["state"] for x in json.loads(text)["streams"][0]["logs"]}
    assert (status, states[3], states[7]) == (15, "damaged", "torn tail")
    _, text = run(logs_cmd.command, str(crash))
    assert "JET_errLogFileCorrupt (-501)" in text
    assert "JET_errFileIOBeyondEOF (-4001)" in text


def test_the_engines_own_shadow_copy_is_used(crash: Path) -> None:
    data = bytearray((crash / "E00.log").read_bytes())
    data[5 * 4096 + 60 : 6 * 4096] = bytes(4036)
    (crash / "E00.log").write_bytes(data)
    status, text = run(logs_cmd.command, str(crash), "--json")
    (stream,) = json.loads(text)["streams"]
    assert (status, stream["logs"][-1]["corrected"]) == (0, ["(0x7,5,0)"])
    assert stream["logs"][-1]["end"] == "(0x7,6,0)"
    assert [f["rule"] for f in stream["findings"]] == ["log-corrected"]


def test_no_logs(tmp_path: Path) -> None:
    with pytest.raises(LogsMissing):
        run(logs_cmd.command, str(tmp_path))


def test_a_file_instead_of_a_folder(crash: Path) -> None:
    with pytest.raises(FileMissing) as caught:
        run(logs_cmd.command, str(crash / "E00.log"))
    assert "folder" in caught.value.hint


def test_inspect_says_what_the_engine_says(crash: Path) -> None:
    home = unpack_vector("crash-p4096-mid") / "eseutil"
    status, text = run(inspect_cmd.command, *(str(crash / f) for f in ("test.edb", "E00.chk")))
    assert status == 0
    for dump, labels in (
        ("crash.mh.txt", ("State", "DB Signature", "cbDbPage", "dbtime", "Last Objid", "Dbid")),
        ("crash.mk.txt", ("Checkpoint", "DbConsistency", "Signature")),
    ):
        said = dict(
            line.strip().split(": ", 1)
            for line in (home / dump).read_text().splitlines()
            if ": " in line
        )
        for label in labels[:-1]:
            shown = [
                x.split(": ", 1)[1].strip()
                for x in text.splitlines()
                if x[2:].startswith(label + ":")
            ]
            assert said[label].strip() in shown
    assert "1-7 (0x1-0x7)" in text


def test_inspect_json(crash: Path) -> None:
    names = ("test.edb", "E00.log", "E00.chk", "test.jfm", "E00res00001.jrs")
    status, text = run(inspect_cmd.command, *(str(crash / n) for n in names), "--json")
    files = json.loads(text)["files"]
    kinds = ["database", "log", "checkpoint", "flush map", "reserve log"]
    assert (status, [f["kind"] for f in files]) == (0, kinds)
    assert files[0]["header"]["state_name"] == "Dirty Shutdown"
    assert files[1]["header"]["generation"] == 7
    assert files[1]["header"]["created"] == "2026-11-22T15:49:59.217000+00:00"
    assert files[2]["header"]["position"] == "(0x1,1,0)"


def test_inspect_goes_on_behind_a_bad_file(crash: Path, tmp_path: Path) -> None:
    text_file = tmp_path / "notes.txt"
    text_file.write_text("no database")
    args = (str(text_file), str(tmp_path / "none"), str(crash / "E00.log"), "--json")
    status, text = run(inspect_cmd.command, *args)
    report = json.loads(text)
    assert (status, report["error"]["file"]) == (11, str(text_file))
    assert report["files"][1]["error"]["name"] == "JET_errFileNotFound"
    assert report["files"][2]["kind"] == "log"


def test_inspect_a_folder(crash: Path, tmp_path: Path) -> None:
    """All ESE files in it, a line each, with what one wants to know first."""
    folder = tmp_path / "set"
    shutil.copytree(crash, folder)
    (folder / "notes.txt").write_text("no database")
    status, text = run(inspect_cmd.command, str(folder))
    lines = {line.split()[0]: line for line in text.splitlines() if line.strip()}
    names = {path.name for path in folder.iterdir()} - {"notes.txt"}
    assert (status, set(lines) - {f"{folder}:", "File"}) == (0, names)
    assert lines["test.edb"].endswith("database     Dirty Shutdown, log required 1-7")
    assert "generation 7, created 2026-11-22T15:49:59.217000" in lines["E00.log"]
    assert "checkpoint (0x1,1,0)" in lines["E00.chk"]
    status, text = run(inspect_cmd.command, str(folder), "--json")
    files = json.loads(text)["files"]
    assert {Path(entry["path"]).name for entry in files} == names
    assert all(entry["header"] for entry in files if entry["kind"] != "reserve log")


def test_inspect_a_folder_with_a_damaged_file(crash: Path, tmp_path: Path) -> None:
    (tmp_path / "E00.log").write_bytes((crash / "E00.log").read_bytes())
    damaged = bytearray((crash / "test.jfm").read_bytes())
    damaged[100] ^= 1
    (tmp_path / "test.jfm").write_bytes(damaged)
    status, text = run(inspect_cmd.command, str(tmp_path), "--json")
    report = json.loads(text)
    assert status == HeaderDamaged.exit_status
    assert report["error"]["file"] == str(tmp_path / "test.jfm")
    assert [entry["error"] is None for entry in report["files"]] == [True, False]
    (tmp_path / "nothing").mkdir()
    status, _ = run(inspect_cmd.command, str(tmp_path / "nothing"), "--json")
    assert status == NotEseFile.exit_status


def test_inspect_a_flush_map(crash: Path) -> None:
    status, text = run(inspect_cmd.command, str(crash / "test.jfm"))
    assert status == 0
    with FlushMapFile.open(OsEnv(), str(crash / "test.jfm")) as file:
        assert f"{file.header.create_time}" in text
        assert f"Pages:                     {file.page_count}" in text
