"""Log-ins to try the console with: one a role, passwords drawn at first start and kept 0600 in the home."""

from __future__ import annotations

import json
import secrets
from typing import Final

from books import passwords, people
from cli.reach import Office
from local.account import remembered
from rules.people import Role

FILE: Final = "console.logins"


def ready(at: Office, by: str) -> dict[str, str]:
    """Make the sample's people known where they are not yet; passwords by name, of those that still hold."""
    drawn: dict[str, str] = json.loads(remembered(at.settings.home / FILE, _draw))
    usable: dict[str, str] = {}
    for name, password in drawn.items():
        with at.transaction() as (conn, now):
            known = people.find(conn, name)
            if known is None:
                people.add(conn, name, passwords.hashed(password), Role(name), now, by)
        if known is None or (known.user.active and passwords.verifies(password, known.password_hash)):
            usable[name] = password
    return usable


def _draw() -> str:
    return json.dumps({role.value: secrets.token_urlsafe(12) for role in Role})
