"""The real files that cases start from: the packaged example, and more where they are at hand."""

from __future__ import annotations

import importlib.resources
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import SHARED, manifest, unpack_vector
from tests.logs import LegacyWriter

_VECTORS = {
    "crash-p4096-base": "crash",
    "crash-p4096-lid32": "crash",
    "crash-p4096-mid": "crash",
    "crash-p8192-ddl": "crash",
    "crash-p8192-w10": "crash",
    "crash-p16384-llr": "crash",
    "crash-p16384-mid": "crash",
    "crash-p32768-mid": "crash",
    "hotsplit-p4096": "snap1",
    "multidb-p4096": "crash",
    "backup-stream-p4096": "full",
}
_ROLL_FORWARD = ("hotsplit-p4096", "hotsplit-p8192-ckpt", "hotsplit-p16384-circ")
_CORPUS = (
    "birth/logs-day0",
    "srum/win10-17763-dirty",
    "srum/win11-22000-clean-before",
    "srum/dissect-SRUDB.dat",
    "qmgr/qmgr-win11-24h2.db",
    "secedit/cis/secedit.sdb",
    "ual/{C519A76A-D9B5-4F85-B667-5FAC08E0E1B4}.mdb",
    "engine/binary.edb",
    "engine/decompress_test.edb",
    "engine/index.edb",
    "engine/multi.edb",
    "engine/test.edb",
    "engine/text.edb",
    "ravendb/system/Data",
)


@dataclass(frozen=True)
class Seed:
    """A set of files. load: reads them, each by its name."""

    name: str
    load: Callable[[], dict[str, bytes]]


def all_seeds() -> list[Seed]:
    """Return every seed that can be had here, in a fixed order."""
    seeds = [Seed("example", _example), Seed("old logs", _old_logs)]
    if manifest():
        seeds += [Seed(name, _folder_of_vector(name, part)) for name, part in _VECTORS.items()]
        seeds += [Seed(f"{name} rolled forward", _rolled(name)) for name in _ROLL_FORWARD]
        seeds += [Seed(place, _reader(SHARED / "corpus" / place)) for place in _CORPUS]
    return seeds


def _example() -> dict[str, bytes]:
    archive = importlib.resources.files("hotsplit") / "example" / "hotsplit.tar.xz"
    found = {}
    with archive.open("rb") as file, tarfile.open(fileobj=file, mode="r:xz") as tar:
        for member in tar:
            content = tar.extractfile(member)
            if content is not None:
                found[Path(member.name).name] = content.read()
    return found


def _old_logs() -> dict[str, bytes]:
    """Return two logs of format v7 as our own tests write them: there are no real ones at hand."""
    from hotsplit.ese.format.logrecord import encode
    from hotsplit.ese.format.recordtable import RecordType as T

    found = {}
    for generation, name in ((1, "E0000001.log"), (2, "E00.log")):
        writer = LegacyWriter(generation)
        records = [encode(T.BEGIN0, procid=3, levels=1, trx=7)]
        for number in range(8):
            key = bytes((0x7F, number))
            fields = {"procid": 3, "dbid": 1, "pgno": 5, "dbtime": 100 + number, "dbtime_before": 9}
            records.append(encode(T.INSERT, **fields, suffix=key, data=bytes(40)))
        records.append(encode(T.COMMIT0, procid=3, trx=7))
        writer.chain([records, records[:2], [encode(T.TERM)]])
        found[name] = bytes(writer.data)
    return found


def _folder_of_vector(name: str, part: str) -> Callable[[], dict[str, bytes]]:
    return lambda: _read(unpack_vector(name) / part)


def _rolled(name: str) -> Callable[[], dict[str, bytes]]:
    """Return an early copy of the database with all later logs: replay has most to do there."""

    def load() -> dict[str, bytes]:
        folder = unpack_vector(name)
        logs = {n: d for n, d in _read(folder / "end").items() if n.endswith(".log")}
        return {**logs, "test.edb": (folder / "snap1" / "test.edb").read_bytes()}

    return load


def _reader(path: Path) -> Callable[[], dict[str, bytes]]:
    return lambda: _read(path)


def _read(path: Path) -> dict[str, bytes]:
    files = [path] if path.is_file() else sorted(path.iterdir())
    return {file.name: file.read_bytes() for file in files if file.is_file()}
