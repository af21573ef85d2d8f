"""``hotsplit inspect``: what a file is, and its header."""

from __future__ import annotations

import os.path
from typing import Any

import click

from hotsplit.cli.inspection import Lines, inspect
from hotsplit.cli.output import Output
from hotsplit.errors import HotsplitError, NotEseFile
from hotsplit.ese.files.env import Env, OsEnv
from hotsplit.ese.files.identify import FileKind, identify
from hotsplit.ese.format.flushmap import CLEAN


@click.command("inspect")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--json", is_flag=True, help="Print one JSON object.")
def command(paths: tuple[str, ...], json: bool) -> int:
    """Say what kind of ESE file each PATH is and show its header.

    Of a folder all ESE files in it are listed, a line each.
    """
    out = Output(json=json)
    env = OsEnv()
    files: list[dict[str, Any]] = []
    first: HotsplitError | None = None
    for path in paths:
        try:
            if env.is_dir(path):
                inside, error = _inspect_folder(out, env, path)
                files += inside
                first = first or error
                continue
            entry, lines = inspect(env, path)
            _show(out, path, entry, lines)
        except HotsplitError as error:
            first = first or error
            entry = _failed(path, error)
            if not json:
                out.error(error)
        files.append(entry)
    out.emit({"files": files, "error": None if first is None else first.as_json()})
    return 0 if first is None else first.exit_status


def _failed(path: str, error: HotsplitError) -> dict[str, Any]:
    return {"path": path, "error": error.as_json()}


def _inspect_folder(
    out: Output, env: Env, folder: str
) -> tuple[list[dict[str, Any]], HotsplitError | None]:
    """List the ESE files of a folder; return their entries and the first error of one of them."""
    found: list[dict[str, Any]] = []
    first: HotsplitError | None = None
    for name in env.listdir(folder):
        path = os.path.join(folder, name)  # noqa: PTH118 - paths are plain strings
        try:
            if env.is_dir(path) or identify(env, path) in (FileKind.UNKNOWN, FileKind.EMPTY):
                continue
            found.append(inspect(env, path)[0])
        except HotsplitError as error:
            first = first or error
            found.append(_failed(path, error))
    if not found:
        raise NotEseFile("There is no ESE file in this folder", file=folder)
    rows = [[os.path.basename(e["path"]), e.get("kind", ""), _summary(e)] for e in found]  # noqa: PTH119
    out.line(f"{folder}:", bold=True)
    out.table(["File", "Kind", "State"], rows)
    out.line()
    return found, first


def _summary(entry: dict[str, Any]) -> str:
    """Return what one wants to know first of a file: state of a database, number of a log."""
    header = entry.get("header")
    if header is None:
        return entry["error"]["message"] if entry["error"] else ""
    match entry["kind"]:
        case FileKind.LOG:
            return f"generation {header['generation']}, created {header['created']}"
        case FileKind.CHECKPOINT:
            return f"checkpoint {header['position']}"
        case FileKind.FLUSH_MAP:
            return "clean" if header["flags"] & CLEAN else "in use when it was copied"
    low, high = header["gen_min_required"], header["gen_max_required"]
    return f"{header['state_name']}{f', log required {low}-{high}' if high else ''}"


def _show(out: Output, path: str, entry: dict[str, Any], lines: Lines) -> None:
    out.line(f"{path}: {entry['kind']}", bold=True)
    for label, text in lines:
        out.line(f"  {label + ':':<26} {text}")
    out.line()
