"""Verifying files: the engine's verdicts and counts, no false alarms, every kind of damage."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hotsplit.errors import CheckpointUnusable, HeaderDamaged, HotsplitError, Jet, NotEseFile
from hotsplit.ese.check.scan import ScanResult, scan_database, scan_file
from hotsplit.ese.files.env import File, Mode, OsEnv
from hotsplit.ese.files.identify import FileKind
from hotsplit.ese.format.checksum import stamp
from hotsplit.ese.format.header import choose_header
from hotsplit.report import Reporter, Severity
from tests.conftest import set_names, unpack_vector

SETS = ("crash-p4096-ckpt", "crash-p8192-ddl", "crash-p16384-llr", "crash-p32768-w10")
SNAPSHOTS = ("hotsplit-p4096", "hotsplit-p8192-ckpt", "hotsplit-p32768-llr", "hotsplit-two-p4096")


def scan(path: Path) -> ScanResult:
    return scan_file(OsEnv(), str(path), Reporter())


def rules(result: ScanResult) -> set[str]:
    return set(result.reporter.counts)


def summary(text: str) -> list[int]:
    """Pages seen, bad, correctable and uninitialised in the engine's output."""
    words = ("pages seen", "bad checksums", "correctable checksums", "uninitialized pages")
    found = [re.search(rf"(\d+) {word}", text) for word in words]
    return [int(match[1]) for match in found if match is not None]


def counts(result: ScanResult) -> list[int]:
    return [result.pages, result.bad, result.correctable, result.uninitialized]


@pytest.mark.parametrize("name", [n for n in SETS if n in set_names("crash")])
def test_counts_are_those_of_the_engine(name: str) -> None:
    folder = unpack_vector(name)
    for state in ("crash", "redo", "recovered"):
        text = (folder / "eseutil" / f"{state}.k.txt").read_text(errors="replace")
        result = scan(folder / state / "test.edb")
        assert counts(result) == summary(text)
        highest = re.search(r"0x(\w+) highest dbtime \(pgno 0x(\w+)\)", text)
        assert highest is not None
        expected = tuple(int(value, 16) for value in highest.groups())
        assert (result.highest_dbtime, result.highest_page) == expected
        assert result.reporter.findings == []
        assert result.bytes == (folder / state / "test.edb").stat().st_size


def apply(data: bytearray, flip: dict[str, Any], pages: bytes, size: int) -> None:
    """Make one damage of a pagebits set."""
    start = (flip["page"] + 1) * size
    for edit in flip["edits"]:
        at = start + edit.get("offset", 0)
        if "xor" in edit:
            for i, value in enumerate(bytes.fromhex(edit["xor"])):
                data[at + i] ^= value
        elif "fill" in edit:
            data[at : at + edit["length"]] = bytes.fromhex(edit["fill"]) * edit["length"]
        else:
            other = (edit["from_page"] + 1) * size
            data[start : start + size] = pages[other : other + size]


@pytest.mark.parametrize("name", set_names("pagebits"))
def test_damaged_pages_get_the_engines_verdict(name: str, tmp_path: Path) -> None:
    folder = unpack_vector(name)
    listing = json.loads((folder / "flips.json").read_text())
    size, clean = listing["page_size"], (folder / "test.edb").read_bytes()
    rounds = {flip["round"] for flip in listing["flips"]}
    for number in rounds:
        data = bytearray(clean)
        for flip in listing["flips"]:
            if flip["round"] == number:
                apply(data, flip, clean, size)
        path = tmp_path / "test.edb"
        path.write_bytes(data)
        result = scan(path)
        text = (folder / f"round{number}.k.txt").read_text(errors="replace")
        assert counts(result) == summary(text)
        told = {f.position: f.message for f in result.reporter.findings}
        correctable = re.findall(r"WARNING: page (\d+) checksum .* \( bit (\d+) \)", text)
        assert len(correctable) == result.correctable
        for page, bit in correctable:
            assert re.search(rf"\b{bit}\b", told[f"page {page}"])
        bad = {int(p) for p in re.findall(r"ERROR: page (\d+) checksum", text)}
        assert bad == {
            int(f.position.split()[1])
            for f in result.reporter.findings
            if f.rule in ("page-checksum", "page-number", "page-unowned")
        }


@pytest.mark.parametrize("name", set_names("pagebits"))
def test_damaged_headers_get_the_engines_verdict(name: str, tmp_path: Path) -> None:
    folder = unpack_vector(name)
    listing = json.loads((folder / "flips.json").read_text())
    size, clean = listing["page_size"], (folder / "test.edb").read_bytes()
    for flip in listing["header_flips"]:
        data = bytearray(clean)
        apply(data, flip, clean, size)
        path = tmp_path / "test.edb"
        path.write_bytes(data)
        result = scan(path)
        engine = flip["k_summary"]
        assert counts(result) == [
            engine[key] for key in ("pages", "bad", "correctable", "uninit")
        ], flip
        (finding,) = result.reporter.findings
        assert finding.position == f"page {flip['page']} (header)"
        assert f"ERROR: {finding.position} checksum failed" in flip["k_lines"]
        assert result.is_damaged


def test_real_databases_are_sound_but_for_garbage_that_nothing_owns(corpus: Path) -> None:
    damaged, seen = {}, 0
    for path in sorted(corpus.rglob("*")):
        if path.suffix in (".dat", ".edb", ".db", ".dit", ".sdb", ".mdb") or path.name == "Data":
            result = scan(path)
            assert result.kind == FileKind.DATABASE, path
            assert not result.is_damaged, path
            seen += 1
            if result.reporter.findings:
                damaged[path.name] = (rules(result), result.bad)
    listed = json.loads((corpus / "expected" / "index.json").read_text())
    assert seen >= len(listed)
    assert damaged == {"dissect-SRUDB.dat": ({"page-unowned"}, 16)}


def test_logs_checkpoints_and_maps_of_real_folders_are_sound(corpus: Path) -> None:
    kinds: dict[FileKind, int] = {}
    for path in sorted(corpus.rglob("*")):
        if path.suffix in (".log", ".chk", ".jfm", ".jrs"):
            result = scan(path)
            assert result.reporter.findings == [], path
            assert result.bad == 0
            kinds[result.kind] = kinds.get(result.kind, 0) + 1
    for kind in (FileKind.LOG, FileKind.CHECKPOINT, FileKind.FLUSH_MAP, FileKind.RESERVE_LOG):
        assert kinds[kind] > 5


@pytest.mark.parametrize(
    "name", [n for n in SNAPSHOTS if n in set_names("hotsplit", "hotsplit-two")]
)
def test_snapshots_of_a_running_engine_raise_no_alarm(name: str) -> None:
    suspects = 0
    for path in sorted(unpack_vector(name).rglob("test.edb")):
        result = scan(path)
        assert result.reporter.findings == [], path
        suspects += len(result.flush_suspects)
    assert suspects, "the map of a running engine lags: the comparison must have been made"


@pytest.fixture
def pair(corpus: Path, tmp_path: Path) -> Path:
    """A cleanly closed database with its flush map."""
    for name in ("secedit.sdb", "secedit.jfm"):
        shutil.copyfile(corpus / "secedit" / "cis" / name, tmp_path / name)
    return tmp_path / "secedit.sdb"


def lose_a_write(path: Path, pgno: int) -> None:
    """Move the flush type of a page on by one, as if its latest write had not reached the disk."""
    data = bytearray(path.read_bytes())
    at = (pgno + 1) * 4096
    page = data[at : at + 4096]
    flags = int.from_bytes(page[36:40], "little")
    flush = flags >> 15 & 3
    assert flush
    page[36:40] = (flags & ~0x18000 | flush % 3 + 1 << 15).to_bytes(4, "little")
    stamp(page, pgno)
    data[at : at + 4096] = page
    path.write_bytes(data)


def test_a_lost_write_is_found_by_the_flush_map(pair: Path) -> None:
    assert scan(pair).reporter.findings == []
    lose_a_write(pair, 4)
    result = scan(pair)
    (finding,) = result.reporter.findings
    assert (finding.rule, finding.position) == ("lost-flush", "page 4")
    assert finding.jet == Jet.errReadLostFlushVerifyFailure
    assert result.is_damaged


def test_in_a_dirty_database_the_map_is_no_proof(pair: Path) -> None:
    lose_a_write(pair, 4)
    data = bytearray(pair.read_bytes())
    header = choose_header(bytes(data)).header
    header.state = 2
    data[:8192] = header.sealed() * 2
    pair.write_bytes(data)
    result = scan(pair)
    assert (result.flush_suspects, result.reporter.findings) == ([4], [])


def test_a_map_of_another_database_is_not_used(pair: Path, corpus: Path) -> None:
    lose_a_write(pair, 4)
    shutil.copyfile(corpus / "secedit" / "dist" / "secedit.jfm", pair.with_suffix(".jfm"))
    assert scan(pair).reporter.findings == []
    pair.with_suffix(".jfm").write_bytes(b"garbage")
    assert rules(scan(pair)) == {"flush-map"}


def test_a_bit_in_each_kind_of_file(corpus: Path, tmp_path: Path) -> None:
    source = corpus / "srum" / "win10-17763-dirty"
    for name, offset, rule in (
        ("SRU00051.log", 4096 + 100, "log-correctable"),
        ("SRUDB.jfm", 8192 + 4000, "page-correctable"),
        ("SRU.chk", 50, "checkpoint-copy"),
        ("SRU.chk", 4096 + 50, "checkpoint-copy"),
    ):
        data = bytearray((source / name).read_bytes())
        data[offset] ^= 4
        path = tmp_path / name
        path.write_bytes(data)
        result = scan(path)
        assert rules(result) == {rule}
        assert not result.is_damaged
        data[offset + 1] ^= 4
        path.write_bytes(data)
        if name != "SRU.chk":
            result = scan(path)
            assert (result.bad, result.correctable, result.is_damaged) == (1, 0, True)


def test_both_copies_of_a_checkpoint_bad(corpus: Path, tmp_path: Path) -> None:
    data = bytearray((corpus / "srum" / "win10-17763-dirty" / "SRU.chk").read_bytes())
    data[50] ^= 1
    data[4096 + 50] ^= 1
    (tmp_path / "SRU.chk").write_bytes(data)
    with pytest.raises(CheckpointUnusable):
        scan(tmp_path / "SRU.chk")


@pytest.mark.parametrize("name", set_names("backup-stream"))
def test_the_trailer_of_a_backup_is_checked_for_itself(name: str, tmp_path: Path) -> None:
    data = bytearray((unpack_vector(name) / "full" / "test.edb").read_bytes())
    path = tmp_path / "test.edb"
    path.write_bytes(data)
    result = scan(path)
    size = choose_header(bytes(data[:65536])).header.page_size
    assert (result.reporter.findings, result.pages) == ([], len(data) // size)
    data[len(data) - size + 70] ^= 1
    path.write_bytes(data)
    (finding,) = scan(path).reporter.findings
    assert (finding.rule, finding.jet) == ("backup-trailer", Jet.errBadPatchPage)
    path.write_bytes(data[:-size])
    assert "backup-trailer" in rules(scan(path))


def test_a_file_that_was_cut_short(pair: Path) -> None:
    whole = pair.read_bytes()
    for length, found in (
        (len(whole) - 100 * 4096, {"file-truncated"}),
        (len(whole) - 1, {"file-truncated", "file-size"}),
        (8192, {"file-truncated"}),
    ):
        pair.write_bytes(whole[:length])
        result = scan(pair)
        assert rules(result) - {"page-checksum"} == found
        assert result.is_damaged


def test_what_lies_behind_the_owned_pages_is_a_warning(pair: Path) -> None:
    pair.write_bytes(pair.read_bytes() + b"\x5a" * 8192)
    result = scan(pair)
    assert (rules(result), result.bad, result.is_damaged) == ({"page-unowned"}, 2, False)
    assert result.reporter.worst() == Severity.WARNING


class WritingEnv(OsEnv):
    """An Env in which somebody else writes to the file as soon as it is opened."""

    def __init__(self, write: Any) -> None:
        super().__init__()
        self._write = write

    def open(self, path: str, mode: Mode) -> File:
        file = super().open(path, mode)
        return Watched(file, self._write) if path.endswith(".sdb") else file


class Watched:
    """A File that is changed before its fourth read."""

    def __init__(self, file: File, write: Any) -> None:
        self.path, self._file, self._write, self._reads = file.path, file, write, 0
        self.size, self.close, self.sync = file.size, file.close, file.sync
        self.has_data = file.has_data
        self.pwrite, self.truncate, self.allocate = file.pwrite, file.truncate, file.allocate

    def pread(self, size: int, offset: int) -> bytes:
        self._reads += 1
        if self._reads == 4:
            self._write()
        return self._file.pread(size, offset)


def test_a_file_that_changes_meanwhile_is_noticed(pair: Path) -> None:
    def grow() -> None:
        with pair.open("ab") as file:
            file.write(bytes(4096))

    def touch() -> None:
        data = bytearray(pair.read_bytes())
        header = choose_header(bytes(data)).header
        header.dbtime += 1
        with pair.open("r+b") as file:
            file.write(header.sealed())

    for write in (grow, touch):
        assert scan_database(WritingEnv(write), str(pair), Reporter()).changed
    assert not scan(pair).changed


def test_progress_is_told_and_adds_up(pair: Path) -> None:
    read: list[int] = []
    result = scan_database(OsEnv(), str(pair), Reporter(), read.append)
    assert sum(read) == result.bytes - 8192


@pytest.mark.parametrize(
    "name", ["x.edb", "E00.log", "E00.chk", "x.jfm", "notes.txt", "E0000001.log"]
)
@pytest.mark.parametrize("content", [b"", b"hello", bytes(65536), b"\xff" * 65536])
def test_files_that_are_nothing_of_the_kind(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(HotsplitError) as caught:
        scan(path)
    assert caught.value.file == str(path)
    assert caught.value.jet != Jet.errInternalError
    if name == "notes.txt":
        assert isinstance(caught.value, NotEseFile)
    if name == "x.edb":
        assert isinstance(caught.value, HeaderDamaged)


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_damage_anywhere_gives_findings_or_our_errors(
    corpus: Path, tmp_path: Path, data: st.DataObject
) -> None:
    source = corpus / "srum" / "win10-19043-clean-before"
    name = data.draw(st.sampled_from(["SRUDB.dat", "SRUDB.jfm", "SRU.chk", "SRU00008.log"]))
    content = bytearray((source / name).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, min(len(content), 100_000) - 1))
        length = data.draw(st.sampled_from([1, 2, 100, 5000]))
        content[at : at + length] = data.draw(st.binary(min_size=1, max_size=1)) * length
    path = tmp_path / name
    path.write_bytes(content[: data.draw(st.integers(len(content) // 2, len(content)))])
    try:
        result = scan(path)
    except HotsplitError as error:
        assert error.file == str(path)
    else:
        assert result.bad + result.correctable <= result.pages
