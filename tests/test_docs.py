"""The pages under docs say what is true: their commands are run, generated pages are fresh."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

from hotsplit.cli import _COMMANDS, main
from hotsplit.errors import error_classes
from hotsplit.errors.__main__ import page
from hotsplit.ese.export.decoders import NAMES
from hotsplit.ese.export.profiles import parse
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


TEXTS = [*PAGES, DOCS.parent / "README.md", DOCS.parent / "CONTRIBUTING.md"]


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.stem)
def test_links_lead_somewhere(path: Path) -> None:
    for link in re.findall(r"\]\(([^)]+)\)", path.read_text()):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = path.parent / name if name else path
        assert target.exists(), link
        assert not anchor or anchor in anchors(target.read_text()), link


def anchors(text: str) -> set[str]:
    """Return what headings of a page are called in links."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S), re.M)
    return {
        re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings
    }


def test_the_profile_in_the_docs_is_one() -> None:
    (text,) = re.findall(r"^```toml\n(.*?)^```$", (DOCS / "export.md").read_text(), re.M | re.S)
    profile = parse(tomllib.loads(text), "docs")
    assert profile.fits(["Orders", "Customers"])
    decoder = profile.column("Orders", "Flags").decoder
    assert decoder is not None
    assert decoder(3) == "paid|shipped"
    assert {name for name in NAMES if f"`{name}`" not in (DOCS / "export.md").read_text()} == set()


def test_every_command_is_in_the_docs() -> None:
    text = "".join(p.read_text() for p in [*PAGES, DOCS.parent / "README.md"])
    assert [name for name in _COMMANDS if f"hotsplit {name}" not in text and name != "demo"] == []


LISTS = ("streams", "tables")  # whose entries are explained, too
JSON_OF = {
    "commands.md": ["inspect {db}", "verify {folder}", "logs {folder}"],
    "recovery.md": ["assess {folder}", "recover {folder} --into {new}"],
    "check.md": ["check {db}"],
    "reading.md": ["tables {db} --include all", "rows {db} ids", "rows {db} ids -o {new}"],
    "export.md": ["export {db} --replay -o {new} --format csv"],
    "mending.md": [
        f"{name} {{db}} --replay --into {{new}}" for name in ("compact", "repair", "scrub")
    ],
}


@pytest.mark.parametrize("page", JSON_OF)
def test_keys_of_json_are_explained(
    page: str, corpus: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = corpus / "srum" / "win10-17763-dirty"
    text = (DOCS / page).read_text()
    for number, command in enumerate(JSON_OF[page]):
        new = tmp_path / str(number)
        with pytest.raises(SystemExit):
            main(
                [*command.format(db=folder / "SRUDB.dat", folder=folder, new=new).split(), "--json"]
            )
        report = json.loads(capfd.readouterr().out)
        assert not report.get("error"), command
        lists = [report[name] for name in LISTS if isinstance(report.get(name), list)]
        keys = set(report) | {key for entries in lists for entry in entries for key in entry}
        unknown = {key for key in keys if f"`{key}`" not in text and f'"{key}"' not in text}
        assert unknown - {"error"} == set(), command


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
