"""What commands do when nobody reads their output, when it is full, when they are misused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hotsplit.cli import main
from hotsplit.errors import DiskFull
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
