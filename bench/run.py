"""`make bench`: run all benchmarks and write their figures into docs/performance.md.

Run: ``python -m bench.run [NAME...]``; with names only those run, and the page stays as it is.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import platform
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import bench
from bench.common import Row
from hotsplit import __version__, _native

PAGE = Path(__file__).resolve().parents[1] / "docs" / "performance.md"
BEGIN, END = "<!-- figures: written by make bench -->", "<!-- end of figures -->"


def benchmarks() -> dict[str, Callable[[], list[Row]]]:
    """Return every benchmark by the name of its module."""
    found = {}
    for info in pkgutil.iter_modules(bench.__path__):
        module = importlib.import_module(f"bench.{info.name}")
        work = getattr(module, "run", None)
        if callable(work) and info.name != "run":
            found[info.name] = work
    return found


def heading(work: Callable[[], list[Row]]) -> str:
    """Return the first sentence of a benchmark's docstring."""
    text = sys.modules[work.__module__].__doc__ or work.__module__
    return text.strip().split("\n")[0].rstrip(".")


def machine() -> str:
    """Describe the machine: what matters for speed, and nothing that names it."""
    info = Path("/proc/cpuinfo")
    text = info.read_text() if info.exists() else ""
    names = re.findall(r"^model name\s*: (.*)$", text, re.M)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"hotsplit {__version__}, {_native.running()} kernels, Python {platform.python_version()}, "
        f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores, "
        f"{memory:.0f} GB of memory, {platform.system()} {platform.release().split('-')[0]}"
    )


def number(figure: float) -> str:
    """Return a figure with three digits that count."""
    if figure >= 100:
        return f"{figure:,.0f}"
    return f"{figure:.1f}" if figure >= 10 else f"{figure:.2f}"


def table(title: str, rows: Iterable[Row]) -> str:
    """Return the rows of a benchmark as Markdown."""
    lines = [f"### {title}", "", "| what | figure | unit | goal |", "| --- | ---: | --- | --- |"]
    lines += [f"| {r.what} | {number(r.figure)} | {r.unit} | {r.goal} |" for r in rows]
    return "\n".join(lines) + "\n"


def write(tables: list[str]) -> None:
    """Put the tables in the place that the page has for them."""
    page = PAGE.read_text()
    before, _, rest = page.partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise SystemExit(f"{PAGE} has no place for the figures ({BEGIN} ... {END})")
    figures = "\n".join([BEGIN, "", machine() + ".", "", *tables, END])
    PAGE.write_text(before + figures + after)


def main(names: list[str]) -> None:
    """Run benchmarks; print each as it is done."""
    known = benchmarks()
    unknown = set(names) - set(known)
    if unknown:
        raise SystemExit(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    tables = []
    for name in names or known:
        rows = [Row(*row) for row in known[name]()]
        tables.append(table(heading(known[name]), rows))
        print(tables[-1], flush=True)
    if not names:
        write(tables)


if __name__ == "__main__":
    main(sys.argv[1:])
