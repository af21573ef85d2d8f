"""The child process that runs cases, under limits; talks to `fuzz.run` in JSON lines on stdout.

Run: ``python -m fuzz.worker SEED FIRST STEP`` for the cases FIRST, FIRST + STEP, ... without end.
"""

from __future__ import annotations

import faulthandler
import json
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

from fuzz.case import Case, build
from fuzz.place import Place, Target
from fuzz.seeds import all_seeds
from fuzz.targets import named, targets_of

MEMORY = 512 << 20
"""Bytes of address space that a case may use, the program included."""

LARGEST_FILE = 256 << 20


def limit() -> None:
    """Put this process under the limits. FUZZ_SANITIZER lifts that of memory, which ASan needs."""
    if not os.environ.get("FUZZ_SANITIZER"):
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE, LARGEST_FILE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1)


def run_case(case: Case, targets: tuple[Target, ...] = ()) -> dict[str, Any]:
    """Run targets (its own if none) over a case; return outcomes, a finding for each that broke."""
    memory = "/dev/shm"
    outcomes: dict[str, str] = {}
    findings: list[dict[str, str]] = []
    with tempfile.TemporaryDirectory(dir=memory if Path(memory).is_dir() else None) as top:
        folder, scratch = Path(top) / "files", Path(top) / "scratch"
        folder.mkdir()
        scratch.mkdir()
        for name, data in case.files.items():
            (folder / name).write_bytes(data)
        changed = sorted({folder / name for name in case.changed if name in case.files})
        place = Place(folder, changed or sorted(folder.iterdir()), scratch, case.number)
        for target in targets or targets_of(case.number):
            try:
                outcomes[target.__name__] = target(place).replace(top, "")
            except Exception as error:
                findings.append({"target": target.__name__, **_described(error)})
    return {"case": case.number, "outcomes": outcomes, "findings": findings}


def _described(error: Exception) -> dict[str, str]:
    """Return the traceback and what tells this kind of failure from others."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "hotsplit" in f.filename]
    places = [f"{Path(f.filename).name}:{f.name}" for f in frames[-3:]]
    text = "".join(traceback.format_exception(error))
    what = str(error)[:40] if not places else ""
    return {"kind": " ".join([type(error).__name__, *places, what]).strip(), "text": text}


def _greedy(_: Place) -> str:
    return str(len(bytes(MEMORY)))


def _endless(_: Place) -> str:
    while True:
        pass


SELF_TESTS: dict[str, Target] = {"exit": lambda _: os._exit(9), "hang": _endless, "memory": _greedy}
"""Targets that break the rules, to see that it is noticed (FUZZ_SELF_TEST names one)."""


def main() -> None:
    """Run cases until killed."""
    seed, first, step = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    limit()
    seeds = all_seeds()
    test = os.environ.get("FUZZ_SELF_TEST")
    targets = named(os.environ.get("FUZZ_TARGETS", "")) if test is None else (SELF_TESTS[test],)
    number = first
    while True:
        print(json.dumps({"begun": number}), flush=True)
        start = time.process_time()
        report = run_case(build(seed, number, seeds), targets)
        report["seconds"] = round(time.process_time() - start, 3)
        print(json.dumps(report), flush=True)
        number += step


if __name__ == "__main__":
    main()
