"""The trailer page of streaming backups."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hotsplit.errors import BackupNeedsRestore, Jet
from hotsplit.ese.files.database import DatabaseFile
from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.format.basics import BackupInfo, LogPosition, LogTime, Signature
from hotsplit.ese.format.checksum import header_checksum
from hotsplit.ese.format.header import DatabaseHeader
from hotsplit.ese.format.patch import Trailer, read_trailer
from tests.conftest import set_names, unpack_vector


def pair() -> tuple[DatabaseHeader, Trailer]:
    """A header and the trailer that belongs to it."""
    header, trailer = DatabaseHeader.empty(4096), Trailer.empty(4096)
    mark = LogPosition(7, 3, 100)
    database, log = Signature(1, LogTime(1, 2)), Signature(2, LogTime(3, 4))
    header.db_signature, header.log_signature = database, log
    header.backup_full_current = BackupInfo(mark, LogTime(5), 4, 0)
    trailer.db_signature, trailer.log_signature = database, log
    trailer.backup = BackupInfo(mark, LogTime(5), 4, 9)
    return header, trailer


def test_a_good_trailer_is_read() -> None:
    header, trailer = pair()
    found = read_trailer(trailer.sealed(), header)
    assert found.raw == trailer.raw
    assert found.log_range == (4, 9)


def test_committed_logs_extend_the_range() -> None:
    header, trailer = pair()
    trailer.gen_max_committed = 12
    assert read_trailer(trailer.sealed(), header).log_range == (4, 12)


def test_what_is_wrong_is_told_apart() -> None:
    header, trailer = pair()
    good = trailer.sealed()
    damaged = good[:500] + b"\1" + good[501:]
    other = trailer.copy()
    other.db_signature = Signature(99)
    moved = trailer.copy()
    moved.backup = BackupInfo(LogPosition(7, 3, 101), LogTime(5), 4, 9)
    cases = {
        bytes(4096): Jet.errMissingPatchPage,
        good[:4000]: Jet.errMissingPatchPage,
        b"": Jet.errMissingPatchPage,
        damaged: Jet.errBadPatchPage,
        other.sealed(): Jet.errDatabasePatchFileMismatch,
        moved.sealed(): Jet.errDatabasePatchFileMismatch,
    }
    for page, jet in cases.items():
        with pytest.raises(BackupNeedsRestore) as caught:
            read_trailer(page, header)
        assert caught.value.jet == jet


@pytest.mark.parametrize("name", set_names("backup-stream"))
def test_trailers_of_the_engine(name: str) -> None:
    folder = unpack_vector(name)
    info = json.loads((folder / "set.json").read_text())
    assert info["name"] == name
    path = folder / "full" / "test.edb"
    with DatabaseFile.open(OsEnv(), str(path)) as file:
        trailer = file.trailer
        assert trailer is not None
        assert header_checksum(trailer.raw) == trailer.checksum
        assert path.stat().st_size == (file.page_count + 3) * file.page_size
        low, high = logs_of(folder)
        assert trailer.backup.low == low
        assert low <= trailer.log_range[1] <= high
        assert trailer.log_range[1] >= file.header.gen_max_required


def logs_of(folder: Path) -> tuple[int, int]:
    """Lowest and highest generation among the logs of the backup."""
    numbers = [int(p.stem[3:], 16) for p in (folder / "full").glob("E00?*.log")]
    return min(numbers), max(numbers)
