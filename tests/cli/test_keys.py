"""Issue 6: `defray keys` makes keys, shows each secret once, keeps its hash only, and revokes."""

from __future__ import annotations

import hashlib
import re

from tests.cli.conftest import Desk


def test_a_key_from_first_to_last_day(desk: Desk) -> None:
    """Made with scopes and a customer, shown once with 256 random bits, listed without its secret, revoked for good."""
    desk.house.bill("C-1", {})
    made = desk.ask("keys", "create", "shop", "--scope", "pay", "--scope", "read", "--customer", "C-1", "--by", "ada")
    assert re.fullmatch(r"dfk_live_[A-Za-z0-9_-]{43}", made["secret"])
    [row] = desk.house.rows("SELECT CAST(k AS text) AS kept, secret_hash FROM api_keys k")
    assert made["secret"] not in row.kept
    assert bytes(row.secret_hash) == hashlib.sha256(made["secret"].encode()).digest()
    listed = desk.run("keys", "list").stdout
    assert made["secret"] not in listed
    assert made["secret"][:15] in listed
    [shown] = desk.ask("keys", "list")
    assert (shown["name"], shown["scopes"], shown["customer"], shown["created_by"]) == (
        "shop",
        ["pay", "read"],
        "C-1",
        "ada",
    )
    desk.ask("keys", "revoke", "shop", "--by", "sue")
    assert desk.ask("keys", "list")[0]["revoked_by"] == "sue"
    events = desk.house.rows("SELECT what, by FROM events WHERE what LIKE 'api_key.%' ORDER BY id")
    assert [tuple(one) for one in events] == [("api_key.created", "ada"), ("api_key.revoked", "sue")]


def test_refused(desk: Desk) -> None:
    """A name is one key's for good, revoked or not; a key needs a scope, and a customer that there is."""
    desk.ask("keys", "create", "shop", "--scope", "read")
    desk.ask("keys", "revoke", "shop")
    assert desk.run("keys", "create", "shop", "--scope", "read").exit_code == 1
    assert desk.run("keys", "create", "more").exit_code == 2
    assert desk.run("keys", "create", "more", "--scope", "all").exit_code == 2
    assert desk.run("keys", "create", "more", "--scope", "read", "--customer", "C-9").exit_code == 1
    assert desk.run("keys", "create", "4111111111111111", "--scope", "read").exit_code == 1
    assert desk.run("keys", "revoke", "shop").exit_code == 1
    assert desk.run("keys", "revoke", "nobody").exit_code == 1
    assert len(desk.ask("keys", "list")) == 1
