"""What commands do when nobody reads their output, when it is full, when they are misused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hotsplit.cli import main
from hotsplit.errors import DiskFull, IoFailed
from tests.conftest import unpack_vector


@pytest.fixture
def database(shared: Path) -> str:
    return str(unpack_vector("crash-p4096-base") / "recovered" / "test.edb")


def shell(redirected: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command with its standard output as a shell is told."""
    code = "from hotsplit.cli import main; main()"
    line = ["bash", "-c", redirected, "bash", sys.executable, "-c", code, *arguments]
    return subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)


COMMANDS = [["rows", "LV"], ["rows", "LV", "--json"], ["tables"], ["tables", "--json"]]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_full_disk(database: str, command: list[str]) -> None:
    ended = shell('"$@" > /dev/full', command[0], database, *command[1:])
    assert ended.returncode == DiskFull.exit_status
    assert ended.stderr.startswith("Error: standard output: ")
    assert "Traceback" not in ended.stderr
    assert "ignored" not in ended.stderr


def test_a_reader_that_goes_away(database: str) -> None:
    ended = shell('"$@" | true; echo ${PIPESTATUS[0]}', "rows", database, "LV")
    assert (ended.stdout.strip(), ended.stderr) == ("141", "")


def test_no_output_at_all(database: str) -> None:
    ended = shell('"$@" >&-', "rows", database, "LV")
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize(
    "arguments",
    [
        ["rows"],
        ["rows", "x.edb", "T", "--include", "some"],
        ["recover", "x.edb"],
        ["export", "x.edb", "-o", "folder"],
        ["export", "x.edb", "-o", "folder", "--format", "xml"],
        ["nothing"],
    ],
    ids=" ".join,
)
def test_misuse_is_told_to_programs(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--json"])
    out, err = capsys.readouterr()
    assert ended.value.code == 2
    error = json.loads(out)["error"]
    assert error["message"] in err
    assert "--help" in error["hint"]


@pytest.mark.parametrize("encoding", ["utf-8:strict", "latin-1:strict"])
@pytest.mark.parametrize(
    "command", ["inspect", "verify", "check", "assess", "tables", "rows", "recover", "export"]
)
def test_a_path_that_is_no_utf8(
    database: str, tmp_path: Path, command: str, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is printed as it is, and JSON that names it is JSON."""
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    path = os.fsencode(tmp_path) + b"/\xff.edb"
    Path(os.fsdecode(path)).write_bytes(Path(database).read_bytes())
    more = {
        "rows": ["LV", "--limit", "1"],
        "recover": ["--into", os.fsdecode(path + b".new")],
        "export": ["-o", os.fsdecode(path + b".sqlite"), "--profile", "none"],
    }.get(command, [])
    code = "from hotsplit.cli import main; main()"
    line: list[str | bytes] = [sys.executable, "-c", code, command, path, *more]
    for json_too in ([], ["--json"]):
        again = ["--overwrite"] if json_too and command == "export" else []
        if command == "recover" and json_too:
            line[-1] = path + b".other"
        ended = subprocess.run([*line, *again, *json_too], capture_output=True, check=False)
        assert (ended.returncode, ended.stderr) in ((0, b""), (30, b"")), ended.stderr.decode()
        assert command in ("assess", "tables", "rows") or json_too or b"\xff" in ended.stdout
        if json_too:
            assert json.loads(ended.stdout.decode())
            assert command == "export" or b"\\udcff" in ended.stdout


def test_a_name_that_the_output_cannot_show(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "latin-1:strict")
    path = tmp_path / "€.edb"
    path.write_bytes(Path(database).read_bytes())
    ended = shell('"$@"', "inspect", str(path))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert f"{tmp_path}/\\u20ac.edb: database\n" in ended.stdout


def test_a_name_that_is_too_long(database: str, tmp_path: Path) -> None:
    target = tmp_path / ("x" * 250 + ".sqlite")
    ended = shell('"$@"', "export", database, "-o", str(target))
    assert ended.returncode == IoFailed.exit_status
    assert "JET_errInvalidPath" in ended.stderr
    assert "Next: Choose a shorter name." in ended.stderr
