"""The pages under docs say what is true: their commands are run, generated pages are fresh."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hotsplit.cli import _COMMANDS
from hotsplit.errors import error_classes
from hotsplit.errors.__main__ import page
from tests.console import Block, Step, blocks, matches, normal, run, run_page

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGES = sorted(DOCS.glob("*.md"))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_console_blocks_show_what_commands_print(path: Path, tmp_path: Path) -> None:
    assert run_page(path, tmp_path) == []


def test_the_page_of_errors_is_fresh() -> None:
    assert (DOCS / "errors.md").read_text() == page(), "run: make errors"


def test_every_error_says_what_it_is_and_what_to_do() -> None:
    classes, text = error_classes(), page()
    assert len({cls.exit_status for cls in classes}) == len(classes)
    for cls in classes:
        assert cls.__doc__, cls
        assert cls.default_hint.endswith("."), cls
        assert cls.exit_status not in (0, 1, 2, 3, 4, 130, 141)
        assert f"| {cls.exit_status} | `{cls.__name__}` |" in text


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text()):
        assert "://" in target or (path.parent / target).exists(), target


def test_every_command_is_in_the_docs() -> None:
    text = "".join(p.read_text() for p in [*PAGES, DOCS.parent / "README.md"])
    assert [name for name in _COMMANDS if f"hotsplit {name}" not in text and name != "demo"] == []


# The convention itself


def page_of(folder: Path, text: str) -> Path:
    path = folder / "page.md"
    path.write_text(text)
    return path


def test_output_that_is_not_as_shown_is_noticed(tmp_path: Path) -> None:
    text = "```console\n$ ls split | head -1\nE00.chk\n$ echo a; echo b\na\n```\n"
    path = page_of(tmp_path, text)
    found = run_page(path, tmp_path)
    assert len(found) == 1
    assert found[0].startswith("page.md:1: $ echo a; echo b")


def test_the_exit_status_of_a_command_is_known_to_the_next(tmp_path: Path) -> None:
    steps = [Step("sh -c 'exit 7'"), Step("echo $?")]
    assert list(run(steps, tmp_path)) == [[], ["7"]]


def test_both_streams_are_compared(tmp_path: Path) -> None:
    assert list(run([Step("echo a; echo b >&2")], tmp_path)) == [["a", "b"]]


def test_commands_that_are_not_run_must_be_marked(tmp_path: Path) -> None:
    assert list(blocks(page_of(tmp_path, "<!-- not run: x -->\n```\n$ hotsplit\n```\n"))) == []
    with pytest.raises(AssertionError, match="fence it"):
        list(blocks(page_of(tmp_path, "```\n$ hotsplit\n```\n")))


def test_a_block_can_name_its_set(tmp_path: Path) -> None:
    text = "<!-- set: example as mail -->\n```console\n$ ls \\\nmail\nE00.chk\n...\ntest.edb\n```\n"
    path = page_of(tmp_path, text)
    assert list(blocks(path)) == [
        Block(2, [Step("ls mail", ["E00.chk", "...", "test.edb"])], "example as mail")
    ]
    assert run_page(path, tmp_path) == []


def test_times_are_not_compared_but_all_else_is() -> None:
    one = ["Replayed 5 MB in 0.02 s; 3 left", "File  Seconds  MB/s", "a      0.01   100"]
    two = ["Replayed 5 MB in 1.7 s; 3  left", "File Seconds MB/s", "a  12.01   7"]
    assert normal(one) == normal(two)
    assert normal(["3 left"]) != normal(["4 left"])
    assert matches(["a", "...", "d"], ["a", "b", "c", "d"])
    assert not matches(["a", "...", "d"], ["a", "b", "c"])
    assert not matches([], ["a"])
