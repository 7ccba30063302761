"""`defray keys`: keys of upstream apps. A key's secret is shown once, and only its hash is kept."""

from __future__ import annotations

import click

from cli.output import table, tell, with_json, with_name
from rules.errors import Fault, RequestRefused

_SCOPES = ("read", "pay", "void", "refund", "admin")


@click.group()
def keys() -> None:
    """Keys by which upstream apps use the API."""


@keys.command()
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    type=click.Choice(_SCOPES),
    help="What it may do; give it several times. read: look; pay: record customers, invoices, payments and cards;"
    " void: void and cancel; refund: refund; admin: all.",
)
@click.option("--customer", metavar="NUMBER", help="Let it see this customer only.")
@with_name
@with_json
def create(name: str, scopes: tuple[str, ...], customer: str | None, by: str) -> None:
    """Make a key called NAME, and show its secret: this once."""
    import secrets

    from books import api_keys
    from cli.reach import office
    from rules.apps import SECRET_BEGINS, Scope, check_key_name

    checked = check_key_name(name)
    if isinstance(checked, Fault):
        raise RequestRefused([checked])
    secret = f"{SECRET_BEGINS}{secrets.token_urlsafe(32)}"
    with office() as at, at.transaction() as (conn, now):
        key_id = api_keys.add(conn, checked, secret, [Scope(one) for one in scopes], customer, now, by)
    tell(
        {"id": key_id, "name": checked, "scopes": list(dict.fromkeys(scopes)), "customer": customer, "secret": secret},
        [secret, f"This is the key of {checked}. Keep it now: it is not shown again."],
    )


@keys.command("list")
@with_json
def list_() -> None:
    """Show all keys, revoked ones, too; never a secret."""
    from books import api_keys
    from cli.reach import office
    from papers.story import moment

    with office() as at, at.reading() as (conn, _):
        known = api_keys.everybody(conn)
    zone = at.settings.business_time_zone
    rows = [
        (
            one.name,
            f"{one.prefix}...",
            ", ".join(one.scopes),
            one.customer or "all",
            moment(one.created_at, zone),
            one.created_by,
            moment(one.last_used_at, zone) if one.last_used_at else "never",
            f"{moment(one.revoked_at, zone)} by {one.revoked_by}" if one.revoked_at else "no",
        )
        for one in known
    ]
    head = ("name", "begins", "may", "customers", "made", "by", "last used", "revoked")
    tell(known, table(head, rows) if rows else "None yet: `defray keys create NAME --scope pay --scope read`.")


@keys.command()
@click.argument("name")
@with_name
@with_json
def revoke(name: str, by: str) -> None:
    """Let the key called NAME open nothing any more, at once and for good."""
    from books import api_keys
    from cli.reach import office

    with office() as at, at.transaction() as (conn, now):
        api_keys.revoke(conn, name, now, by)
    tell({"name": name, "revoked": True}, f"The key {name} opens nothing any more.")


VERBS = (keys,)
