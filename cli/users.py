"""`defray users`: who may log in to the console, as what. Passwords come by prompt or standard input only."""

from __future__ import annotations

import sys

import click

from cli.output import table, tell, with_json, with_name
from rules.errors import Fault, RequestRefused

_NAME = click.argument("name")
_LIMIT = "In minor units (cents); above it a second person approves. No limit unless given."


@click.group()
def users() -> None:
    """Who may log in to the console, as clerk, supervisor or admin."""


@users.command()
@_NAME
@click.option("--role", default="clerk", show_default=True, type=click.Choice(["clerk", "supervisor", "admin"]))
@click.option("--void-limit", type=click.IntRange(min=0), metavar="MINOR", help=f"Of one void. {_LIMIT}")
@click.option("--refund-limit", type=click.IntRange(min=0), metavar="MINOR", help=f"Of one refund. {_LIMIT}")
@with_name
@with_json
def add(name: str, role: str, void_limit: int | None, refund_limit: int | None, by: str) -> None:
    """Let NAME log in; the password is asked for, or read from standard input."""
    from books import passwords, people
    from cli.reach import office
    from rules.people import Role

    checked = _checked(name)
    password_hash = passwords.hashed(_new_password(checked))
    with office() as at, at.transaction() as (conn, now):
        people.add(
            conn,
            checked,
            password_hash,
            Role(role),
            now,
            by,
            void_limit_minor=void_limit,
            refund_limit_minor=refund_limit,
        )
    tell({"name": checked, "role": role}, f"{checked} may log in as {role}.")


@users.command("list")
@with_json
def list_() -> None:
    """Show everybody, those who may log in no more, too."""
    from books import people
    from cli.reach import office

    with office() as at, at.reading() as (conn, _):
        known = people.everybody(conn)
    rows = [
        (
            one.name,
            one.role,
            "yes" if one.active else "no",
            "on" if one.two_factor else "off",
            one.void_limit_minor,
            one.refund_limit_minor,
            one.created_by,
        )
        for one in known
    ]
    head = ("name", "role", "may log in", "two-factor", "void limit", "refund limit", "added by")
    tell(known, table(head, rows, right=(4, 5)) if rows else "Nobody yet: `defray users add NAME --role admin`.")


@users.command()
@_NAME
@with_name
@with_json
def disable(name: str, by: str) -> None:
    """Let NAME log in no more, and end where they are logged in."""
    from books import people
    from cli.reach import office

    with office() as at, at.transaction() as (conn, now):
        people.disable(conn, name.lower(), now, by)
    tell({"name": name.lower(), "active": False}, f"{name.lower()} may log in no more.")


@users.command()
@_NAME
@with_name
@with_json
def enable(name: str, by: str) -> None:
    """Let NAME log in again, with the password from before."""
    from books import people
    from cli.reach import office

    with office() as at, at.transaction() as (conn, now):
        people.enable(conn, name.lower(), now, by)
    tell({"name": name.lower(), "active": True}, f"{name.lower()} may log in again.")


@users.command("reset-two-factor")
@_NAME
@with_name
@with_json
def reset_two_factor(name: str, by: str) -> None:
    """Ask NAME for no one-time codes any more (a lost phone, say), and end where they are logged in."""
    from books import people
    from cli.reach import office

    with office() as at, at.transaction() as (conn, now):
        people.no_two_factor(conn, name.lower(), now, by)
    tell(
        {"name": name.lower(), "two_factor": False}, f"{name.lower()} logs in without a code until it is set up again."
    )


@users.command()
@_NAME
@with_name
@with_json
def password(name: str, by: str) -> None:
    """Give NAME a new password, and end where they are logged in."""
    from books import passwords, people
    from cli.reach import office

    checked = _checked(name)
    password_hash = passwords.hashed(_new_password(checked))
    with office() as at, at.transaction() as (conn, now):
        people.set_password(conn, checked, password_hash, now, by)
    tell({"name": checked}, f"{checked} has a new password.")


def _checked(name: str) -> str:
    from rules.people import check_name

    checked = check_name(name)
    if isinstance(checked, Fault):
        raise RequestRefused([checked])
    return checked


def _new_password(name: str) -> str:
    from rules.people import check_password

    if sys.stdin.isatty():
        given: str = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    else:
        given = sys.stdin.readline().rstrip("\r\n")
    if fault := check_password(given, name):
        raise RequestRefused([fault])
    return given


VERBS = (users,)
