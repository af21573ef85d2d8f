"""hotsplit: verify, assess, recover and read ESE databases that were copied while running.

The calls of `hotsplit.api` and the error classes can be had from here; they are imported when they
are first asked for, so that the command line starts fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hotsplit.api import (
        assess,
        check,
        compact,
        export,
        open,
        recover,
        repair,
        rows,
        scrub,
        use_sort_table,
        verify,
    )
    from hotsplit.errors import HotsplitError

__all__ = [
    "HotsplitError", "__version__", "assess", "check", "compact", "export", "open", "recover",
    "repair", "rows", "scrub", "use_sort_table", "verify",
]  # fmt: skip
__version__ = "0.1.0"

_HOMES = dict.fromkeys(__all__, "hotsplit.api") | {"HotsplitError": "hotsplit.errors"}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'hotsplit' has no attribute {name!r}")
    return getattr(importlib.import_module(home), name)
