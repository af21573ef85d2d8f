"""Scrubbing: what is live stays, what was deleted is in no byte of the copy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hotsplit.errors import DirtyDatabase
from hotsplit.ese.files.database import DatabaseFile
from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.format.header import DatabaseHeader
from hotsplit.ese.format.page import Page
from hotsplit.ese.rebuild.scrub import Scrubbed, scrub
from tests.conftest import set_names
from tests.ese.rebuild.samples import clean_corpus, contents, digest, findings, recovered
from tests.ese.rebuild.test_compact import living


def scrubbed(source: Path, into: Path) -> Scrubbed:
    with DatabaseFile.open(OsEnv(), str(source)) as file:
        return scrub(OsEnv(), file, str(source), str(into))


def pages(path: Path) -> Iterator[Page]:
    data = path.read_bytes()
    size = DatabaseHeader(data[:4096]).page_size
    for pgno in range(1, len(data) // size - 1):
        yield Page(data[(pgno + 1) * size : (pgno + 2) * size], pgno)


def check_scrubbed(source: Path, into: Path) -> None:
    old, new = contents(source), contents(into)
    assert list(old) == list(new)
    for name, nodes in old.items():
        assert new[name] == (living(nodes) if name.startswith("long") else nodes), name
    before, after = findings(source), findings(into)
    assert {k: v for k, v in after.items() if v > before[k]} == {}
    assert into.stat().st_size == source.stat().st_size
    for page in pages(into):
        if not page.tag_count:
            assert not any(page.data)
            continue
        deleted = [node for node in page.nodes() if node.is_deleted]
        assert not deleted or page.node_count == 1
        used = sum(len(page.line(i)[0]) for i in range(page.tag_count))
        room = page.data[page.header_size + used : page.size - 4 * page.tag_count]
        assert not any(room)


@pytest.mark.parametrize("name", set_names("crash")[::3])
def test_engine_sets(name: str, tmp_path: Path) -> None:
    source, into = recovered(name), tmp_path / "new.edb"
    before = digest(source)
    result = scrubbed(source, into)
    assert digest(source) == before
    assert result.deleted
    check_scrubbed(source, into)


@pytest.mark.parametrize("path", [p for p in clean_corpus() if "engine/large" not in p][::2])
def test_real_databases(path: str, corpus: Path, tmp_path: Path) -> None:
    scrubbed(corpus / path, tmp_path / "new.edb")
    check_scrubbed(corpus / path, tmp_path / "new.edb")


def test_deleted_data_is_in_no_byte_of_the_copy(tmp_path: Path) -> None:
    source, into = recovered("crash-p4096-mid"), tmp_path / "new.edb"
    gone = {n.data[8:40] for page in pages(source) if page.tag_count and page.is_leaf
            for n in page.nodes() if n.is_deleted and len(n.data) > 60}  # fmt: skip
    kept = b"".join(n.data for nodes in contents(source).values() for n in nodes)
    gone = {part for part in gone if part not in kept}
    assert len(gone) > 10
    assert all(part in source.read_bytes() for part in gone)
    scrubbed(source, into)
    left = into.read_bytes()
    assert not any(part in left for part in gone)


def test_the_header_tells_of_it(corpus: Path, tmp_path: Path) -> None:
    source, into = corpus / "engine/basic.edb", tmp_path / "new.edb"
    scrubbed(source, into)
    old, new = DatabaseHeader(source.read_bytes()[:4096]), DatabaseHeader(into.read_bytes()[:4096])
    assert new.dbtime_last_scrub == new.dbtime == old.dbtime
    assert new.scrub_time.is_set
    assert new.db_signature != old.db_signature


def test_a_dirty_database_is_refused(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(DirtyDatabase):
        scrubbed(corpus / "srum/win10-17763-dirty/SRUDB.dat", tmp_path / "new.edb")
    assert list(tmp_path.iterdir()) == []
