"""The command that counts again: it counts what is equal, and says what is not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.compatibility import Case, Counts
from tests.conftest import unpack_vector

SET = "crash-p4096-mid"


def _unable() -> dict[str, int]:
    raise OSError


@pytest.fixture
def case(shared: Path) -> Case:
    folder = unpack_vector(SET)
    return folder / "recovered" / "test.edb", folder / "expected.json"


def test_what_is_equal_is_counted(case: Case) -> None:
    counts = Counts()
    counts.take(case, "this")
    assert counts == Counts(1, 1, 1, 1, 1, 1, 0, 1)


def test_what_differs_is_said(case: Case, tmp_path: Path) -> None:
    path, listing = case
    assert listing is not None
    expected = json.loads(listing.read_text())
    table = next(t for t in expected["tables"] if t["rows"])
    table["rows"].pop()
    (tmp_path / "listing.json").write_text(json.dumps(expected))
    counts = Counts()
    counts.take((path, tmp_path / "listing.json"), "this")
    assert counts.equal == 0
    assert len(counts.differences) == 1
    assert counts.differences[0].startswith("this: ")
    counts._ask("libesedb", lambda: {"Some": 1}, {"Some": 2}, "that")
    assert counts.differences[1] == "that: libesedb has 1 rows of Some, not 2"
    counts._ask("dissect", _unable, {"Some": 2}, "that")
    assert counts.unreadable == 1
