"""Print docs/errors.md: ``python -m hotsplit.errors``. A test compares the page with it."""

from __future__ import annotations

import ast
import inspect
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from hotsplit.errors import HotsplitError, Jet, error_classes

_PACKAGE = Path(__file__).resolve().parents[1]

_HEAD = """\
# Errors

Whatever goes wrong, hotsplit says it in the same form: the file, the place in it, a sentence, the
error that the engine (JET) has for it, and the next step. The exit status tells the kind of error.
With `--json` the same is in the object on standard output:

```json
{"error": {"name": "JET_errLogFileCorrupt", "number": -501, "file": "E00.log",
           "position": "(0x5,8,0)", "message": "The log is damaged (SegmentCorrupt)",
           "hint": "Put an undamaged copy of the log in place, or stop replay before it."}}
```

In Python every error is a subclass of `hotsplit.errors.HotsplitError` with the attributes
`message`, `jet` (name and number), `file`, `position`, `hint` and `exit_status`.

Other exit statuses: 0 for success, 2 for a command line that cannot be understood, 130 when it was
interrupted, 141 when the reader of its output went away; `hotsplit verify` has 3 for single wrong
bits that every reader corrects and 4 for damage.

This page is generated: `make errors`.

## By exit status

The first JET error of a row is the usual one.
"""

_REST = """\
## Other JET errors

These are reported as findings, or are given where the kind of error depends on the case.
"""


def named(node: ast.AST) -> Iterator[str]:
    """Yield the names of the JET errors in a piece of source, in order."""
    for part in ast.walk(node):
        match part:
            case ast.Attribute(ast.Name("Jet"), attr) if attr in Jet.__members__:
                yield attr


def sources() -> Iterator[ast.Module]:
    """Yield the parsed modules of the package but those that define the errors."""
    for path in sorted(_PACKAGE.rglob("*.py")):
        if path.parent != Path(__file__).resolve().parent:
            yield ast.parse(path.read_text())


def raised_with() -> tuple[dict[str, set[Jet]], set[Jet]]:
    """Return the JET errors that each class is made with, and all that occur at all."""
    by_class: dict[str, set[Jet]] = defaultdict(set)
    everywhere: set[Jet] = set()
    names = {cls.__name__ for cls in error_classes()}
    for module in sources():
        everywhere |= {Jet[name] for name in named(module)}
        for call in ast.walk(module):
            if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
                continue
            if call.func.id in names:
                given = [k.value for k in call.keywords if k.arg == "jet"]
                by_class[call.func.id] |= {Jet[name] for value in given for name in named(value)}
    return by_class, everywhere


def _cell(jet: Jet) -> str:
    return f"{jet.title} ({int(jet)})"


def _row(cls: type[HotsplitError], others: set[Jet]) -> str:
    first = cls.default_jet
    jets = [first, *sorted(others - {first}, reverse=True)]
    meaning = (inspect.getdoc(cls) or "").split("\n")[0]
    cells = (str(cls.exit_status), f"`{cls.__name__}`", meaning)
    return f"| {' | '.join(cells)} | {'<br>'.join(map(_cell, jets))} | {cls.default_hint} |"


def page() -> str:
    """Return the text of docs/errors.md."""
    by_class, everywhere = raised_with()
    lines = [_HEAD, "| status | class | meaning | JET errors | next step |"]
    lines.append("| ---: | --- | --- | --- | --- |")
    lines += [_row(cls, by_class[cls.__name__]) for cls in error_classes()]
    shown = {jet for jets in by_class.values() for jet in jets}
    shown |= {cls.default_jet for cls in error_classes()}
    rest = sorted(everywhere - shown - {Jet.errSuccess}, reverse=True)
    lines += ["", _REST, ", ".join(map(_cell, rest)) + ".", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    print(page(), end="")
