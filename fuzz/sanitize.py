"""`make sanitize`: kernels built to notice every byte read or written outside its buffer.

Builds them with the compiler's AddressSanitizer and UndefinedBehaviorSanitizer beside a copy of the
package, runs the tests of the kernels with them, and fuzzes with them for FUZZ_SECONDS (300). What
is found ends the process at once with the place in C; fuzzing keeps the files (see `fuzz.run`).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RUNTIMES = ("libasan.so", "libubsan.so")
FLAGS = "-fsanitize=address,undefined"
COMPILE = f"{FLAGS} -fno-sanitize-recover=undefined -fno-omit-frame-pointer -g1 -O0"


class NoSanitizerError(Exception):
    """The compiler has no sanitizers."""


def runtimes() -> list[str]:
    """Return the paths of the sanitizers' libraries. Raises NoSanitizerError."""
    compiler = os.environ.get("CC", "gcc").split()
    found = []
    for name in RUNTIMES:
        command = [*compiler, f"-print-file-name={name}"]
        try:
            path = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        except (OSError, subprocess.CalledProcessError) as error:
            raise NoSanitizerError(f"{command[0]} does not answer: {error}") from error
        if not Path(path.strip()).is_absolute():
            raise NoSanitizerError(f"{command[0]} has no {name}")
        found.append(path.strip())
    return found


def build(into: Path) -> dict[str, str]:
    """Build the package with watched kernels in a folder; return the environment that uses it.

    Python's own allocator is left out: only memory of malloc has a fence on both sides.
    Raises NoSanitizerError, subprocess.CalledProcessError.
    """
    libraries = runtimes()
    package = into / "src"
    shutil.copytree(ROOT / "src", package, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    kernels = sorted(map(str, package.glob("hotsplit/_native/*.pyx")))
    subprocess.run(
        [sys.executable, "-m", "Cython.Build.Cythonize", "-i", "-3", *kernels],
        check=True,
        capture_output=True,
        env={**os.environ, "CFLAGS": COMPILE, "LDFLAGS": FLAGS},
    )
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join((str(package), str(ROOT))),
        "LD_PRELOAD": " ".join(libraries),
        "PYTHONMALLOC": "malloc",
        "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1:quarantine_size_mb=64",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "HOTSPLIT_KERNELS": "native",
        "FUZZ_SANITIZER": "1",
    }


def main() -> int:
    """Build, test, fuzz; return the exit status."""
    into = ROOT / "build" / "sanitized"
    shutil.rmtree(into, ignore_errors=True)
    environment = build(into)
    python = [sys.executable, "-m"]
    tests = subprocess.run(
        [*python, "pytest", "-q", "-p", "no:cacheprovider", "tests/_native"],
        cwd=ROOT,
        env=environment,
    )
    fuzzing = subprocess.run([*python, "fuzz.run"], cwd=ROOT, env=environment)
    return tests.returncode or fuzzing.returncode


if __name__ == "__main__":
    sys.exit(main())
