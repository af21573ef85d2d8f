"""The compiled replay kernel and its reference recover a set to the same bytes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import manifest, unpack_vector

SETS = ("crash-p4096-mid", "crash-p4096-ckpt", "crash-p8192-ckpt", "crash-p32768-w10")


def recovered(source: Path, into: Path, kernels: str) -> bytes:
    code = "from hotsplit.cli import main; main()"
    command = [sys.executable, "-c", code, "recover", str(source), "--into", str(into)]
    subprocess.run(command, check=True, env={**os.environ, "HOTSPLIT_KERNELS": kernels})
    return (into / "test.edb").read_bytes()


@pytest.mark.parametrize("name", SETS)
def test_kernel_equals_reference(name: str, tmp_path: Path) -> None:
    if name not in manifest():
        pytest.skip("needs the shared reference files beside the checkout (folder 'shared')")
    source = unpack_vector(name) / "crash"
    native = recovered(source, tmp_path / "native", "native")
    assert native == recovered(source, tmp_path / "python", "python")
