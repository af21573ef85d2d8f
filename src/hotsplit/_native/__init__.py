"""Kernels: the few loops that touch bytes, compiled, each with a readable Python reference.

``HOTSPLIT_KERNELS`` chooses: ``native`` demands the compiled ones and fails if one is missing,
``python`` demands the references, unset takes the compiled ones where they can be loaded. A demand
is never met by something else.
"""

from __future__ import annotations

import importlib
import os
from types import ModuleType

CHOICE = os.environ.get("HOTSPLIT_KERNELS", "auto")
NAMES = (
    "batch",
    "checksum",
    "compress",
    "integrity",
    "jsonl",
    "lookup",
    "pack",
    "page",
    "record",
    "redo",
    "tree",
)


class KernelsMissingError(ImportError):
    """The kernels that HOTSPLIT_KERNELS demands cannot be loaded."""


def load(name: str) -> ModuleType:
    """Return the module of kernel `name`: compiled or reference, as demanded.

    Raises KernelsMissingError.
    """
    if CHOICE not in ("auto", "native", "python"):
        raise KernelsMissingError(f"HOTSPLIT_KERNELS must be native or python, not {CHOICE!r}")
    if CHOICE != "python":
        try:
            return importlib.import_module(f"hotsplit._native.{name}")
        except ImportError as error:
            if CHOICE == "native":
                raise KernelsMissingError(
                    f"The compiled kernel {name!r} cannot be loaded: {error}"
                ) from error
    return importlib.import_module(f"hotsplit._native.{name}_py")


def running() -> str:
    """Return ``native``, ``python`` or, if only some kernels were built, ``mixed``."""
    kinds = {load(name).__name__.endswith("_py") for name in NAMES}
    return "mixed" if len(kinds) > 1 else "python" if kinds == {True} else "native"
