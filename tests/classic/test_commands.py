"""The commands as they are installed."""

from __future__ import annotations

import importlib
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]


@pytest.mark.parametrize("tool", ["eseutil", "esefile"])
def test_both_names_lead_to_the_tool(tool: str) -> None:
    assert SCRIPTS[tool] == SCRIPTS[f"hotsplit-{tool}"]
    module, _, function = SCRIPTS[tool].partition(":")
    assert callable(getattr(importlib.import_module(module), function))


def run(tool: str, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    code = f"from hotsplit.classic.{tool} import main; main()"
    line = ["bash", "-c", command, "bash", sys.executable, "-c", code, *arguments]
    return subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)


def test_exit_statuses(tmp_path: Path) -> None:
    gone = run("eseutil", '"$@"', "/mh", str(tmp_path / "gone.edb"))
    assert gone.returncode == -1811 & 0xFF
    assert "(JET_errFileNotFound, " in gone.stdout
    assert run("esefile", '"$@"').returncode == 255


def test_a_reader_that_goes_away(tmp_path: Path) -> None:
    ended = run("eseutil", '"$@" | true; echo ${PIPESTATUS[0]}', "/?")
    assert ended.stderr == ""
    assert ended.stdout.strip() in ("255", "141")
