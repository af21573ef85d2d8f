"""`hotsplit compact`: offline defragmentation into a new file."""

from __future__ import annotations

from typing import Any

import click

from hotsplit.cli.output import Output
from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.rebuild.compact import Compacted, compact
from hotsplit.ese.recovery.replayed import pages_of


@click.command("compact")
@click.argument("database", metavar="DB", type=click.Path())
@click.option("--into", required=True, type=click.Path(), help="The new database file.")
@click.option("--replay", is_flag=True, help="Read a dirty database as if it were recovered.")
@click.option("--logs", multiple=True, type=click.Path(), help="Folder of logs for --replay.")
@click.option("--json", "json", is_flag=True, help="Print one JSON object.")
def command(database: str, into: str, replay: bool, logs: tuple[str, ...], json: bool) -> None:
    """Write a database anew: in order, tightly packed, without what is deleted.

    What eseutil /d does. The source is only read and must be sound and clean; the result has the
    same rows, keys and index entries, a signature of its own, and belongs to no log stream.
    """
    out, env = Output(json=json), OsEnv()
    with (
        pages_of(env, database, list(logs), replay=replay) as source,
        out.progress("Compacting", source.page_count) as progress,
    ):
        result = compact(env, source, database, into, progress.advance)
    _print(out, result, into)
    out.emit(_as_json(result, into))


def _print(out: Output, result: Compacted, into: str) -> None:
    before = _megabytes(result.pages_before, result.page_size)
    after = _megabytes(result.pages, result.page_size)
    out.line(f"{into}: {result.tables} tables, {result.trees} trees, {result.nodes} nodes")
    out.line(f"{before} -> {after}")
    if result.deleted or result.dropped:
        out.line(
            f"Left out: {result.deleted} deleted nodes, {result.dropped} long values without rows."
        )


def _megabytes(pages: int, page_size: int) -> str:
    """Return the size of a file of so many pages."""
    return f"{(pages + 2) * page_size / 1e6:.1f} MB"


def _as_json(result: Compacted, into: str) -> dict[str, Any]:
    return {
        "file": result.path,
        "into": into,
        "page_size": result.page_size,
        "pages_before": result.pages_before,
        "pages": result.pages,
        "tables": result.tables,
        "trees": result.trees,
        "nodes": result.nodes,
        "deleted_nodes": result.deleted,
        "dropped_long_values": result.dropped,
        "signature": result.signature,
        "error": None,
    }
