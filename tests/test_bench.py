"""The benchmarks are found and their page can be written; what they measure is not tested here."""

from __future__ import annotations

import inspect
import socket
from pathlib import Path

import pytest
from bench import run
from bench.common import Row, medians, rounds


def test_all_benchmarks_follow_the_convention() -> None:
    found = run.benchmarks()
    assert {"open", "recover", "rows", "verify"} <= set(found)
    for name, work in found.items():
        needed = [
            parameter
            for parameter in inspect.signature(work).parameters.values()
            if parameter.default is inspect.Parameter.empty
        ]
        assert needed == [], name
        assert len(run.heading(work)) > 10


def test_the_page_gets_the_figures_and_keeps_its_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "performance.md"
    page.write_text(f"before\n{run.BEGIN}\nold\n{run.END}\nafter\n")
    monkeypatch.setattr(run, "PAGE", page)
    run.write([run.table("Title", [Row("a thing", 1234.5, "MB/s", "at least 1")])])
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "old" not in text
    assert "| a thing | 1,234 | MB/s | at least 1 |" in text
    run.write([])
    assert "a thing" not in page.read_text()


def test_the_real_page_has_a_place_for_them() -> None:
    text = run.PAGE.read_text()
    assert text.index(run.BEGIN) < text.index(run.END)


def test_the_machine_is_described_but_not_named() -> None:
    assert "kernels, Python 3." in run.machine()
    assert socket.gethostname() not in run.machine()


def test_calls_take_turns_and_the_first_round_does_not_count() -> None:
    order: list[str] = []
    figures = iter([100.0, 1.0, 2.0, 9.0])

    def one() -> float:
        order.append("one")
        return next(figures)

    def two() -> float:
        order.append("two")
        return 5.0

    assert rounds(3, one, two) == [(1.0, 5.0), (2.0, 5.0), (9.0, 5.0)]
    assert order == ["one", "two"] * 4
    figures = iter([100.0, 1.0, 2.0, 9.0])
    assert medians(3, one, two) == [2.0, 5.0]


@pytest.mark.parametrize(
    ("figure", "text"), [(1234567.0, "1,234,567"), (99.94, "99.9"), (0.1234, "0.12")]
)
def test_figures_have_three_digits_that_count(figure: float, text: str) -> None:
    assert run.number(figure) == text
