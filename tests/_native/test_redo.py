"""The compiled replay kernel and its reference recover a set to the same bytes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hotsplit._native import redo_py
from hotsplit._native.sessions_py import DELTA64
from hotsplit.ese.format.header import choose_header
from hotsplit.ese.format.logrecord import NO_DBTIME, encode
from hotsplit.ese.format.page import Page, PageFlag
from hotsplit.ese.format.recordtable import RecordType as T
from tests.conftest import manifest, unpack_vector

SETS = ("crash-p4096-mid", "crash-p4096-ckpt", "crash-p8192-ckpt", "crash-p32768-w10")


def recovered(source: Path, into: Path, kernels: str) -> tuple[dict[str, object], bytes]:
    """Return what recovery made: the header but for times of day, and all pages."""
    code = "from hotsplit.cli import main; main()"
    command = [sys.executable, "-c", code, "recover", str(source), "--into", str(into)]
    subprocess.run(command, check=True, env={**os.environ, "HOTSPLIT_KERNELS": kernels})
    data = (into / "test.edb").read_bytes()
    header = choose_header(data[:65536]).header
    fields = {n: v for n, v in header.as_dict().items() if not n.endswith("time")}
    del fields["checksum"]
    return fields, data[2 * header.page_size :]


@pytest.mark.parametrize("name", SETS)
def test_kernel_equals_reference(name: str, tmp_path: Path) -> None:
    if name not in manifest():
        pytest.skip("needs the shared reference files beside the checkout (folder 'shared')")
    source = unpack_vector(name) / "crash"
    native = recovered(source, tmp_path / "native", "native")
    assert native == recovered(source, tmp_path / "python", "python")


def cores() -> list[Any]:
    kernel = pytest.importorskip("hotsplit._native.redo", reason="the kernel is not built")
    return [kernel.Core(4096), redo_py.Core(4096)]


@pytest.mark.parametrize("delta", [-(2**63), 2**63 - 1, -1, 0])
def test_undo_of_the_largest_delta(delta: int) -> None:
    """The least number has no negative of its own size: undefined in C if taken as it is."""
    node = {"procid": 1, "dbid": 1, "pgno": 9, "fdp": 9, "objid": 4, "key": b"k"}
    node |= {"dbtime_before": NO_DBTIME, "level": 1, "rceid": 7, "flags": 1}
    stream = (
        encode(T.BEGIN0, procid=1, levels=0x10, trx=5)
        + encode(T.DELTA64, **node, dbtime=11, delta=delta)
        + encode(T.UNDO, **node, dbtime=12, operation=DELTA64)
    )
    for core in cores():
        page = Page.new(4096, 9, 4, 10, PageFlag.LEAF)
        page.insert(0, b"k", (5).to_bytes(8, "little"))
        core.attach(1, 0, 100)
        core.load(1, 9, bytes(page.data))
        core.feed(stream, 1 << 32 | 1 << 16, 0, False)
        assert core.run() == redo_py.END
        after = Page(bytes(core.page(1, 9)), 9)
        assert after.dbtime == 12
        assert after.node(0).data == (5).to_bytes(8, "little")
