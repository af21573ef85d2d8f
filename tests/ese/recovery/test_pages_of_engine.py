"""Recovered databases page by page against those that the real engine recovered.

What may differ is listed in docs/engine-differences.md and nowhere else: the flush type and the
checksum (each writer counts its own writes), the space kept for undo, the checksum format flag of
databases with old checksums.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from hotsplit.ese.files.database import DatabaseFile
from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.format.header import DatabaseHeader
from hotsplit.ese.format.layout import Field
from hotsplit.ese.format.page import Page, PageFlag
from hotsplit.ese.recovery.recover import recover
from tests.conftest import manifest, set_names, unpack_vector

_FIELDS = ("dbtime", "previous", "next", "objid", "external", "free", "node_count")
_FREE_TO_DIFFER = PageFlag.FLUSH_TYPE | PageFlag.NEW_CHECKSUM


def sets_with_a_result() -> list[str]:
    return [n for n in set_names("crash", "multidb") if (unpack_vector(n) / "recovered").is_dir()]


@pytest.mark.parametrize("name", sets_with_a_result())
def test_pages_equal_the_engines(name: str, tmp_path: Path) -> None:
    folder, size = unpack_vector(name), manifest()[name]["page_size"]
    result = recover(OsEnv(), [str(folder / "crash")], [], str(tmp_path / "out"))
    compared = 0
    for path, _, _ in result.databases:
        ours = Path(path).read_bytes()
        theirs = (folder / "recovered" / Path(path).name).read_bytes()
        assert len(ours) == len(theirs)
        for pgno in range(1, len(theirs) // size - 1):
            place = slice((pgno + 1) * size, (pgno + 2) * size)
            mine, other = Page(ours[place], pgno), Page(theirs[place], pgno)
            if not other.tag_count:
                continue  # in no tree
            compared += 1
            for field in _FIELDS:
                assert getattr(mine, field) == getattr(other, field), (pgno, field)
            assert mine.flags | _FREE_TO_DIFFER == other.flags | _FREE_TO_DIFFER, pgno
            assert mine.nodes() == other.nodes(), pgno
    assert compared > 50


_OF_THIS_RECOVERY = {
    "checksum",
    *("consistent", "consistent_time", "detach", "detach_time", "last_resize", "extend_time"),
    *("header_flush_signature", "flush_map_signature"),
}
"""Header fields that say when and where this very recovery ended."""


@pytest.mark.parametrize("name", sets_with_a_result())
def test_headers_equal_the_engines(name: str, tmp_path: Path) -> None:
    folder = unpack_vector(name)
    result = recover(OsEnv(), [str(folder / "crash")], [], str(tmp_path / "out"))
    fields = {k for k, v in vars(DatabaseHeader).items() if isinstance(v, Field)}
    for path, _, _ in result.databases:
        with (
            DatabaseFile.open(OsEnv(), path) as ours,
            DatabaseFile.open(OsEnv(), str(folder / "recovered" / Path(path).name)) as theirs,
        ):
            for field in sorted(fields - _OF_THIS_RECOVERY):
                mine, other = getattr(ours.header, field), getattr(theirs.header, field)
                assert mine == other, field
            assert ours.header.consistent.generation == theirs.header.consistent.generation
            assert ours.choice.copies_equal
