"""`make fuzz`: run cases in child processes, watch over them, keep what they find.

Settings are environment variables. FUZZ_SECONDS: how long (300). FUZZ_SEED: the seed of an earlier
run, to run the same cases again; drawn and printed otherwise. FUZZ_CASE: run this case alone.
FUZZ_JOBS: how many processes (one a core). FUZZ_TARGETS: names of functions of `fuzz.targets`, to
run only these. FUZZ_COMPARE: run each case with the compiled kernels and with their references, and
compare. Exit status: 0 without findings, 1 with some, 2 if a name is none.

A finding is an exception that is not a HotsplitError, an outcome against the contract of a command,
a death of the process, more than 512 MB of memory, more than `CASE_SECONDS` for one case, or
kernels that differ. Of each kind the first is kept in `fuzz/findings`: the files and what happened.
"""

from __future__ import annotations

import hashlib
import json
import os
import queue
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from fuzz.case import build
from fuzz.place import Target
from fuzz.seeds import all_seeds
from fuzz.targets import named
from fuzz.worker import run_case

CASE_SECONDS = 30.0
"""Of processor time; ten times as much of any time, should it wait for something."""

FINDINGS = Path(__file__).parent / "findings"
_ROOT = Path(__file__).resolve().parents[1]


@dataclass
class Finding:
    """Something that must not be. kind: equal for failures of one cause."""

    case: int
    target: str
    kind: str
    text: str


@dataclass
class Totals:
    """What a run did."""

    seed: str
    cases: int = 0
    slowest: float = 0.0
    kinds: Counter[str] = field(default_factory=Counter)
    first: dict[str, Finding] = field(default_factory=dict)
    unpaired: dict[int, dict[str, str]] = field(default_factory=dict)

    def take(self, finding: Finding) -> None:
        """Count a finding; keep the first of its kind."""
        self.kinds[finding.kind] += 1
        if finding.kind not in self.first:
            self.first[finding.kind] = finding
            print(f"\n{finding.kind} (case {finding.case}, {finding.target})", flush=True)
            save(self.seed, finding)

    def compare(self, case: int, outcomes: dict[str, str]) -> None:
        """Compare with what the other kernels made of the case, once both have done it."""
        other = self.unpaired.pop(case, None)
        if other is None:
            self.unpaired[case] = outcomes
            return
        for target in outcomes.keys() & other.keys():
            if _gist(outcomes[target]) != _gist(other[target]):
                text = f"{outcomes[target]}\n{other[target]}"
                self.take(Finding(case, target, f"kernels differ: {target}", text))


def _gist(outcome: str) -> str:
    """Return an outcome, of an error its name alone: kernels may say it in other words."""
    return outcome.split(" ")[0] if outcome.startswith("JET_") else outcome


class Child:
    """One child process and the case that it is at. kernels: as HOTSPLIT_KERNELS."""

    def __init__(self, seed: str, first: int, step: int, kernels: str | None = None) -> None:
        self.kernels = kernels
        self.begin(first)
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `end`
        self._process = subprocess.Popen(
            [sys.executable, "-m", "fuzz.worker", seed, str(first), str(step)],
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            cwd=_ROOT,
            env={**os.environ, **({"HOTSPLIT_KERNELS": kernels} if kernels else {})},
            text=True,
        )
        self.lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        assert self._process.stdout is not None
        threading.Thread(target=self._pump, args=(self._process.stdout,), daemon=True).start()

    def begin(self, case: int) -> None:
        """Take note that the process begins a case."""
        self.case = case
        self._since, self._cpu_since = time.monotonic(), self._cpu()

    def is_late(self) -> bool:
        """Tell whether the case takes too long."""
        spent = time.monotonic() - self._since
        return self._cpu() - self._cpu_since > CASE_SECONDS or spent > 10 * CASE_SECONDS

    def _cpu(self) -> float:
        """Return the processor time that the process has used, 0 before it is there."""
        try:
            stat = Path(f"/proc/{self._process.pid}/stat").read_text()
        except (AttributeError, OSError):
            return 0.0
        user, system = stat.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def _pump(self, stdout: IO[str]) -> None:
        for line in stdout:
            self.lines.put(line)
        self.lines.put(None)

    def end(self, *, ask: bool = False) -> str:
        """End the process; return what it wrote to stderr. ask: first let it say where it is."""
        if ask:
            self._process.send_signal(signal.SIGUSR1)
            time.sleep(0.5)
        self._process.kill()
        status = self._process.wait()
        self._stderr.seek(0)
        text = self._stderr.read().decode(errors="replace")
        self._stderr.close()
        return f"exit status {status}\n{text}"

    def died(self) -> str:
        """Return the end of a process that ended by itself."""
        self._process.wait()
        return self.end()


def fuzz(
    seed: str, seconds: float, jobs: int, enough: int = 1000, *, compare: bool = False
) -> Totals:
    """Run cases of a seed for some time, or until there are so many kinds of findings."""
    totals = Totals(seed)
    kernels = ("native", "python") if compare else (None,)
    children = [Child(seed, n, jobs, which) for n in range(jobs) for which in kernels]
    begun = told = time.monotonic()
    end = begun + seconds
    while time.monotonic() < end and len(totals.first) < enough:
        for number, child in enumerate(children):
            finding = _watch(child, totals)
            if finding is not None:
                totals.take(finding)
                children[number] = Child(seed, child.case + jobs, jobs, child.kernels)
        if time.monotonic() > told + 60:
            told = time.monotonic()
            print(f"{totals.cases} cases in {told - begun:.0f} s", flush=True)
    for child in children:
        child.end()
    return totals


def _watch(child: Child, totals: Totals) -> Finding | None:
    """Take a child's next message; return a finding if the child is gone or hangs."""
    try:
        line = child.lines.get(timeout=0.05)
    except queue.Empty:
        if not child.is_late():
            return None
        text = child.end(ask=True)
        return Finding(child.case, "", f"hang {_place(text)}", text)
    if line is None:
        text = child.died()
        return Finding(child.case, "", f"death {_place(text)}", text)
    _take(json.loads(line), child, totals)
    return None


def _take(message: dict[str, Any], child: Child, totals: Totals) -> None:
    if "begun" in message:
        child.begin(message["begun"])
        return
    totals.cases += 1
    totals.slowest = max(totals.slowest, message["seconds"])
    for found in message["findings"]:
        totals.take(Finding(message["case"], found["target"], found["kind"], found["text"]))
    if child.kernels is not None:
        totals.compare(message["case"], message["outcomes"])


def _place(text: str) -> str:
    """Return where a process stood, out of the stack that it wrote."""
    frames = re.findall(r'File ".*?hotsplit/([^"]*)", line \d+ in (\w+)', text)
    sanitizer = re.findall(r"(?:ERROR: AddressSanitizer: |runtime error: )(.*)", text)
    return " ".join([*sanitizer[:1], *(":".join(frame) for frame in frames[:3])])


def save(seed: str, finding: Finding) -> Path:
    """Keep the files of a finding and what happened; return the folder."""
    name = hashlib.sha256(finding.kind.encode()).hexdigest()[:12]
    folder = FINDINGS / name
    case = build(seed, finding.case, all_seeds())
    folder.mkdir(parents=True, exist_ok=True)
    again = f"FUZZ_SEED={seed} FUZZ_CASE={finding.case} make fuzz"
    text = f"{finding.kind}\n{again}\n{case.origin}: {case.changed}\n\n{finding.text}\n"
    (folder / "what.txt").write_text(text)
    for file, data in case.files.items():
        (folder / file).write_bytes(data)
    return folder


def one_case(seed: str, number: int, targets: tuple[Target, ...] = ()) -> int:
    """Run one case in this process and show what comes of it. targets: as FUZZ_TARGETS."""
    case = build(seed, number, all_seeds())
    print(f"{case.origin}: changed {', '.join(case.changed)}")
    report = run_case(case, targets)
    for target, outcome in report["outcomes"].items():
        print(f"{target}: {outcome}")
    for found in report["findings"]:
        print(f"\n{found['target']}: {found['kind']}\n{found['text']}")
    return 1 if report["findings"] else 0


def main() -> int:
    """Run as the environment says; return the exit status."""
    seed = os.environ.get("FUZZ_SEED") or secrets.token_hex(4)
    number = os.environ.get("FUZZ_CASE")
    try:
        targets = named(os.environ.get("FUZZ_TARGETS", ""))
    except ValueError as error:
        print(f"FUZZ_TARGETS: {error}", file=sys.stderr)
        return 2
    if number:
        return one_case(seed, int(number), targets)
    seconds = float(os.environ.get("FUZZ_SECONDS", "300"))
    jobs = int(os.environ.get("FUZZ_JOBS", os.cpu_count() or 1))
    print(f"Fuzzing for {seconds:g} s, FUZZ_SEED={seed}, {len(all_seeds())} seed sets", flush=True)
    totals = fuzz(seed, seconds, jobs, compare=bool(os.environ.get("FUZZ_COMPARE")))
    print(f"{totals.cases} cases, the slowest took {totals.slowest:.2f} s")
    for kind, count in totals.kinds.most_common():
        print(f"{count:6} {kind}")
    print(f"{len(totals.kinds)} kinds of findings" + (f" in {FINDINGS}" if totals.kinds else ""))
    return 1 if totals.kinds else 0


if __name__ == "__main__":
    sys.exit(main())
