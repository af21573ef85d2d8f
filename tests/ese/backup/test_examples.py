"""The program that the page of backups shows runs, and prints what is shown."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).resolve().parents[3] / "docs" / "backup.md"
_BLOCK = re.compile(r"^```(python|)\n(.*?)^```$", re.M | re.S)


def test_the_examples_print_what_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    compared = 0
    for language, body in _BLOCK.findall(PAGE.read_text()):
        if language:
            exec(compile(body, PAGE.name, "exec"), names)
        else:
            assert capsys.readouterr().out == body
            compared += 1
    assert compared > 5
    assert capsys.readouterr().out == ""
