"""``eseutil /cm`` and ``/cc``: what a restore left behind."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from hotsplit.classic import restoredump
from hotsplit.classic.console import Console
from hotsplit.classic.switches import Arguments
from hotsplit.errors import DataDamaged, FileMissing, Jet
from hotsplit.ese.backup.folder import back_up
from hotsplit.ese.backup.restore import restore
from hotsplit.ese.files.env import Env
from tests.classic.tool import run_eseutil
from tests.ese.backup.test_restore import ASIDE
from tests.ese.backup.test_streaming import Shop
from tests.memoryenv import MemoryEnv

MODES = {"/cm": restoredump.dump, "/cc": restoredump.recover}


def run(env: Env, mode: str, path: str) -> list[str]:
    """Run a mode in a file system in memory, where no path can be taken for a switch."""
    out = io.StringIO()
    MODES[mode](Console(out, io.StringIO()), env, Arguments([path]))
    return [line.strip() for line in out.getvalue().splitlines()]


@pytest.fixture
def env() -> MemoryEnv:
    shop = Shop(MemoryEnv())
    shop.work(20)
    back_up(shop.instance, "/full")
    restore(shop.env, ["/full"], ASIDE).close()
    shop.instance.close()
    return shop.env


@pytest.mark.parametrize("path", ["/aside", "/aside/restore.env"])
@pytest.mark.parametrize("mode", ["/cm", "/cc"])
def test_it_is_shown(mode: str, path: str, env: MemoryEnv) -> None:
    out = run(env, mode, path)
    assert {"Backup set: /full", "Log base name: RST", "Target: /aside/items.edb"} <= set(out)
    assert ("/aside/items.edb: recovered already" in out) == (mode == "/cc")


def test_a_database_that_is_gone(env: MemoryEnv) -> None:
    env.remove("/aside/items.edb")
    assert run(env, "/cm", "/aside")
    with pytest.raises(FileMissing):
        run(env, "/cc", "/aside")


@pytest.mark.parametrize("path", ["/full", "/aside/items.edb", "/nowhere"])
def test_no_such_file(path: str, env: MemoryEnv) -> None:
    with pytest.raises(FileMissing):
        run(env, "/cm", path)


def test_a_file_of_another_form(env: MemoryEnv) -> None:
    env.remove("/aside/restore.env")
    env.put("/aside/restore.env", b"\0\1\2 not ours")
    with pytest.raises(DataDamaged):
        run(env, "/cc", "/aside")


def test_on_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "restore.env").write_text("[restore]\n")
    for mode in MODES:
        assert run_eseutil(mode, tmp_path).result == Jet.errInvalidParameter
    assert run_eseutil("/cx", tmp_path).result == -1
