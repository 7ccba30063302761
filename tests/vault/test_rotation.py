"""The vault's keys change while Defray works, and a lost or wrong key file loses nothing (C1, D1)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import LargeBinary, text

from books import gateway_cards, people, sealed, webhooks
from models import metadata
from rules.errors import VaultClosed
from tasks.context import Context, build
from tests.cli.conftest import Desk, desk
from tests.flows.conftest import house, sandbox, sandbox_process
from tests.flows.house import card
from tests.models.test_migrations import describe_all_tables
from vault import KeyFile, Keyring, SealedText
from worker.wake import Wake

__all__ = ["desk", "house", "sandbox", "sandbox_process"]


@pytest.fixture
def path(desk: Desk) -> Path:
    """The house's key file."""
    return Path(desk.environment["DEFRAY_KEY_FILE"])


def started(desk: Desk) -> Context:
    """A worker that starts now."""
    from settings import load

    settings = load(desk.environment)
    return build(settings, desk.house.engine, Wake(settings.servers()[1]))


def states(desk: Desk, code: int = 0) -> dict[str, tuple[str, dict[str, int]]]:
    """Each key's state and what it seals."""
    keys = desk.ask("vault", "status", code=code)["keys"]
    return {key["key_id"]: (key["state"], key["seals"]) for key in keys}


def settle(desk: Desk) -> None:
    """Let the last rotation be long ago."""
    desk.house.do("UPDATE vault_keys SET current_since = current_since - interval '1 hour'")


def test_every_sealed_column_is_known_to_a_rotation() -> None:
    """C1: whatever column holds sealed bytes is one of the places that a rotation goes through."""
    describe_all_tables()
    columns = {
        (table.name, column.name)
        for table in metadata.tables.values()
        for column in table.columns
        if isinstance(column.type, LargeBinary) and "sealed" in column.name and table.name != "card_vault"
    }
    assert columns == {(place.table, place.sealed) for place in sealed.PLACES}


@pytest.fixture
def everything_sealed(desk: Desk) -> dict[str, Any]:
    """A payment that waits for its charge, and one secret in every place, sealed by the first key."""
    at = desk.house
    at.bill("C-1", {"A": 500, "B": 600})
    payment = at.pay(500, card(), invoices=["A"])
    vault = at.context.vault
    fingerprint, token = at.row("SELECT fingerprint, token FROM card_vault")
    purposes = {
        sealed.TWO_FACTOR: people.two_factor_purpose(7),
        sealed.WEBHOOK: webhooks.PURPOSE,
        sealed.WEBHOOK_BEFORE: webhooks.PURPOSE,
        sealed.NOTICE: "notice:stripe",
        sealed.TOKEN: gateway_cards.purpose("stripe", "acct", fingerprint),
    }
    assert set(purposes) == set(sealed.PLACES)
    kept = {place: vault.seal_text(place.what, purpose) for place, purpose in purposes.items()}
    at.do(
        "INSERT INTO users (id, name, password_hash, role, created_at, created_by, two_factor_sealed,"
        " two_factor_key_id, two_factor_step) VALUES (7, 'sue', 'x', 'clerk', now(), 'x', :sealed, :key, 1)",
        sealed=kept[sealed.TWO_FACTOR].sealed,
        key=kept[sealed.TWO_FACTOR].key_id,
    )
    at.do(
        "INSERT INTO webhook_endpoints (url, types, contact, secret_sealed, secret_key_id, old_sealed, old_key_id,"
        " old_until, state, cursor, created_at, created_by) VALUES ('https://a.example', '{}', '', :sealed, :key,"
        " :old, :key, now(), 'enabled', 0, now(), 'x')",
        sealed=kept[sealed.WEBHOOK].sealed,
        old=kept[sealed.WEBHOOK_BEFORE].sealed,
        key=kept[sealed.WEBHOOK].key_id,
    )
    at.do(
        "INSERT INTO notices (gateway, digest, headers, key_id, sealed, received_at, state, next_step, due_at)"
        " VALUES ('stripe', 'd', '{}', :key, :sealed, now(), 'waiting', 'verify', now())",
        sealed=kept[sealed.NOTICE].sealed,
        key=kept[sealed.NOTICE].key_id,
    )
    at.do(
        "INSERT INTO gateway_cards (card_token, gateway, account, key_id, sealed, brand, first_amount_minor, currency,"
        " kept_at) VALUES (:token, 'stripe', 'acct', :key, :sealed, 'visa', 1, 'USD', now())",
        token=token,
        sealed=kept[sealed.TOKEN].sealed,
        key=kept[sealed.TOKEN].key_id,
    )
    return {"payment": payment, "purposes": purposes}


def test_a_new_key_takes_the_place_of_the_old_one(desk: Desk, path: Path, everything_sealed: dict[str, Any]) -> None:
    """C1: all is sealed anew under a worker that runs; it charges, before and after; the old key is retired."""
    [(old, (state, seals))] = states(desk).items()
    assert state == "current"
    assert seals == {"card": 1, **{place.what: 1 for place in sealed.PLACES}}
    assert "seals what comes now" in desk.run("vault", "retire", old, "--yes").stderr
    done = desk.ask("vault", "rotate", "--by", "ada")
    assert (done["sealed_anew"], done["left"], done["not_needed"]) == (6, {}, [old])
    new = done["key"]
    assert states(desk) == {old: ("old", {}), new: ("current", seals)}
    for place, purpose in everything_sealed["purposes"].items():
        row = desk.house.row(f"SELECT {place.key_id} AS key, {place.sealed} AS sealed FROM {place.table}")
        assert row.key == new
        assert desk.house.context.vault.open_text(SealedText(row.key, bytes(row.sealed)), purpose) == place.what
    second = desk.house.pay(600, card(), invoices=["B"])
    assert set(desk.house.rows("SELECT key_id FROM card_vault")) == {(new,)}, "who runs seals by the new key"
    assert "Try again in a minute" in desk.run("vault", "retire", "--yes").stderr
    settle(desk)
    assert desk.ask("vault", "retire", "--yes", "--by", "ada")["retired"] == [old]
    assert Keyring.load(path).ids == [new]
    desk.house.charge()
    assert [desk.house.state(one) for one in (everything_sealed["payment"], second)] == ["posted", "posted"]
    acts = desk.house.rows("SELECT what, by FROM events WHERE what LIKE 'vault.%' ORDER BY id")
    assert acts == [("vault.key_taken", "ada"), ("vault.key_retired", "ada")]


def test_a_rotation_that_was_stopped_goes_on(desk: Desk, everything_sealed: dict[str, Any]) -> None:
    """C1: run again it takes no further key; until then the old one is not retired."""
    before = desk.house.row("SELECT key_id, wrapped_key FROM card_vault")
    new = desk.ask("vault", "rotate")["key"]
    desk.house.do(
        "UPDATE card_vault SET key_id = :key, wrapped_key = :wrapped", key=before.key_id, wrapped=before.wrapped_key
    )
    settle(desk)
    refused = desk.run("vault", "retire", before.key_id, "--yes")
    assert (refused.exit_code, "still seals 1 card" in refused.stderr) == (1, True)
    again = desk.ask("vault", "rotate")
    assert (again["key"], again["sealed_anew"], again["not_needed"]) == (new, 1, [before.key_id])


@pytest.mark.parametrize("harm", ["lost", "damaged", "another", "same id"])
def test_who_starts_without_the_right_key_file_touches_nothing(
    desk: Desk, path: Path, everything_sealed: dict[str, Any], harm: str
) -> None:
    """C1, D1: it says what to do; the payment waits as it was, no new key is made, and all goes on once it is back."""
    right = path.read_bytes()
    if harm == "lost":
        path.unlink()
    elif harm == "damaged":
        path.write_bytes(right[: len(right) // 2])
    elif harm == "another":
        Keyring.generate().save(path)
    else:
        stranger = json.loads(right)
        stranger["keys"] = dict.fromkeys(stranger["keys"], stranger["fingerprint"])
        path.write_text(json.dumps(stranger))
    with pytest.raises(VaultClosed, match=r"Put back|Put the copy"):
        started(desk)
    assert harm != "lost" or not path.exists()
    assert desk.run("vault", "rotate").exit_code == 1
    assert "key file" in desk.run("doctor").stdout
    states(desk, code=1)
    assert desk.house.state(everything_sealed["payment"]) == "requested"
    path.write_bytes(right)
    path.chmod(0o600)
    desk.house.context = started(desk)
    desk.house.charge()
    assert desk.house.state(everything_sealed["payment"]) == "posted"


def test_who_runs_goes_on_where_the_file_is_lost(
    desk: Desk, path: Path, everything_sealed: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """C1: a process that has its keys charges on, and says in its log what is wrong."""
    path.unlink()
    desk.house.charge()
    assert desk.house.state(everything_sealed["payment"]) == "posted"
    assert "does not exist" in caplog.text


def test_a_machine_with_a_stale_file_waits(desk: Desk, path: Path, tmp_path: Path) -> None:
    """C1: what another machine sealed by a key that is not here yet is not declined: the vault says what is missing."""
    stale = tmp_path / "stale.json"
    desk.house.bill("C-1", {"A": 500})
    stale.write_bytes(path.read_bytes())
    stale.chmod(0o600)
    there = KeyFile(stale, desk.house.engine)
    there.keys()
    new = desk.ask("vault", "rotate")["key"]
    with pytest.raises(VaultClosed, match=new):
        there.having([new])
    stale.write_bytes(path.read_bytes())
    assert there.having([new]).current == new


def test_a_key_that_is_lost_for_good(desk: Desk, path: Path, everything_sealed: dict[str, Any]) -> None:
    """C1: given up by a person's word, its cards are asked for again, and a new key file is made."""
    [old] = states(desk)
    path.unlink()
    assert "Give up what" in desk.run("vault", "retire", old, "--lost", given="n\n").stderr
    desk.ask("vault", "retire", old, "--lost", "--yes")
    desk.house.context = started(desk)
    assert Keyring.load(path).ids != [old]
    with desk.house.engine.connect() as conn:
        token = conn.execute(text("SELECT token FROM card_vault")).scalar_one()
        [reason] = desk.house.context.vault.open(conn, [token], desk.house.row("SELECT now() AS now").now).values()
    assert "ask the customer for the card again" in str(reason)
