"""Parts of lines that several dumps share. Source: format spec. 12; log spec. 10.1, 10.3."""

from __future__ import annotations

from collections.abc import Iterator

from hotsplit.ese.format.attachments import Attachment, DbmsParameters

ENGINE_VERSION = "0x620,290,600  (efvCurrent = 9600)"
"""Newest revision of the database format that is known in all parts."""

LOG_VERSION = "8.4000.130.280"
"""Newest version of the log format that is known."""


def range_text(low: int, high: int) -> str:
    """Return two generations, decimal and hexadecimal."""
    return f"{low}-{high} (0x{low:x}-0x{high:x})"


def number_text(value: int) -> str:
    """Return a number, decimal and hexadecimal."""
    return f"{value} (0x{value:x})"


def parameter_lines(parameters: DbmsParameters) -> Iterator[str]:
    """Yield the settings of an instance."""
    values = (
        *(parameters.sessions, parameters.open_tables, parameters.version_pages),
        *(parameters.cursors, parameters.log_buffers),
        *(parameters.log_sectors, parameters.cache_max),
    )
    circular = "     on" if parameters.circular else "    off"
    yield "      Env (CircLog,Session,Opentbl,VerPage,Cursors,LogBufs,LogFile,Buffers)"
    yield f"          ({circular},{','.join(f'{value:7}' for value in values)})"


def attachment_lines(attachment: Attachment, lead: str) -> Iterator[str]:
    """Yield what is known of an attached database, without its path, behind `lead`."""
    high, low = divmod(attachment.dbtime, 1 << 32)
    yield f"{lead}dbtime: {attachment.dbtime} ({high}-{low})"
    yield f"{lead}objidLast: {attachment.last_objid}"
    yield f"{lead}Signature: {attachment.signature}"
    yield f"{lead}MaxDbSize: {attachment.max_pages} pages"
    yield f"{lead}Last Attach: {attachment.attach}"
    yield f"{lead}Last Consistent: {attachment.consistent}"
