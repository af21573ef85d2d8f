"""Crashes at many moments of a workload, in every way; see `crashes`."""

from __future__ import annotations

import os

import pytest

from tests.ese.engine.crashes import Run

SEED = int(os.environ.get("HOTSPLIT_ENGINE_SEED", "1"))
RUNS = int(os.environ.get("HOTSPLIT_ENGINE_RUNS", "6"))
"""Runs to make, and the seed of the first: set them for a campaign."""


@pytest.mark.parametrize("seed", range(SEED, SEED + RUNS))
def test_every_crash_leaves_what_was_committed(seed: int) -> None:
    run = Run(seed, often=0.04 if RUNS < 10 else 0.2)
    run.work(30)
    assert run.tried > 1
    assert run.reopened
    assert run.undone


def test_a_torn_page_is_mended() -> None:
    with pytest.raises(AssertionError, match="torn"):
        Run(1, often=0.3, mend=False).work(60)
