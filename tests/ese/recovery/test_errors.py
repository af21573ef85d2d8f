"""Every damaged set of the real engine: its error, or a better result that the docs explain."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from hotsplit.errors import HotsplitError, Jet
from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.read.database import Database
from hotsplit.ese.recovery.assess import assess
from hotsplit.ese.recovery.options import Options
from hotsplit.ese.recovery.recover import recover
from tests.conftest import manifest, set_names, unpack_vector
from tests.damage import apply_ops
from tests.expected import compare_rows

DOCS = Path(__file__).parents[3] / "docs" / "engine-differences.md"


@lru_cache
def differences_in_docs() -> dict[str, str]:
    """The table of the docs: result here by case; "success" or the name of a JET error."""
    rows = [line.split("|") for line in DOCS.read_text().splitlines() if line.startswith("| `")]
    return {cells[1].strip(" `"): cells[3].strip() for cells in rows}


def damaged() -> list[tuple[str, str]]:
    return [(n, c["case"]) for n in set_names("errors") for c in manifest()[n]["cases"]]


def engine_results(case: dict[str, Any]) -> set[int]:
    """What the engine says: as JetInit, and as eseutil /r where that differs."""
    found = {case["result"]["error"]}
    if case.get("eseutil_r"):
        found.add(case["eseutil_r"]["error"])
    return found


@pytest.mark.parametrize(("name", "case_name"), damaged())
def test_every_damaged_set_ends_as_documented(name: str, case_name: str, tmp_path: Path) -> None:
    folder = unpack_vector(name)
    case: dict[str, Any] = next(c for c in manifest()[name]["cases"] if c["case"] == case_name)
    source, out = tmp_path / "set", tmp_path / "out"
    apply_ops(folder, case["ops"], source)
    before = {p: p.read_bytes() for p in source.rglob("*") if p.is_file()}
    grbit = case.get("grbit") or 0
    options = Options(
        undo=not grbit & 0x8,
        ignore_missing=bool(grbit & 0x4),
        accept_lost_logs=bool(grbit & 0x80),
    )
    place = source / "sub" if case.get("altdb") in ("sub", "map") else source
    try:
        result = recover(OsEnv(), [str(place)], [str(source)], str(out), options)
        number = 0
    except HotsplitError as error:
        number = int(error.jet)
        assert not out.exists()
        assert error.file, error
        assert error.hint
    verdict = assess(OsEnv(), [str(place)], [str(source)], options)
    assert (0 if verdict.error is None else int(verdict.error.jet)) == number
    assert verdict.recoverable == (number == 0)
    assert before == {p: p.read_bytes() for p in source.rglob("*") if p.is_file()}
    documented = differences_in_docs().get(case_name)
    if number not in engine_results(case):
        assert documented is not None, f"{number}, the engine: {engine_results(case)}"
        assert documented == ("success" if not number else Jet(number).title)
    if number == 0 and options.undo and result.databases:
        check_rows(folder, case, result.databases[0][0])


def check_rows(folder: Path, case: dict[str, Any], path: str) -> None:
    if "dump_error" in case:  # pages that nothing touches are still damaged: not readable
        return
    same = "later-logs-own-checkpoint" if "with-later-logs" in case["case"] else case["case"]
    cases = {c["case"]: c for c in manifest()[folder.name]["cases"]}
    expected = folder / (cases[same].get("rows_json") or "expected.json")
    with Database.open(OsEnv(), path) as db:
        assert not db.is_dirty
        found = compare_rows(db, json.loads(expected.read_text()))
    # A bit in a page that no record touches stays wrong in the file, as with the engine.
    assert [d for d in found if not d.startswith("finding page-corrected")] == []
