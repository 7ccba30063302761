"""`defray webhooks`: where apps are told what happens. An endpoint's secret is shown once, and kept sealed."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import click

from cli.output import table, tell, with_json, with_name
from rules.errors import Fault, RequestRefused

if TYPE_CHECKING:
    from books.webhooks import Sealed
    from cli.reach import Office


@click.group()
def webhooks() -> None:
    """Endpoints that are told what happens."""


@webhooks.command()
@click.argument("url")
@click.option("--type", "types", multiple=True, help="An event type, such as payment.posted; all, if left out.")
@click.option("--contact", default="", metavar="EMAIL", help="Who is told when it is disabled.")
@with_name
@with_json
def create(url: str, types: tuple[str, ...], contact: str, by: str) -> None:
    """Register URL, and show its secret: this once."""
    from books import webhooks as hooks
    from cli.reach import office
    from rules.webhooks import check_contact, check_types
    from webhooks.address import check

    with office() as at:
        checked = check(url, at.settings.webhook_allow_private)
        kinds, told = check_types(types), check_contact(contact)
        if isinstance(checked, Fault) or isinstance(kinds, Fault) or isinstance(told, Fault):
            raise RequestRefused([one for one in (checked, kinds, told) if isinstance(one, Fault)])
        secret, kept = _drawn(at)
        with at.transaction() as (conn, now):
            made = hooks.add(conn, checked, kinds, None, told, kept, now, by)
    tell({"id": made, "url": checked, "secret": secret}, [secret, f"The secret of endpoint {made}. Keep it now."])


@webhooks.command()
@click.argument("endpoint", type=int)
@with_name
@with_json
def rotate(endpoint: int, by: str) -> None:
    """Give ENDPOINT a new secret, and show it: this once. The one before signs beside it for 24 hours."""
    from books import webhooks as hooks
    from cli.reach import office

    with office() as at:
        secret, kept = _drawn(at)
        with at.transaction() as (conn, now):
            hooks.rotate(conn, endpoint, kept, now, by)
    tell({"id": endpoint, "secret": secret}, [secret, f"The new secret of endpoint {endpoint}. Keep it now."])


@webhooks.command("list")
@with_json
def list_() -> None:
    """Show all endpoints."""
    from books import webhooks as hooks
    from cli.reach import office

    with office() as at, at.reading() as (conn, _):
        known = hooks.endpoints(conn)
    rows = [(str(one.id), one.url, ", ".join(one.types) or "all", one.state, one.why) for one in known]
    tell(known, table(("id", "url", "types", "state", "why"), rows) if rows else "None yet.")


@webhooks.command()
@click.argument("endpoint", type=int)
@with_json
def deliveries(endpoint: int) -> None:
    """Show the latest deliveries of ENDPOINT."""
    from books import webhooks as hooks
    from cli.reach import office

    with office() as at, at.reading() as (conn, _):
        hooks.endpoint(conn, endpoint)
        found = hooks.deliveries(conn, endpoint)
    rows = [(str(d.event_id), d.type, d.state, str(d.tries), str(d.status or ""), d.said or "") for d in found]
    tell(found, table(("event", "type", "state", "tries", "status", "said"), rows) if rows else "None yet.")


@webhooks.command()
@click.argument("endpoint", type=int)
@with_name
@with_json
def enable(endpoint: int, by: str) -> None:
    """Tell ENDPOINT again, of what it missed, too."""
    from books import webhooks as hooks
    from cli.reach import office

    with office() as at:
        with at.transaction() as (conn, now):
            hooks.enable(conn, endpoint, now, by)
        at.wake.webhooks()
    tell({"id": endpoint, "state": "enabled"}, f"Endpoint {endpoint} is told again.")


@webhooks.command()
@click.argument("endpoint", type=int)
@with_name
@with_json
def delete(endpoint: int, by: str) -> None:
    """Tell ENDPOINT nothing any more."""
    from books import webhooks as hooks
    from cli.reach import office

    with office() as at, at.transaction() as (conn, now):
        hooks.endpoint(conn, endpoint)
        hooks.delete(conn, endpoint, now, by)
    tell({"id": endpoint, "state": "deleted"}, f"Endpoint {endpoint} is told nothing any more.")


@webhooks.command()
@click.argument("endpoint", type=int)
@click.option("--event", type=int, help="The id of one event.")
@click.option("--since", type=click.DateTime(["%Y-%m-%dT%H:%M:%S%z"]), help="All since then.")
@with_name
@with_json
def replay(endpoint: int, event: int | None, since: datetime | None, by: str) -> None:
    """Deliver to ENDPOINT again: one event, or all since a time."""
    from books import webhooks as hooks
    from cli.reach import office

    if (event is None) == (since is None):
        raise click.UsageError("Give one of --event and --since.")
    with office() as at:
        with at.transaction() as (conn, now):
            if event is not None:
                hooks.replay_one(conn, endpoint, event, now, by)
            elif since is not None:
                hooks.replay_since(conn, endpoint, since, now, by)
        at.wake.webhooks()
    of = f"Event {event} is" if since is None else f"All since {since.isoformat()} is"
    tell({"id": endpoint, "event_id": event, "since": since}, f"{of} delivered again.")


def _drawn(at: Office) -> tuple[str, Sealed]:
    """A new secret, and as it is kept."""
    from books.webhooks import PURPOSE, Sealed
    from webhooks.secret import draw

    secret = draw()
    sealed = at.vault().seal_text(secret, PURPOSE)
    return secret, Sealed(sealed.key_id, sealed.sealed)


VERBS = (webhooks,)
