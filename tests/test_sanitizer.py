"""The kernels under the sanitizers: their own tests, and a slice of the fuzzing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fuzz.sanitize import ROOT, NoSanitizerError, build

CASES = 12
FUZZING = f"""
from fuzz.case import build
from fuzz.seeds import all_seeds
from fuzz.worker import run_case

seeds = all_seeds()
for number in range({CASES}):
    report = run_case(build("sanitized", number, seeds))
    assert not report["findings"], report["findings"]
"""
OVERFLOW = """
import ctypes
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
print(ctypes.string_at(libc.malloc(8), 9))
"""


@pytest.fixture
def sanitized(tmp_path: Path) -> dict[str, str]:
    try:
        environment = build(tmp_path)
    except NoSanitizerError as error:
        pytest.skip(str(error))
    return {name: value for name, value in environment.items() if "COV" not in name}


def run(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True
    )


def watch_is_awake(sanitized: dict[str, str]) -> None:
    """A byte outside is noticed in the process, and all kernels are built to be watched."""
    result = run(sanitized, "-c", OVERFLOW)
    assert result.returncode != 0
    assert "heap-buffer-overflow" in result.stderr
    package = Path(sanitized["PYTHONPATH"].split(os.pathsep)[0])
    kernels = list(package.glob("hotsplit/_native/*.so"))
    assert len(kernels) == len(list(package.glob("hotsplit/_native/*.pyx")))
    for kernel in kernels:
        assert b"__asan_report_load" in kernel.read_bytes()


def test_no_byte_outside_its_buffer(sanitized: dict[str, str]) -> None:
    """One test, as all of it needs the same build. References in Python have nothing to watch."""
    watch_is_awake(sanitized)
    options = ("-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", "-k", "not _py")
    for what in ("-m", "pytest", *options, "tests/_native"), ("-c", FUZZING):
        result = run(sanitized, *what)
        assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
