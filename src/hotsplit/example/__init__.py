"""The hot split set that comes with the package: made by the real engine."""

from __future__ import annotations

import importlib.resources
import tarfile
from pathlib import Path


def unpack(folder: Path | str) -> None:
    """Unpack the set into a folder, which is made if need be: logs 1 to 5, a database, the rest."""
    archive = importlib.resources.files(__name__) / "hotsplit.tar.xz"
    with archive.open("rb") as file, tarfile.open(fileobj=file, mode="r:xz") as tar:
        extract_all(tar, folder)


def extract_all(tar: tarfile.TarFile, folder: Path | str) -> None:
    """Unpack an archive of ours. Python 3.11.3 and older have no filters of what is dangerous."""
    tar.extraction_filter = getattr(tarfile, "data_filter", None)
    tar.extractall(folder)
