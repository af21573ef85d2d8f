"""Databases to be rebuilt, and how to tell what is in one."""

from __future__ import annotations

import functools
import hashlib
import tempfile
from collections import Counter
from pathlib import Path

import pytest

from hotsplit.ese.check.integrity import check_database
from hotsplit.ese.files.database import DatabaseFile
from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.format.page import Node
from hotsplit.ese.read.database import Database
from hotsplit.ese.rebuild.objects import CATALOG, SHADOW, with_root
from hotsplit.ese.rebuild.reader import SoundReader
from hotsplit.ese.rebuild.walk import TreeName, live_nodes
from hotsplit.ese.recovery.recover import recover
from hotsplit.report import Reporter
from tests.conftest import SHARED, manifest, unpack_vector

_FOLDER = tempfile.TemporaryDirectory(prefix="hotsplit-rebuild-")


@functools.lru_cache
def recovered(name: str) -> Path:
    """The database of a crash set, recovered. Skips without the set; not to be changed."""
    if name not in manifest():
        pytest.skip("needs the shared reference files beside the checkout (folder 'shared')")
    source = unpack_vector(name) / "crash"
    into = str(Path(_FOLDER.name) / name)
    result = recover(OsEnv(), [str(source / "test.edb")], [str(source)], into)
    return Path(result.databases[0][0])


def clean_corpus() -> list[str]:
    """Real Windows databases that were shut down cleanly and are not too large."""
    found = []
    for path in sorted((SHARED / "corpus").rglob("*")):
        if path.suffix.lower() in (".edb", ".dit", ".dat", ".mdb", ".sdb") and path.is_file():
            with DatabaseFile.open(OsEnv(), str(path)) as file:
                if file.header.state == 3 and path.stat().st_size < 20 << 20:
                    found.append(str(path.relative_to(SHARED / "corpus")))
    return found


def findings(path: Path) -> Counter[str]:
    """What the integrity check finds, by rule; that nodes are flagged deleted is normal."""
    reporter = Reporter()
    check_database(OsEnv(), str(path), reporter)
    return Counter({rule: n for rule, n in reporter.counts.items() if rule != "T26"})


def contents(path: Path) -> dict[str, list[Node]]:
    """All live nodes of every tree by its name; of catalog rows the root page is left out."""
    found = {}
    with DatabaseFile.open(OsEnv(), str(path)) as file:
        reader = SoundReader(file)

        def nodes(tree: TreeName) -> list[Node]:
            return [Node(n.key, n.data) for p in reader.leaves(tree) for n in live_nodes(p)]

        for tree in (CATALOG, SHADOW):
            found[tree.text] = [
                Node(n.key, with_root(n.data, 0) if reader.rows.read(*n[:2]).has_tree else n.data)
                for n in nodes(tree)
            ]
        for table in reader.tables():
            values = [table.long_values] if table.long_values is not None else []
            for tree in [table.rows, *values, *table.indexes]:
                found[tree.text] = nodes(tree)
    return found


def digest(path: Path) -> str:
    """A hash of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def rows_on(path: Path, lost: set[int]) -> dict[str, dict[bytes, bytes]]:
    """Records by bookmark of every user table, without those on pages in `lost`."""
    found: dict[str, dict[bytes, bytes]] = {}
    with Database.open(OsEnv(), str(path)) as db:
        for table in db:
            pages = (page for page in table.tree().leaves() if page.number not in lost)
            found[table.name] = {n.key: n.data for page in pages for n in live_nodes(page)}
    return found
