"""The verdict on sets of the real engine: what is named, and what the engine does not see."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.format.header import DatabaseHeader
from hotsplit.ese.recovery.assess import LogRole, Verdict, assess
from hotsplit.ese.recovery.core import Core
from hotsplit.ese.recovery.options import Options
from hotsplit.ese.recovery.pages import PageAccess
from hotsplit.ese.recovery.plan import CheckpointUse
from hotsplit.ese.recovery.store import Store
from tests.conftest import manifest, set_names, unpack_vector
from tests.damage import apply_ops

ERRORS = "errors-p4096"


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A copy of an undamaged set: generations 1 to 15, 7 to 15 required, 15 is E00.log."""
    if ERRORS not in manifest():
        pytest.skip("needs the shared reference files beside the checkout (folder 'shared')")
    return Path(shutil.copytree(unpack_vector(ERRORS) / "base", tmp_path / "set"))


def judge(*sources: Path, **options: Any) -> Verdict:
    return assess(OsEnv(), list(map(str, sources)), [], Options(**options))


def rules(verdict: Verdict) -> set[str]:
    return {finding.rule for finding in verdict.evidence}


def sound_sets() -> list[tuple[str, str]]:
    crash = [(name, "crash") for name in set_names("crash")]
    return crash + [(n, s) for n in set_names("hotsplit") for s in manifest()[n]["snapshots"]]


@pytest.mark.parametrize(("name", "part"), sound_sets())
def test_sound_sets_are_recoverable_without_a_reproach(name: str, part: str) -> None:
    verdict = judge(unpack_vector(name) / part)
    assert verdict.recoverable
    assert verdict.damage_left == []
    assert not {"stale-page", "log-missing", "log-unusable"} & rules(verdict)
    assert verdict.roll_forward_to == max(log.generation for log in verdict.logs)
    known = manifest()[name]
    header = (known["crash"] if part == "crash" else known["snapshots"][part])["header"]
    assert list(verdict.log_required) == header["log_required"]
    assert verdict.log_committed == header["log_committed"][1]


def test_nothing_is_written(base: Path) -> None:
    before = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in base.iterdir()}
    judge(base)
    assert before == {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in base.iterdir()}


def test_a_missing_log_is_named_in_the_streams_own_style(base: Path) -> None:
    (base / "E000000000A.log").unlink()
    verdict = judge(base)
    assert [(log.generation, log.name) for log in verdict.missing] == [(10, "E000000000A.log")]
    assert verdict.roll_forward_to is None  # 15 is required: stopping at 9 is no way out


def test_all_logs_that_are_missing_are_named_not_only_the_first(base: Path) -> None:
    for name in ("E0000000008.log", "E000000000C.log", "E000000000D.log"):
        (base / name).unlink()
    assert [log.generation for log in judge(base).missing] == [8, 12, 13]


def test_logs_of_another_stream_behind_right_numbers_are_named(base: Path) -> None:
    shutil.copy(unpack_vector(ERRORS) / "other/E000000000A.log", base)
    verdict = judge(base)
    assert [log.name for log in verdict.foreign] == ["E000000000A.log"]
    assert verdict.missing == []


def test_damaged_logs_are_named_with_the_engines_error(base: Path) -> None:
    log = base / "E000000000B.log"
    data = bytearray(log.read_bytes())
    data[33280:33792] = b"\xff" * 512
    log.write_bytes(data)
    verdict = judge(base)
    assert [(d.name, d.role, int(d.jet or 0)) for d in verdict.damaged] == [
        ("E000000000B.log", LogRole.REQUIRED, -501)
    ]


def test_damage_before_a_gap_is_what_replay_meets_first(base: Path) -> None:
    log = base / "E0000000008.log"
    data = bytearray(log.read_bytes())
    data[33280:33792] = b"\xff" * 512
    log.write_bytes(data)
    (base / "E000000000C.log").unlink()
    verdict = judge(base)
    assert verdict.error is not None
    assert int(verdict.error.jet) == -501
    assert [log.generation for log in verdict.missing] == [12]


def test_a_current_log_captured_before_the_database_is_seen(base: Path) -> None:
    """E00.log of the moment when it was generation 14."""
    (base / "E00.log").unlink()
    (base / "E000000000E.log").rename(base / "E00.log")
    verdict = judge(base)
    assert not verdict.recoverable
    texts = [f.message for f in verdict.evidence if f.rule == "current-log"]
    assert any("captured before the database" in text for text in texts)


@pytest.mark.parametrize(("highest", "word"), [(15, "may stand in"), (14, "may not stand in")])
def test_whether_a_numbered_log_may_stand_in_for_the_current_one(
    base: Path, highest: int, word: str
) -> None:
    if highest == 15:
        (base / "E00.log").rename(base / "E000000000F.log")
    else:
        (base / "E00.log").unlink()
    verdict = judge(base)
    assert verdict.recoverable == (highest == 15)
    assert any(word in f.message for f in verdict.evidence if f.rule == "current-log")


def test_how_old_the_checkpoint_is(base: Path) -> None:
    uses = {}
    for part in ("early", "late", "other"):
        shutil.copy(unpack_vector(ERRORS) / part / "E00.chk", base)
        verdict = judge(base)
        assert verdict.recoverable
        uses[part] = verdict.plan.checkpoint.use
    assert uses == {
        "early": CheckpointUse.OLDER,
        "late": CheckpointUse.NEWER,
        "other": CheckpointUse.FOREIGN,
    }


def test_old_engines_without_log_required_need_the_checkpoint(base: Path) -> None:
    database = base / "test.edb"
    data = bytearray(database.read_bytes())
    header = DatabaseHeader(bytes(data[:4096]))
    header.gen_min_required = header.gen_max_required = header.gen_max_committed = 0
    data[:8192] = header.sealed() * 2
    database.write_bytes(data)
    verdict = judge(base)
    assert verdict.plan.checkpoint.use == CheckpointUse.ONLY_GUIDE
    assert verdict.plan.start.generation == 7
    (base / "E00.chk").unlink()
    assert "no-log-required" in rules(judge(base))


def test_a_required_log_cut_short_is_seen_where_the_engine_says_clean(tmp_path: Path) -> None:
    name = "tail-cut-required-p8192"
    if name not in manifest():
        pytest.skip("needs the shared reference files beside the checkout (folder 'shared')")
    folder = unpack_vector(name)
    for case in manifest()[name]["cases"]:
        if case["result"].get("integrity") != "corrupted":
            continue
        source = tmp_path / case["case"]
        apply_ops(folder, case["ops"], source)
        verdict = judge(source)
        assert case["result"]["error"] == 0  # the engine's word
        assert not verdict.recoverable
        assert verdict.error is not None
        assert verdict.error.position.startswith("page ")


def test_a_stale_page_that_no_log_touches_is_seen_with_the_flush_map(tmp_path: Path) -> None:
    name = "errors-p8192-llr"
    if name not in manifest():
        pytest.skip("needs the shared reference files beside the checkout (folder 'shared')")
    seen = []
    for case in manifest()[name]["cases"]:
        if not case["case"].startswith("page-older-version-noredo"):
            continue
        source = tmp_path / case["case"]
        apply_ops(unpack_vector(name), case["ops"], source)
        verdict = judge(source)
        assert verdict.recoverable  # the engine does not notice
        pages = {pgno for _, pgno in verdict.damage_left}
        assert pages <= {case["pages"][0]["page"]}
        seen += sorted(pages)
    assert seen  # the map knows page versions modulo 3, so it can miss one


def test_pages_that_records_spoke_of_are_known_by_database_not_by_its_number() -> None:
    """A database may be attached again under the number of another one."""
    pages = PageAccess(Core(4096), 4096, 1 << 20)
    pages.touched = set()
    for path, pgno in (("a.edb", 7), ("b.edb", 8)):
        store = SimpleNamespace(path=path, read_page=lambda _: bytes(4096))
        pages.stores[1] = cast(Store, store)
        pages.load(1, pgno)
    assert pages.touched == {("a.edb", 7), ("b.edb", 8)}


def test_a_backup_copy_is_judged_for_hard_recovery(tmp_path: Path) -> None:
    name = "backup-stream-p4096"
    if name not in manifest():
        pytest.skip("needs the shared reference files beside the checkout (folder 'shared')")
    full = unpack_vector(name) / "full"
    soft, hard = judge(full), judge(full, hard=True)
    assert (soft.recoverable, hard.recoverable) == (False, True)
    assert list(hard.log_required) == manifest()[name]["full"]["patch_trailer"]["log_required"]
    assert soft.error is not None
    assert "--hard" in soft.error.hint
