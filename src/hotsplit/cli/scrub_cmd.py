"""`hotsplit scrub`: a copy of a database without what was deleted."""

from __future__ import annotations

from typing import Any

import click

from hotsplit.cli.output import Output
from hotsplit.ese.files.env import OsEnv
from hotsplit.ese.rebuild.scrub import Scrubbed, scrub
from hotsplit.ese.recovery.replayed import pages_of


@click.command("scrub")
@click.argument("database", metavar="DB", type=click.Path())
@click.option("--into", required=True, type=click.Path(), help="The new database file.")
@click.option("--replay", is_flag=True, help="Read a dirty database as if it were recovered.")
@click.option("--logs", multiple=True, type=click.Path(), help="Folder of logs for --replay.")
@click.option("--json", "json", is_flag=True, help="Print one JSON object.")
def command(database: str, into: str, replay: bool, logs: tuple[str, ...], json: bool) -> None:
    """Copy a database without what was deleted: rows, long values, rests of pages.

    Pages stay where they are; `hotsplit compact` also takes the room that is then free. The source
    is only read and must be sound and clean. The copy has a signature of its own and belongs to no
    log stream: old logs, which hold deleted data, too, cannot be replayed on it.
    """
    out, env = Output(json=json), OsEnv()
    with (
        pages_of(env, database, list(logs), replay=replay) as source,
        out.progress("Scrubbing", source.page_count) as progress,
    ):
        result = scrub(env, source, database, into, progress.advance)
    _print(out, result, into)
    out.emit(_as_json(result, into))


def _print(out: Output, result: Scrubbed, into: str) -> None:
    out.line(f"{into}: {result.used} pages in use, {result.pages - result.used} others are zero")
    out.line(
        f"Gone: {result.deleted} deleted nodes, {result.dropped} long values without rows, "
        "all free space inside pages."
    )


def _as_json(result: Scrubbed, into: str) -> dict[str, Any]:
    return {
        "file": result.path,
        "into": into,
        "page_size": result.page_size,
        "pages": result.pages,
        "used_pages": result.used,
        "zeroed_pages": result.pages - result.used,
        "deleted_nodes": result.deleted,
        "dropped_long_values": result.dropped,
        "signature": result.signature,
        "error": None,
    }
