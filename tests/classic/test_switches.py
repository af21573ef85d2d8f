"""Switches are read as the originals read them."""

from __future__ import annotations

from pathlib import Path

import pytest

from hotsplit.classic.console import Usage, exit_status
from hotsplit.classic.switches import Arguments, Takes, is_switch, page_number, parse
from hotsplit.errors import Jet
from tests.classic.tool import run_esefile, run_eseutil

KNOWN = {
    "l": Takes.PATH,
    "d": Takes.MAYBE_PATH,
    "v": Takes.MAYBE,
    "i": Takes.NOTHING,
    "r": Takes.VALUE,
}


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        (["/lLOGS"], {"l": ["LOGS"]}),
        (["-LLOGS", "-I"], {"l": ["LOGS"], "i": [""]}),
        (["/l", "LOGS"], {"l": ["LOGS"]}),
        (["/l:LOGS"], {"l": ["LOGS"]}),
        (["/l/var/nowhere/logs"], {"l": ["/var/nowhere/logs"]}),
        (["/d", "/i"], {"d": [""], "i": [""]}),
        (["/dDIR"], {"d": ["DIR"]}),
        (["/v", "/v1"], {"v": ["", "1"]}),
        (["/r1-A"], {"r": ["1-A"]}),
        (["/O", "/8"], {"o": [""], "8": [""]}),
        (["/16"], {"1": ["6"]}),
    ],
)
def test_switches(arguments: list[str], given: dict[str, list[str]]) -> None:
    assert parse(arguments, KNOWN) == Arguments([], given)


@pytest.mark.parametrize(
    "arguments", [["/q"], ["/ix"], ["/l"], ["/l", "/i"], ["/r"], ["E00", "E01"], ["/"], ["-"]]
)
def test_what_makes_no_sense(arguments: list[str]) -> None:
    with pytest.raises(Usage):
        parse(["E00", *arguments], KNOWN)


def test_paths_that_begin_with_a_slash(tmp_path: Path) -> None:
    assert not is_switch(str(tmp_path))
    assert not is_switch(str(tmp_path / "not-there.edb"))
    assert is_switch("/l/not/there")
    assert is_switch("/m")
    assert is_switch("-/etc")
    assert not is_switch("relative/path")


def test_page_numbers() -> None:
    assert [page_number(text) for text in ("12", "0x1F", "-1")] == [12, 31, -1]
    with pytest.raises(Usage):
        page_number("x")


@pytest.mark.parametrize(
    ("result", "status"),
    [
        (0, 0),
        (-1, 255),
        (Jet.errReadVerifyFailure, 6),
        (Jet.errDatabaseCorrupted, 74),
        (-512, 1),
        (-1024, 1),
    ],
)
def test_exit_status(result: int, status: int) -> None:
    assert exit_status(result) == status


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "Usage Error: No mode specified."),
        (["x.edb"], "Usage Error: Mode selection must be preceded by '-' or '/'."),
        (["/q"], "Usage Error: Invalid mode."),
        (["/gx", "x.edb"], "Usage Error: Invalid mode."),
        (["/mq", "x.edb"], "Usage Error: Invalid mode."),
        (["/mh"], "Usage Error: Missing database/filename specification."),
        (["/mh", "a", "/q"], "Usage Error: Invalid option '/q'."),
        (["/r", "/i"], "Usage Error: Missing logfile base name specification."),
        (["/r", "E00", "/ux", "/rnew"], "Usage Error: Invalid stop recovery option."),
        (["/r", "E00", "/da", "/nb"], "Usage Error: Only one type of recovery allowed."),
        (["/ml", "E00", "/rx"], "Usage Error: Invalid log generation range specification."),
        (["/ml", "E00", "/v3"], "Usage Error: Invalid option '/v3'."),
    ],
)
def test_usage_errors(arguments: list[str], problem: str) -> None:
    ran = run_eseutil(*arguments)
    assert ran.result == -1
    assert problem in ran.out
    assert "MODES OF OPERATION:" in ran.out


@pytest.mark.parametrize("arguments", [[f"/m{c}", "x"] for c in "bcfnrt"])
def test_what_there_is_not(arguments: list[str]) -> None:
    ran = run_eseutil(*arguments)
    assert ran.result == Jet.errFeatureNotAvailable
    assert any(line.startswith("Operation terminated with error -1089") for line in ran.out) or any(
        "JET_errFeatureNotAvailable" in line for line in ran.out
    )


def test_help() -> None:
    assert run_eseutil("/?").result == -1
    assert any("esefile /s" in line for line in run_esefile().out)


def test_files_that_are_not_there_or_no_ese_files(tmp_path: Path) -> None:
    other = tmp_path / "other.edb"
    other.write_bytes(b"nothing of the kind" * 1000)
    for mode in ("/mh", "/mk", "/ml", "/mm", "/ms", "/k", "/g", "/d", "/y", "/z"):
        gone = run_eseutil(mode, tmp_path / "gone.edb")
        assert gone.result in (Jet.errFileNotFound, Jet.errInvalidPath), mode
        if mode != "/y":
            ran = run_eseutil(mode, other)
            assert ran.result < -1, mode
            assert any(line.startswith("Operation terminated with error ") for line in ran.out)


def test_names_cannot_steer_the_terminal(tmp_path: Path) -> None:
    ran = run_eseutil("/mh", tmp_path / "a\x1b[31m\nb.edb")
    assert not any("\x1b" in line for line in ran.out)
