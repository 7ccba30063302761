"""Cards sealed into a real PostgreSQL, security codes under keys of the hour in a real Valkey (C1, C2)."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis
from sqlalchemy import Connection, event, text

from rules.cards import Brand, Card
from rules.errors import CardUnavailable
from vault import HourKeys, Keyring, SealedCard, Vault

NUMBER, CODE = "4111111111111111", "737"
CARD = Card(
    number=NUMBER,
    exp_month=12,
    exp_year=2039,
    security_code=CODE,
    name="José & Söhne 🙂",
    street="1 Main Street",
    city="Springfield",
    state="IL",
    postal_code="62701",
    country="US",
)
NOW = datetime(2026, 11, 24, 23, 30, tzinfo=UTC)


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    """A client of the test's own Valkey database."""
    with redis.Redis.from_url(redis_url, socket_timeout=5) as client:
        yield client


@pytest.fixture
def keyring() -> Keyring:
    """Keys that live in memory only."""
    return Keyring.generate()


@pytest.fixture
def vault(keyring: Keyring, client: redis.Redis) -> Vault:
    """A vault with all its parts."""
    return Vault(keyring, HourKeys(client))


@pytest.fixture
def statements(connection: Connection) -> Iterator[list[str]]:
    """The statements that the connection sent."""
    sent: list[str] = []

    def note(_conn: object, _cursor: object, statement: str, *_: object) -> None:
        sent.append(statement)

    event.listen(connection, "before_cursor_execute", note)
    yield sent
    event.remove(connection, "before_cursor_execute", note)


def opened(vault: Vault, connection: Connection, token: str, now: datetime = NOW) -> Card:
    """The card of a token that can be opened."""
    card = vault.open(connection, [token], now)[token]
    assert isinstance(card, Card)
    return card


def refused(vault: Vault, connection: Connection, token: str) -> CardUnavailable:
    """The reason why a card cannot be opened."""
    reason = vault.open(connection, [token], NOW)[token]
    assert isinstance(reason, CardUnavailable)
    return reason


def test_sealed_and_opened(vault: Vault, connection: Connection, keyring: Keyring) -> None:
    """C1: what was sealed is opened again whole, and outside there is a token and what may be shown."""
    [sealed] = vault.seal(connection, [CARD], NOW, [17])
    assert sealed == SealedCard(sealed.token, Brand.VISA, "1111", 12, 2039, keyring.fingerprint(NUMBER), 17)
    assert len(sealed.token) == len("card_") + 22
    assert opened(vault, connection, sealed.token) == CARD
    assert vault.facts(connection, [sealed.token, "card_none"]) == {sealed.token: sealed}


def test_a_thousand_cards_take_one_statement_each_way(
    vault: Vault, connection: Connection, statements: list[str]
) -> None:
    """C1: a thousand cards are one INSERT, and one SELECT to open them; order is kept, tokens differ."""
    cards = [replace(CARD, exp_year=2030 + i % 10, name=str(i)) for i in range(1_000)]
    sealed = vault.seal(connection, cards, NOW)
    assert len(statements) == 1
    found = vault.open(connection, [card.token for card in sealed], NOW)
    assert len(statements) == 2
    assert [found[card.token] for card in sealed] == cards
    assert len({card.fingerprint for card in sealed}) == 1


def test_row_shows_nothing(vault: Vault, connection: Connection, client: redis.Redis) -> None:
    """B61, C1: neither number, code nor name stands in the row or in Valkey, in any of the notations of bytes."""
    vault.seal(connection, [CARD], NOW)
    row = connection.execute(text("SELECT * FROM card_vault")).one()
    everything = [bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode() for value in row]
    everything += [str(client.get(key)).encode() for key in client.keys("*")]
    assert any(len(value) > 40 for value in everything)
    for secret in (NUMBER, NUMBER[:6], CODE, "Söhne", "Main Street"):
        for value in everything:
            if len(value) >= 64 and secret == CODE:
                continue  # three digits occur by chance in a hex digest or key, which is not made from the code
            assert secret.encode() not in value
    assert NUMBER not in connection.execute(text("SELECT card_vault::text FROM card_vault")).scalar_one()


def test_errors_and_reprs_show_nothing(vault: Vault, connection: Connection) -> None:
    """B61: reprs, and an error of the database with its parameters, show neither number nor code."""
    [sealed] = vault.seal(connection, [CARD], NOW)
    shown = repr(CARD) + str(CARD) + repr(sealed) + repr(vault) + repr(vault.open(connection, [sealed.token], NOW))
    with pytest.raises(Exception, match="check constraint") as failed:
        vault.seal(connection, [replace(CARD, exp_month=13)], NOW)
    shown += "".join(traceback.format_exception(failed.value)) + repr(failed.value)
    assert NUMBER not in shown
    assert CODE not in shown.replace(sealed.fingerprint, "").replace(sealed.token, "")


def test_same_card_twice(vault: Vault, connection: Connection) -> None:
    """C1: one number sealed twice has two tokens, two keys, two texts and one fingerprint."""
    one, two = vault.seal(connection, [CARD, CARD], NOW)
    assert one.token != two.token
    assert one.fingerprint == two.fingerprint
    rows = connection.execute(text("SELECT DISTINCT sealed, wrapped_key FROM card_vault")).all()
    assert len(rows) == 2


def test_unknown_card(vault: Vault, connection: Connection) -> None:
    """C1: a token that the vault never gave is named."""
    assert "has no card card_none" in str(refused(vault, connection, "card_none"))
    assert vault.open(connection, [], NOW) == {}
    assert vault.seal(connection, [], NOW) == []


def test_security_code_is_dropped_after_the_first_answer(vault: Vault, connection: Connection) -> None:
    """C2: once an authorization was answered the card opens without its security code; others keep theirs."""
    one, two = vault.seal(connection, [CARD, CARD], NOW)
    vault.drop_security_codes(connection, [one.token])
    assert opened(vault, connection, one.token) == replace(CARD, security_code=None)
    assert opened(vault, connection, two.token) == CARD
    left = connection.execute(text("SELECT count(security_code) FROM card_vault")).scalar_one()
    assert left == 1


def test_dropped_key(vault: Vault, connection: Connection) -> None:
    """C2: when no more attempt is to come the card is beyond reach, and what may be shown stays."""
    one, two = vault.seal(connection, [CARD, CARD], NOW)
    vault.drop_keys(connection, [one.token])
    vault.drop_keys(connection, [one.token])
    assert "was dropped" in str(refused(vault, connection, one.token))
    assert opened(vault, connection, two.token) == CARD
    assert vault.facts(connection, [one.token])[one.token].last_four == "1111"
    row = connection.execute(
        text("SELECT wrapped_key, security_code, dropped_at FROM card_vault WHERE token = :t"), {"t": one.token}
    ).one()
    assert (row.wrapped_key, row.security_code) == (None, None)
    assert row.dropped_at is not None


def test_row_that_was_altered(vault: Vault, connection: Connection) -> None:
    """C1: sealed bytes that were altered, or swapped between cards, do not open, and say so."""
    one, two, three = vault.seal(connection, [CARD, replace(CARD, number="5555555555554444"), CARD], NOW)
    connection.execute(
        text(
            "UPDATE card_vault v SET sealed = o.sealed, wrapped_key = o.wrapped_key FROM card_vault o"
            " WHERE v.token = :one AND o.token = :two"
        ),
        {"one": one.token, "two": two.token},
    )
    connection.execute(
        text("UPDATE card_vault SET sealed = set_byte(sealed, 20, get_byte(sealed, 20) # 1) WHERE token = :t"),
        {"t": three.token},
    )
    found = vault.open(connection, [one.token, two.token, three.token], NOW)
    assert "does not open" in str(found[one.token])
    assert isinstance(found[two.token], Card)
    assert "row was altered" in str(found[three.token])


def test_errors_hold_no_keys(vault: Vault, connection: Connection) -> None:
    """C1: the reason that a card does not open carries no frame or earlier error that holds a key."""
    [sealed] = vault.seal(connection, [CARD], NOW)
    connection.execute(text("UPDATE card_vault SET sealed = sealed || '\\x00'::bytea"))
    reason = refused(vault, connection, sealed.token)
    assert (reason.__traceback__, reason.__context__, reason.__cause__) == (None, None, None)


def test_lost_key_file(vault: Vault, connection: Connection, client: redis.Redis) -> None:
    """C1: with another key file the cards are unavailable, one by one, with what to do."""
    [sealed] = vault.seal(connection, [CARD], NOW)
    reason = refused(Vault(Keyring.generate(), HourKeys(client)), connection, sealed.token)
    assert "not in the vault's key file" in reason.message
    assert "Put back the key file" in reason.hint


def test_key_of_the_hour_lives_less_than_a_day(vault: Vault, connection: Connection, client: redis.Redis) -> None:
    """C2: the key has a time to live below 24 hours from its first use, which later uses do not lengthen."""
    vault.seal(connection, [CARD], NOW)
    assert client.keys("*") == [b"defray:hour:2026112423"]
    assert 22 * 3600 < client.ttl("defray:hour:2026112423") <= 23 * 3600
    key = client.get("defray:hour:2026112423")
    client.expire("defray:hour:2026112423", 100)
    vault.seal(connection, [CARD], NOW + timedelta(minutes=29))
    assert client.get("defray:hour:2026112423") == key
    assert client.ttl("defray:hour:2026112423") <= 100
    vault.seal(connection, [CARD], NOW + timedelta(minutes=31))
    assert sorted(client.keys("*")) == [b"defray:hour:2026112423", b"defray:hour:2026112500"]


def test_a_later_charge_goes_without_the_code(vault: Vault, connection: Connection, client: redis.Redis) -> None:
    """C2: after a day the code is not opened, even if the key were still there."""
    [sealed] = vault.seal(connection, [CARD], NOW)
    client.persist("defray:hour:2026112423")
    assert opened(vault, connection, sealed.token, NOW + timedelta(hours=22)).security_code == CODE
    assert opened(vault, connection, sealed.token, NOW + timedelta(hours=24)).security_code is None


@pytest.mark.parametrize("loss", ["flushed", "replaced", "spoiled"])
def test_lost_key_of_the_hour(vault: Vault, connection: Connection, client: redis.Redis, loss: str) -> None:
    """C2: a key that is gone, or is another one, means a charge without the code and never an error."""
    [sealed] = vault.seal(connection, [CARD], NOW)
    client.flushdb()
    if loss == "replaced":
        vault.seal(connection, [CARD], NOW)
    if loss == "spoiled":
        client.set("defray:hour:2026112423", "no key")
    assert opened(vault, connection, sealed.token) == replace(CARD, security_code=None)


def test_valkey_away(vault: Vault, keyring: Keyring, connection: Connection, free_port_url: str) -> None:
    """C2: where Valkey is away, cards are sealed without the code and opened without it."""
    [sealed] = vault.seal(connection, [CARD], NOW)
    alone = Vault(keyring, HourKeys(redis.Redis.from_url(free_port_url, socket_timeout=1)))
    assert opened(alone, connection, sealed.token) == replace(CARD, security_code=None)
    [without] = alone.seal(connection, [CARD], NOW)
    assert opened(vault, connection, without.token) == replace(CARD, security_code=None)


@pytest.fixture
def free_port_url() -> str:
    """An address on loopback at which nobody listens."""
    from local.ports import free_port

    return f"redis://127.0.0.1:{free_port()}/0"


def test_client_that_decodes(vault: Vault, keyring: Keyring, connection: Connection, redis_url: str) -> None:
    """C2: a client with decoded answers reads the same keys."""
    [sealed] = vault.seal(connection, [CARD], NOW)
    with redis.Redis.from_url(redis_url, decode_responses=True) as decoding:
        assert opened(Vault(keyring, HourKeys(decoding)), connection, sealed.token) == CARD


def test_rotation_wraps_the_data_keys_anew(
    connection: Connection, client: redis.Redis, tmp_path: Path, statements: list[str]
) -> None:
    """C1: after a rotation every data key is wrapped with the new key, in chunks, and the cards stay as they are."""
    path = tmp_path / "keys.json"
    keyring = Keyring.load_or_create(path)
    old = Vault(keyring, HourKeys(client))
    sealed = old.seal(connection, [CARD] * 25, NOW)
    old.drop_keys(connection, [sealed[0].token])
    before = connection.execute(text("SELECT token, sealed FROM card_vault ORDER BY token")).all()
    more = keyring.with_next()
    more.using(more.ids[-1]).save(path)
    new = Vault(Keyring.load(path), HourKeys(client))
    statements.clear()
    chunks = [new.rotate(connection, limit=10)]
    while (after := chunks[-1].last) is not None:
        chunks.append(new.rotate(connection, after, limit=10))
    assert [chunk.rewrapped for chunk in chunks] == [10, 10, 4]
    assert len(statements) == 6
    assert new.rotate(connection).rewrapped == 0
    assert connection.execute(text("SELECT token, sealed FROM card_vault ORDER BY token")).all() == before
    only_new = Vault(Keyring.load(path), HourKeys(client))
    assert opened(only_new, connection, sealed[1].token) == CARD
    ids = connection.execute(text("SELECT DISTINCT key_id FROM card_vault WHERE wrapped_key IS NOT NULL")).scalars()
    assert ids.all() == [Keyring.load(path).current]


def test_rotation_names_the_cards_that_do_not_open(vault: Vault, connection: Connection, client: redis.Redis) -> None:
    """C1: a card whose key is lost does not stop a rotation."""
    Vault(Keyring.generate(), HourKeys(client)).seal(connection, [CARD], NOW)
    [lost] = connection.execute(text("SELECT token FROM card_vault")).scalars().all()
    vault.seal(connection, [CARD], NOW)
    done = vault.rotate(connection)
    assert (done.rewrapped, done.failed, done.last) == (0, (lost,), None)
