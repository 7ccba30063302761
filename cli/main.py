"""The command `defray`: its verbs, and what becomes of errors.

Nothing heavy is imported here, nor by the files of the verbs before a verb runs: `defray --help` is quick.
"""

from __future__ import annotations

import sys
from typing import Any

import click

from cli import (
    archive,
    decisions,
    erase,
    exporting,
    files,
    keys,
    look,
    operate,
    pay,
    quarantine,
    reconcile,
    schedules,
    users,
    vault,
    webhooks,
)
from cli.output import REFUSED, UNREACHABLE, complain, note
from rules.errors import DefrayError, SettingsError, Unreachable
from rules.release import VERSION
from worker import core_dumps

_ABOUT = """Post payments to invoices, charge cards exactly once, and see how everything stands.

\b
Exit codes:
  0  done; a payment was posted; nothing was found
  1  refused, declined, or something was found
  2  the command was not understood
  3  database, broker or another part does not answer
  4  still under way when the waiting ended

Settings are environment variables (`defray settings`); what `defray up` keeps running is found by DEFRAY_HOME.
"""


class Defray(click.Group):
    """The group of all verbs: turns errors that say how to mend them into words and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb that was asked for."""
        try:
            return super().invoke(ctx)
        except Unreachable as error:
            complain(error)
            ctx.exit(UNREACHABLE)
        except SettingsError as error:
            complain(error)
            ctx.exit(UNREACHABLE if "doesn't know its servers" in error.message else REFUSED)
        except DefrayError as error:
            complain(error)
            ctx.exit(REFUSED)


def _tell_version(ctx: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if wanted:
        click.echo(f"defray {VERSION}")
        ctx.exit()


@click.group(
    cls=Defray, help=_ABOUT, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120}
)
@click.option("--version", is_flag=True, expose_value=False, is_eager=True, callback=_tell_version, help="Say which.")
def defray() -> None:
    """The command itself does nothing."""


for _verbs in (
    operate,
    files,
    exporting,
    pay,
    look,
    decisions,
    schedules,
    reconcile,
    quarantine,
    archive,
    erase,
    users,
    keys,
    vault,
    webhooks,
):
    for _verb in _verbs.VERBS:
        defray.add_command(_verb)


def main() -> int:
    """Run the command line; returns the exit code."""
    core_dumps.forbid()
    try:
        code = defray.main(standalone_mode=False, prog_name="defray")
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        note("Stopped.")
        return 130
    return code if isinstance(code, int) else 0


if __name__ == "__main__":
    sys.exit(main())
