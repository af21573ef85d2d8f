"""The command line: one file a command, thin faces over the library."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import click

from hotsplit import __version__, stdout
from hotsplit.errors import HotsplitError, InvalidUse, KernelsUnavailable

_COMMANDS = {
    "inspect": "inspect_cmd",
    "verify": "verify_cmd",
    "check": "check_cmd",
    "logs": "logs_cmd",
    "assess": "assess_cmd",
    "recover": "recover_cmd",
    "tables": "tables_cmd",
    "rows": "rows_cmd",
    "export": "export_cmd",
    "compact": "compact_cmd",
    "repair": "repair_cmd",
    "scrub": "scrub_cmd",
    "demo": "demo_cmd",
}


class LazyGroup(click.Group):
    """Imports a command's module only when the command is asked for: a fast start matters."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order in which one meets them."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return one command."""
        module = _COMMANDS.get(cmd_name)
        if module is None:
            return None
        command = importlib.import_module(f"hotsplit.cli.{module}").command
        assert isinstance(command, click.Command)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; click would hide that the reader of the output went away."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise _ReaderGone from error


class _ReaderGone(Exception):
    """Nobody reads what is printed."""


def _show_version(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from hotsplit import _native

        click.echo(f"hotsplit {__version__} ({_native.running()} kernels)")
        ctx.exit()


def _use_sort_table(ctx: click.Context, _param: click.Parameter, path: str | None) -> None:
    if path and not ctx.resilient_parsing:
        from hotsplit import use_sort_table

        use_sort_table(path)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version and which kernels run.",
)
@click.option(
    "--sort-table",
    metavar="FILE",
    envvar="HOTSPLIT_SORT_TABLE",
    expose_value=False,
    callback=_use_sort_table,
    help="SortDefault.nls of Windows, to seek Unicode text of any language by index.",
)
def group() -> None:
    """Verify, assess, recover and read ESE databases that were copied while running."""


def main(argv: list[str] | None = None) -> None:
    """Run the command line; exit with the status of the error class when something fails."""
    args = sys.argv[1:] if argv is None else argv
    json = "--json" in args
    stdout.make_sure()
    try:
        status = group.main(args=args, prog_name="hotsplit", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        _misused(error, json)
        sys.exit(error.exit_code)
    except click.Abort:
        click.echo("Stopped.", err=True)
        sys.exit(130)
    except HotsplitError as error:
        sys.exit(_fail(error, json))
    except ImportError as error:
        if type(error).__name__ != "KernelsMissingError":
            raise
        sys.exit(_fail(KernelsUnavailable(str(error)), json))
    except (_ReaderGone, BrokenPipeError):
        stdout.give_up()
        sys.exit(141)
    except OSError as error:  # files are opened elsewhere, and their errors are of our own
        stdout.give_up()
        sys.exit(_fail(stdout.failure(error), json=False))
    sys.exit(status if isinstance(status, int) else 0)


def _misused(error: click.ClickException, json: bool) -> None:
    """Say what is wrong with the command line."""
    error.show()
    if json:
        from hotsplit.cli.output import Output

        context = getattr(error, "ctx", None)
        path = context.command_path if context else "hotsplit"
        use = InvalidUse(error.format_message(), hint=f"See `{path} --help`.")
        Output(json=True).emit({"error": use.as_json()})


def _fail(error: HotsplitError, json: bool) -> int:
    """Say what went wrong, where, what the engine calls it and what to do; return the status."""
    from hotsplit.cli.output import Output

    out = Output(json=json)
    if json:
        report: dict[str, Any] = getattr(error, "report", {})
        out.emit({**report, "error": error.as_json()})
    else:
        out.error(error)
    return error.exit_status
