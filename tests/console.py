"""Runs the console blocks of a Markdown page and compares what comes out with what is shown.

The convention for README.md and docs/*.md:

- A block fenced ```` ```console ```` is run. Lines that begin with ``$ `` are commands (a ``\\`` at
  the end continues one), all others are what the command before prints, both streams together.
- Blocks of a page run one after the other in one folder, in which ``split`` holds the packaged
  example. A comment before a block asks for something else, in a fresh folder:
  ``<!-- set: NAME -->`` or ``<!-- set: NAME as FOLDER -->``, where NAME is ``example``, a folder of
  a reference set, such as ``errors-p4096/base``, or a file or folder of real Windows files, such
  as ``corpus/srum``; without that set the block is not run.
- ``<!-- not run: REASON -->`` before a block leaves it out.
- A line ``...`` stands for any lines. Times and speeds are not compared, nor is white space.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from hotsplit.example import unpack
from tests.conftest import SHARED, manifest, unpack_vector

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
_COMMENT = re.compile(r"<!-- (set|not run): ((?:(?!-->).)*?) -->\s*\Z", re.S)
_TIMES = [
    (re.compile(r"\b[\d.,]+ (s|ms|MB/s|GB/s|min)\b"), r"# \1"),
    (re.compile(r'("(?:seconds|mb_per_second)": )[\d.]+'), r"\1#"),
    (re.compile(r"\b\d{4}-\d\d-\d\dT[\d:.]+(Z|\+00:00)"), "#"),
]
_TIMED_COLUMNS = "Seconds MB/s"


@dataclass
class Step:
    """A command and the lines that it is shown to print."""

    command: str
    shown: list[str] = field(default_factory=list)


@dataclass
class Block:
    """A console block. set: ``NAME`` or ``NAME as FOLDER``, empty to go on where the last ended."""

    line: int
    steps: list[Step]
    set: str = ""


def blocks(page: Path) -> Iterator[Block]:
    """Yield the blocks of a page that are to be run.

    Raises AssertionError for a block with commands that is neither run nor marked.
    """
    text = page.read_text()
    for match in _FENCE.finditer(text):
        language, body = match.groups()
        comment = _COMMENT.search(text[: match.start()])
        what, value = comment.groups() if comment else ("", "")
        line = text.count("\n", 0, match.start()) + 1
        if what == "not run":
            continue
        if language != "console":
            assert not re.search(r"^\$ ", body, re.M), f"{page.name}:{line}: fence it as console"
            continue
        yield Block(line, _steps(body), value if what == "set" else "")


def _steps(body: str) -> list[Step]:
    steps: list[Step] = []
    for line in body.replace("\\\n", "").splitlines():
        if line.startswith("$ "):
            steps.append(Step(line[2:]))
        elif steps:
            steps[-1].shown.append(line)
    for step in steps:
        while step.shown and not step.shown[-1].strip():
            step.shown.pop()
    return steps


def available(block: Block) -> bool:
    """Tell whether the set of a block is at hand."""
    name = block.set.partition(" as ")[0].partition("/")[0]
    return name in ("", "example") or name in manifest() or (SHARED / name).is_dir()


def prepare(block: Block, folder: Path) -> None:
    """Put the set of a block into a folder."""
    name, _, target = (block.set or "example as split").partition(" as ")
    to = folder / (target or "split")
    if name != "example":
        set_name, _, inside = name.partition("/")
        if set_name == "corpus":
            _copy_writable(SHARED / name, to)
            return
        shutil.copytree(unpack_vector(set_name) / inside, to)
        return
    unpack(to)


def _copy_writable(source: Path, to: Path) -> None:
    """Copy a file or folder that nobody may write to one that we may."""
    if source.is_file():
        to.write_bytes(source.read_bytes())
        return
    to.mkdir()
    for path in source.iterdir():
        _copy_writable(path, to / path.name)


def run_page(page: Path, folder: Path) -> list[str]:
    """Run all blocks of a page in folders below `folder`; return what differs."""
    here = folder / "0"
    here.mkdir()
    prepare(Block(0, []), here)
    differences = []
    for number, block in enumerate(blocks(page), 1):
        if not available(block):
            continue
        if block.set:
            here = folder / str(number)
            here.mkdir()
            prepare(block, here)
        for step, printed in zip(block.steps, run(block.steps, here), strict=True):
            if not matches(normal(step.shown), normal(printed)):
                shown, real = "\n".join(step.shown), "\n".join(printed)
                where = f"{page.name}:{block.line}: $ {step.command}"
                differences.append(f"{where}\n--- shown\n{shown}\n--- printed\n{real}")
    return differences


def run(steps: list[Step], folder: Path) -> Iterator[list[str]]:
    """Run commands in a folder; yield the lines that each prints."""
    status = 0
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "COLUMNS": "100", "LC_ALL": "C.UTF-8"}
    for step in steps:
        done = subprocess.run(
            ["bash", "-c", f"(exit {status}); {step.command}"],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
        )
        status = done.returncode
        yield done.stdout.rstrip("\n").splitlines()


def normal(lines: list[str]) -> list[str]:
    """Return lines without times, speeds and differences in white space."""
    found = []
    timed = False
    for line in lines:
        text = " ".join(line.split())
        for pattern, replacement in _TIMES:
            text = pattern.sub(replacement, text)
        if timed and len(text.split()) > 2 and re.search(r" [\d.]+ [\d.]+$", text):
            text = text.rsplit(" ", 2)[0]
        timed = timed or text.endswith(_TIMED_COLUMNS)
        found.append(text)
    return found


def matches(shown: list[str], printed: list[str]) -> bool:
    """Compare; a shown line ``...`` stands for any number of lines."""
    if not shown:
        return not printed
    if shown[0] == "...":
        rest = shown[1:]
        return any(matches(rest, printed[at:]) for at in range(len(printed) + 1))
    return bool(printed) and shown[0] == printed[0] and matches(shown[1:], printed[1:])
