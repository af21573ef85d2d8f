"""Fixtures for all tests: where the real files are."""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from hotsplit.example import extract_all

settings.register_profile("any machine", deadline=None)  # what an example takes is nobody's error
settings.load_profile("any machine")

SHARED = Path(__file__).resolve().parents[2] / "shared"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, so that no worker is left with it at the end."""
    items.sort(key=lambda item: "test_sanitizer" not in item.nodeid)


@lru_cache
def manifest() -> dict[str, dict[str, Any]]:
    """The engine's verdicts by set name; empty without the shared folder."""
    path = SHARED / "vectors" / "manifest.json"
    if not path.exists():
        return {}
    return {s["name"]: s for s in json.loads(path.read_text())["sets"]}


def set_names(*kinds: str) -> list[str]:
    """Names of the vector sets of these kinds, for parametrize; empty without the shared folder."""
    return [name for name, s in manifest().items() if s["kind"] in kinds]


def unpack_vector(name: str) -> Path:
    """Unpack one vector set once a machine, whatever process asks; return its folder."""
    archive = SHARED / "vectors" / f"{name}.tar.xz"
    key = hashlib.sha256(f"{archive.stat().st_mtime_ns}".encode()).hexdigest()[:12]
    home = Path(tempfile.gettempdir()) / f"hotsplit-vectors-{os.getuid()}-{key}"
    target = home / name
    if not target.exists():
        home.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=home) as scratch:
            with tarfile.open(archive) as tar:
                extract_all(tar, scratch)
            try:
                (Path(scratch) / name).rename(target)
            except OSError:
                if not target.exists():
                    raise
    return target


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of shared reference files beside the checkout; skips when it is absent."""
    if not SHARED.is_dir():
        pytest.skip("needs the shared reference files beside the checkout (folder 'shared')")
    return SHARED


@pytest.fixture(scope="session")
def corpus(shared: Path) -> Path:
    """Real Windows files. Never write here."""
    return shared / "corpus"
