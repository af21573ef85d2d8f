"""The page of the classic tools says of every switch what becomes of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hotsplit.classic import dump, eseutil
from hotsplit.errors import Jet
from tests.classic.tool import run_eseutil

PAGE = Path(__file__).parents[2] / "docs" / "classic-tools.md"
_SWITCH = re.compile(r"`/([^` ]+)`")


def rows() -> list[tuple[str, list[str]]]:
    table = PAGE.read_text().partition("## All switches")[2]
    lines = [line for line in table.splitlines() if line.startswith("| `/")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [(mode, rest) for names, *rest in cells for mode in _SWITCH.findall(names)]


def _known(mode: str) -> set[str]:
    if mode[0] == "m":
        return set(dump.SWITCHES)
    return set(eseutil._MODES[mode[0]].switches)


def test_every_mode_is_there() -> None:
    modes = {mode for mode, _ in rows()}
    assert {mode[0] for mode in modes} == {*eseutil._MODES, "m"}
    dumps = {mode[1:] for mode in modes if mode[0] == "m" and len(mode) > 1}
    assert dumps == {*dump._DUMPERS, *dump._OTHER_DUMPS}


@pytest.mark.parametrize(("mode", "cells"), rows())
def test_done_and_accepted_switches_are_known(mode: str, cells: list[str]) -> None:
    named = {switch[0] for cell in cells[:2] for switch in _SWITCH.findall(cell)}
    assert named <= _known(mode) | {"o"}


def test_no_known_switch_is_left_out() -> None:
    for mode in eseutil._MODES:
        named = {
            s[0] for m, cells in rows() if m[0] == mode for s in _SWITCH.findall(" ".join(cells))
        }
        assert _known(mode) <= named, mode
    named = {s[0] for m, cells in rows() if m[0] == "m" for s in _SWITCH.findall(" ".join(cells))}
    assert set(dump.SWITCHES) <= named


REFUSED = [["/y", "x", "/i"], *([f"/m{letter}", "x"] for letter in "bcfnrt")]


@pytest.mark.parametrize("arguments", REFUSED)
def test_what_is_refused_says_why_and_so_does_the_page(arguments: list[str]) -> None:
    ran = run_eseutil(*arguments)
    assert ran.result == Jet.errFeatureNotAvailable
    closing = next(line for line in ran.out if line.startswith("Operation terminated"))
    said = closing.partition("JET_errFeatureNotAvailable, ")[2].rpartition(") after")[0]
    text = re.sub(r"^/\w+: ", "", said)
    assert f'"{text}"' in PAGE.read_text()
