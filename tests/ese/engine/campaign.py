"""The crash campaign: whole workloads, a crash before every change of a file, in every way.

    python -m tests.ese.engine.campaign --seed 1 --seconds 600 --points 1000000 --jobs 2

Each run is one workload from one seed; runs take the seeds from `--seed` on until `--points` crash
points were tried, `--seconds` have passed or `--runs` are done, whichever is first. A point is one
change of a file in one way: all work kept, all that was not durable lost, some of it kept in any
order, torn at sectors; and crashes of the recoveries. A failure is told with the call that repeats
its run.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field, fields

from tests.ese.engine.crashes import Image, Run
from tests.ese.engine.judge import Judge

STEPS = 30
_THOROUGH = 0.2
_COMMAND = "python -m tests.ese.engine.campaign"


@dataclass(frozen=True)
class Budget:
    """When a campaign ends; 0 for no bound."""

    points: int = 0
    seconds: float = 0
    runs: int = 0


@dataclass
class Result:
    """What was done. tried: crash points; distinct: different images among them."""

    runs: int = 0
    tried: int = 0
    distinct: int = 0
    reopened: int = 0
    interrupted: int = 0
    copied: int = 0
    undone: int = 0
    mended: int = 0
    failures: list[str] = field(default_factory=list)

    def add(self, other: Result) -> None:
        """Count another result in."""
        for one in fields(self):
            setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))


class Enough(BaseException):
    """The budget is used up in the middle of a run."""


def one_run(seed: int, budget: Budget, steps: int = STEPS, end: float = 0) -> Result:
    """Make one run. end: time (`time.time`) at which to stop, 0 for none."""
    run = Run(seed, often=1, all_ways=True)
    judge = Judge(run.settings, seed, _THOROUGH)

    def check(image: Image) -> None:
        judge.check(image)
        if (budget.points and judge.tried >= budget.points) or (end and time.time() > end):
            raise Enough

    run.check = check
    failures = []
    try:
        run.work(steps)
    except Enough:
        pass
    except Exception as error:
        failures.append(f"{error}\n  again: {_COMMAND} --seed {seed} --runs 1")
    counts = {f.name: getattr(judge, f.name, 0) for f in fields(Result)[1:-1]}
    return Result(1, failures=failures, **counts)


def campaign(
    seed: int,
    budget: Budget,
    *,
    steps: int = STEPS,
    jobs: int = 1,
    tell: Callable[[str], None] = print,
) -> Result:
    """Make runs from `seed` on until the budget is used up."""
    tell(f"crash campaign, --seed {seed}")
    end = time.time() + budget.seconds if budget.seconds else 0
    total, begun = Result(), time.time()
    for found in _results(seed, budget, steps, jobs, end, total):
        total.add(found)
        for failure in found.failures:
            tell(f"FAILED {failure}")
        rate = total.tried / max(time.time() - begun, 1e-3)
        tell(
            f"{total.runs} runs, {total.tried:,} points ({total.distinct:,} different images, "
            f"{total.interrupted:,} in recoveries), {len(total.failures)} failed, {rate:.0f}/s"
        )
    return total


def _results(
    seed: int, budget: Budget, steps: int, jobs: int, end: float, total: Result
) -> Iterator[Result]:
    """Yield the results of runs; `total` counts what was yielded before."""

    def due(begun: int) -> bool:
        late = bool(end) and time.time() > end
        done = bool(budget.points) and total.tried >= budget.points
        return not late and not done and not (budget.runs and begun >= budget.runs)

    if jobs == 1:
        begun = 0
        while due(begun):
            left = Budget(points=max(0, budget.points - total.tried))
            yield one_run(seed + begun, left, steps, end)
            begun += 1
        return
    with ProcessPoolExecutor(jobs) as pool:
        running: set[Future[Result]] = set()
        begun = 0
        while running or due(begun):
            while len(running) < jobs and due(begun):
                running.add(pool.submit(one_run, seed + begun, Budget(), steps, end))
                begun += 1
            done, running = wait(running, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in done)


def main() -> int:
    """Run a campaign as the command line says; 1 if anything failed."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--seed", type=int, default=0, help="the first seed; by default any")
    parser.add_argument("--points", type=int, default=1_000_000, help="crash points to try")
    parser.add_argument("--seconds", type=float, default=0, help="stop after so long")
    parser.add_argument("--runs", type=int, default=0, help="stop after so many workloads")
    parser.add_argument("--steps", type=int, default=STEPS, help="transactions of a workload")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    told = parser.parse_args()
    seed = told.seed or secrets.randbelow(1 << 30) + 1
    budget = Budget(told.points, told.seconds, told.runs)
    result = campaign(seed, budget, steps=told.steps, jobs=told.jobs, tell=_say)
    return 1 if result.failures else 0


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
