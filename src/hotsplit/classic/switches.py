"""Arguments as the originals take them: ``/x`` or ``-x``, any case, values glued to the letter.

An argument that begins with ``/`` is a path if it is there, or could be made there; a single letter
behind the slash is always a switch.
"""

from __future__ import annotations

import os.path
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from hotsplit.classic.console import Usage

_COMMON = "o2481!3"  # no logo; page sizes of 2 to 32 KB, which are told by the file; obsolete


class Takes(Enum):
    """What stands behind the letter of a switch; a path may also be the next argument."""

    NOTHING = "nothing"
    VALUE = "value"
    MAYBE = "maybe"
    PATH = "path"
    MAYBE_PATH = "maybe a path"


@dataclass
class Arguments:
    """What was given. names: arguments that are no switches; given: values by lower-case letter."""

    names: list[str] = field(default_factory=list)
    given: dict[str, list[str]] = field(default_factory=dict)

    def __contains__(self, letter: str) -> bool:
        return letter in self.given

    def value(self, letter: str, default: str = "") -> str:
        """Return the value of a switch, the last one if it was given twice."""
        return self.given.get(letter, [default])[-1]

    def only(self, what: str) -> str:
        """Return the one name. Raises Usage when it is missing."""
        if not self.names:
            raise Usage(f"Usage Error: Missing {what} specification.")
        return self.names[0]


def is_switch(text: str) -> bool:
    """Tell a switch from a path."""
    if text.startswith("-"):
        return len(text) > 1
    if not text.startswith("/") or len(text) < 2:
        return False
    parent = os.path.dirname(text)  # noqa: PTH120 - paths are plain strings
    is_path = os.path.exists(text) or (parent != "/" and os.path.isdir(parent))  # noqa: PTH110, PTH112
    return len(text) == 2 or not is_path


def parse(arguments: list[str], known: Mapping[str, Takes], names: int = 1) -> Arguments:
    """Read the arguments behind the mode. names: how many may be no switches.

    Raises Usage.
    """
    found = Arguments()
    rest = list(arguments)
    while rest:
        text = rest.pop(0)
        if not is_switch(text):
            if len(found.names) >= names:
                message = "Options must be preceded by '-' or '/'."
                raise Usage(f"Usage Error: Invalid argument '{text}'. {message}")
            found.names.append(text)
            continue
        letter, value = text[1].lower(), text[2:]
        takes = Takes.MAYBE if letter in _COMMON else known.get(letter)
        if takes in (Takes.PATH, Takes.MAYBE_PATH):
            next_is_path = not value and rest and not is_switch(rest[0])
            value = rest.pop(0) if next_is_path else value.lstrip(":")
        if takes is None or not _fits(takes, value):
            raise Usage(f"Usage Error: Invalid option '{text}'.")
        found.given.setdefault(letter, []).append(value)
    return found


def _fits(takes: Takes, value: str) -> bool:
    if takes in (Takes.MAYBE, Takes.MAYBE_PATH):
        return True
    return bool(value) == (takes != Takes.NOTHING)


def page_number(text: str) -> int:
    """Read a page number. Raises Usage."""
    try:
        return int(text, 0)
    except ValueError:
        raise Usage(f"Usage Error: Invalid page number '{text}'.") from None
