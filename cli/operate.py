"""Verbs of whoever runs Defray: up, migrate, doctor, retry, settings, sandbox."""

from __future__ import annotations

import os
import sys

import click

from cli.output import ID, REFUSED, UNREACHABLE, tell, with_json
from rules.errors import MoveRefused, Unreachable


@click.command()
@click.option("--once", is_flag=True, help="End after the sample batch: exit 0 only if it ended and the audit passed.")
@click.option("--bare", is_flag=True, help="Start everything, but leave the sample alone.")
def up(once: bool, bare: bool) -> None:
    """Start everything on this machine, run the sample batch, and stay up until Ctrl-C.

    Database and broker are embedded unless DEFRAY_DATABASE_URL and DEFRAY_REDIS_URL name servers of your own; cards
    go to the sandbox unless DEFRAY_GATEWAYS names gateways of your own.
    """
    from cli import main_job
    from local import up as everything
    from local.errors import LocalError
    from settings import load

    home = load(os.environ).home
    job = main_job.nothing if bare else main_job.run
    try:
        code = everything.run(home, os.environ, job, once=once)
    except (LocalError, LookupError) as error:
        raise Unreachable(str(error)) from None
    click.get_current_context().exit(code)


@click.command()
@with_json
def migrate() -> None:
    """Bring the database to the tables of this release, while others work; harmless when it has them."""
    from cli import reach
    from models.migrate import upgrade

    upgrade(reach.settings().servers()[0], lambda sentence: click.echo(sentence, err=True))
    tell({"migrated": True}, "The tables are up to date.")


@click.command()
@click.option("--before-start", is_flag=True, help="Leave out workers and beat: what they will stand on.")
@with_json
def doctor(before_start: bool) -> None:
    """Check what Defray stands on: settings, clocks, database, key file, broker, gateways, workers, beat, disk.

    What is WRONG ends with exit code 1 (3 where something does not answer); an advice does not.
    """
    from cli import checkup

    checks = checkup.all_of_it(with_processes=not before_start)
    marks = {(True, False): "ok    ", (True, True): "advice"}
    words = [f"{marks.get((check.well, check.advice), 'WRONG ')} {check.what}: {check.found}" for check in checks]
    words += [f"\n{check.what}: {check.remedy}" for check in checks if check.remedy]
    tell({"well": all(check.well for check in checks), "checks": checks}, words)
    if not all(check.well for check in checks):
        unreachable = any(check.unreachable for check in checks)
        click.get_current_context().exit(UNREACHABLE if unreachable else REFUSED)


@click.command()
@click.argument("payment", type=ID, required=False)
@click.option("--now", "at_once", is_flag=True, help="Bring planned attempts forward, as far as the networks allow it.")
@with_json
def retry(payment: int | None, at_once: bool) -> None:
    """Start the retry run by hand: declined payments whose next attempt is due, or PAYMENT alone."""
    from books import sweep
    from cli.reach import office

    if payment is not None and not at_once:
        raise MoveRefused("A payment's next attempt comes when it is due.", "Say --now to bring it forward.")
    with office() as at:
        with at.transaction() as (conn, now):
            if at_once:
                moved = sweep.hasten(conn, payment, now)
                due = [(payment_id, batch_id) for payment_id, batch_id, is_due in moved if is_due]
                later = len(moved) - len(due)
                batches = sorted({batch_id for _, batch_id in due if batch_id is not None})
                singles = [payment_id for payment_id, batch_id in due if batch_id is None]
                count = len(due)
            else:
                waiting = sweep.due_retries(conn, now)
                batches = [batch_id for batch_id, _ in waiting if batch_id is not None]
                singles = [0] if any(batch_id is None for batch_id, _ in waiting) else []
                count, later = sum(payments for _, payments in waiting), 0
        for batch_id in batches:
            at.wake.batch(batch_id, "charge", 1)
        if singles:
            at.wake.singles("charge")
    if payment is not None and not count and not later:
        raise MoveRefused(f"Payment {payment} waits for no further attempt.", f"See `defray explain {payment}`.")
    words = f"Payments that are tried again now: {count:,}." if count else "No attempt is due."
    if later:
        words += f" {later:,} must wait: the card networks allow no earlier attempt."
    tell({"due": count, "not_yet": later}, words)


@click.command()
@with_json
def settings() -> None:
    """Show every setting: what it says, what is expected, its default."""
    from settings import documentation, table

    tell(table(), documentation().rstrip())


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def sandbox(options: tuple[str, ...]) -> None:
    """Run gateways to try things with: they speak the wire protocols and misbehave on demand (OPTIONS: --help)."""
    os.execv(sys.executable, [sys.executable, "-m", "sandbox", *options])  # noqa: S606 - a process of our own


VERBS = (up, migrate, doctor, retry, settings, sandbox)
