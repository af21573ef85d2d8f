"""The README shows what the commands really print, and its two commands exist."""

from __future__ import annotations

import re
from pathlib import Path

from tests.console import blocks, run_page

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"


def test_console_blocks_show_what_commands_print(tmp_path: Path) -> None:
    assert run_page(README, tmp_path) == []


def test_it_shows_the_main_job() -> None:
    commands = [step.command for block in blocks(README) for step in block.steps]
    assert any(command.startswith("hotsplit recover") for command in commands)


def test_make_targets_that_it_names_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    named = set(re.findall(r"`make (\w+)`", README.read_text()))
    assert {"demo", "test"} <= named
    assert [name for name in named if not re.search(rf"^{name}:", makefile, re.M)] == []


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", README.read_text()):
        assert "://" in target or (ROOT / target).exists(), target
