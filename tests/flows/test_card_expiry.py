"""That a stored card expires soon is told once: to apps by an event, to its customer or the office by mail."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text

from books import card_notices, feed, kept_cards
from mailer.smtp import server_at
from rules.card_expiry import MailTo
from tasks import expiry
from tasks import mail as mail_task
from tasks.context import Post
from tests.flows.house import House, card
from tests.mailer.server import MailServer, serving

TOLD = "told of 1 cards that expire soon"
NOTHING = "no card is to be told of"


def today(house: House) -> date:
    with house.context.transaction() as (_, now):
        return house.context.terms.today(now)


def month(house: House, ahead: int) -> tuple[int, int]:
    """Year and month so many months from the business's one."""
    day = today(house).replace(day=1)
    for _ in range(ahead):
        day = (day + timedelta(days=32)).replace(day=1)
    return day.year, day.month


def to_the_middle_of(house: House, which: tuple[int, int]) -> None:
    house.advance(days=(date(*which, 15) - today(house)).days)


def keep(house: House, ahead: int, customer: str = "C-1", email: str | None = "ann@example.org") -> None:
    """A kept card that expires so many months from now."""
    house.bill(customer, {"A": 500})
    asked = {"idempotency_key": next(house.keys), "method": "credit_card", "currency": "USD", "customer": customer}
    house.producer.pay({**asked, "amount_minor": 500}, card(), caller="shop", by="ann", keep_card=True)
    year, number = month(house, ahead)
    house.do("UPDATE kept_cards SET exp_year = :year, exp_month = :month", year=year, month=number)
    house.do("UPDATE customers SET email = :email", email=email)


def soon(house: House, **more: Any) -> House:
    """The same house, where a card expires soon a month and a half before its last month."""
    return replace(
        house, context=replace(house.context, terms=replace(house.context.terms, card_expiry_days=45, **more))
    )


def by(house: House, server: MailServer) -> House:
    """The same house with that mail server."""
    post = Post(server_at(f"smtp://127.0.0.1:{server.port}"), "office@example.com", "Defray & Sons")
    return replace(house, context=replace(house.context, post=post))


WAITING = """
    SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
    AND query LIKE '%INSERT INTO card_notices%'"""


def notices(house: House) -> list[tuple[str, str]]:
    return [(one.notice, one.state) for one in house.rows("SELECT * FROM card_notices ORDER BY id")]


def events(house: House) -> list[dict[str, Any]]:
    """What apps are told of it."""
    ids = [one.id for one in house.rows("SELECT id FROM events WHERE what = 'card.expiring' ORDER BY id")]
    with house.engine.connect() as conn:
        return [one.told() for one in feed.these(conn, ids).values()]


def test_told_before_its_last_month_and_in_it(house: House) -> None:
    """D4: each notice once, however often it is looked; the event says which card, and no number."""
    house = soon(house)
    keep(house, 1)
    assert [expiry.work(house.context) for _ in range(2)] == [TOLD, NOTHING]
    to_the_middle_of(house, month(house, 1))
    assert [expiry.work(house.context) for _ in range(2)] == [TOLD, NOTHING]
    to_the_middle_of(house, month(house, 1))
    assert expiry.work(house.context) == NOTHING
    assert notices(house) == [("soon", "told"), ("last_month", "told")]
    first, second = events(house)
    year, number = month(house, 0)
    kept = house.row("SELECT * FROM kept_cards")
    assert (first["type"], first["data"]["customer"]) == ("card.expiring", "C-1")
    assert first["data"]["card"] == {
        "id": kept.id,
        "brand": "visa",
        "last_four": "1111",
        "exp_month": kept.exp_month,
        "exp_year": kept.exp_year,
        "notice": "soon",
    }
    assert second["data"]["card"]["notice"] == "last_month"
    assert (kept.exp_year, kept.exp_month) < (year, number)


def test_two_who_look_at_once(house: House) -> None:
    """D4: two ticks at the same moment tell of each card once."""
    keep(house, 0)
    terms = house.context.terms
    with ThreadPoolExecutor(1) as pool:
        with house.context.transaction() as (conn, now):
            day = terms.today(now)
            first = card_notices.tell_of(conn, day, terms.card_expiry_days, MailTo.NOBODY, "x", 10, now, "defray")
            second = pool.submit(expiry.work, house.context)
            while not (second.done() or house.rows(WAITING)):  # it saw a card that was not told of yet
                pass
        assert (first, second.result()) == (card_notices.Told(1, more=False), NOTHING)
    assert len(events(house)) == 1


def test_cards_that_are_told_of_one_by_one(house: House) -> None:
    """D2: as many transactions as it takes, none of which holds more than it may."""
    keep(house, 0)
    house.do("""
        INSERT INTO kept_cards (customer_id, token, brand, last_four, exp_month, exp_year, fingerprint, kept_at,
                                kept_by)
        SELECT customer_id, token || n, brand, last_four, exp_month, exp_year, fingerprint || n, kept_at, kept_by
        FROM kept_cards, generate_series(1, 4) AS n""")
    assert expiry.work(house.context, at_a_time=2) == "told of 5 cards that expire soon"
    assert len(events(house)) == 5


def test_a_card_that_nothing_charges_any_more(house: House) -> None:
    """C2: one that was removed, or has expired, or is good for long: nobody is told."""
    keep(house, 0)
    year, number = month(house, 0)
    for gone, exp_year in ((True, year), (False, year - 1), (False, year + 1)):
        house.do("UPDATE kept_cards SET exp_year = :year, exp_month = :month", year=exp_year, month=number)
        removed = "now(), removed_by = 'sue'" if gone else "NULL, removed_by = NULL"
        house.do(f"UPDATE kept_cards SET removed_at = {removed}")
        assert expiry.work(house.context) == NOTHING


def test_the_month_is_the_business_own(house: House) -> None:
    """B55, R5: where the business is, the card's last month has begun, or not yet."""
    keep(house, 0)
    with house.context.transaction() as (_, now):
        begins = (now.replace(day=1, hour=0, minute=0) + timedelta(days=32)).replace(day=1)
    house.advance(seconds=(begins - now).total_seconds() - 3600)  # an hour before midnight in UTC, on the last day
    house.do("UPDATE kept_cards SET exp_year = :year, exp_month = :month", year=begins.year, month=begins.month)
    said = {}
    for zone in ("Pacific/Honolulu", "Pacific/Auckland"):
        terms = replace(house.context.terms, zone=ZoneInfo(zone), card_expiry_days=0)
        said[zone] = expiry.work(replace(house.context, terms=terms))
    assert said == {"Pacific/Honolulu": NOTHING, "Pacific/Auckland": TOLD}


# ---- mail


def test_the_customer_gets_a_mail(house: House) -> None:
    """D1, D3: it stands in the row, so that a lost message costs delay; it goes once, and holds no card number."""
    with serving() as server:
        house = by(house, server)
        keep(house, 0)
        expiry.work(house.context)
        house.advance(seconds=11)
        assert "mails (1)" in house.sweep(), "whatever became of the wake-up call"
        assert [mail_task.work(house.context) for _ in range(2)] == ["1 sent", "no mail is due"]
    [kept] = server.kept
    assert kept["To"] == "ann@example.org"
    assert kept["Subject"] == "Your card ending in 1111 expires this month – Defray & Sons"
    assert "Visa card ending in 1111" in kept.get_content()
    assert list(kept.iter_attachments()) == []
    assert notices(house) == [("last_month", "sent")]
    assert house.row("SELECT count(*) AS n FROM events WHERE what = 'card.mail_sent'").n == 1


@pytest.mark.parametrize(
    ("email", "mail_to", "to"),
    [
        (None, MailTo.CUSTOMER, "office@example.com"),
        ("no address", MailTo.CUSTOMER, "office@example.com"),
        ("ann@example.org", MailTo.OFFICE, "office@example.com"),
        ("ann@example.org", MailTo.NOBODY, None),
    ],
)
def test_who_gets_the_mail(house: House, email: str | None, mail_to: MailTo, to: str | None) -> None:
    """The office where the customer has no address, or where it is to be so; or nobody."""
    with serving() as server:
        house = soon(by(house, server), card_expiry_mail=mail_to)
        keep(house, 1, email=email)
        assert expiry.work(house.context) == TOLD
        mail_task.work(house.context)
    assert [kept["To"] for kept in server.kept] == ([to] if to else [])
    if to:
        assert server.kept[0]["Subject"].startswith("The card of C-1 ending in 1111 expires at the end of ")
        assert "Ask for the new card" in server.kept[0].get_content()


def test_a_card_that_was_removed_before_the_mail(house: House) -> None:
    """C2: nobody is written to about a card that is kept no longer."""
    with serving() as server:
        house = by(house, server)
        keep(house, 0)
        expiry.work(house.context)
        with house.context.transaction() as (conn, now):
            row = conn.exec_driver_sql("SELECT id, customer_id FROM kept_cards").one()
            kept_cards.remove(conn, row.customer_id, row.id, now, "sue")
        assert mail_task.work(house.context) == "1 failed"
    assert server.kept == []
    assert house.row("SELECT said FROM card_notices").said == "the card is kept no longer"


def test_a_mail_server_that_is_away(house: House) -> None:
    """D1: what proved nothing is tried again later, and then sent, under the same Message-ID."""
    with serving() as server:
        house = by(house, server)
        keep(house, 0)
        expiry.work(house.context)
        server.to_data.append("451 later")
        assert mail_task.work(house.context) == "1 due"
        house.advance(minutes=6)
        assert mail_task.work(house.context) == "1 sent"
    assert server.kept[0]["Message-ID"] == house.row("SELECT message_id FROM card_notices").message_id


# ---- by index


def test_found_by_index(house: House) -> None:
    """D3: among all kept cards, those of a few months are found by their expiry."""
    keep(house, 0)
    asked = {"first_year": 2031, "first_month": 5, "last_year": 2031, "last_month": 5, "notice": "soon", "most": 100}
    values = {"mail_to": "nobody", "mailed": False, "domain": "x", "by": "defray"}
    with house.engine.connect() as conn:
        conn.execute(
            text("""
            INSERT INTO kept_cards (customer_id, token, brand, last_four, exp_month, exp_year, fingerprint, kept_at,
                                    kept_by)
            SELECT customer_id, token || n, brand, last_four, 1 + n % 12, 2028 + n % 7, fingerprint || n, kept_at,
                   kept_by
            FROM kept_cards, generate_series(1, 4000) AS n""")
        )
        for table in ("kept_cards", "card_notices", "customers", "events"):
            conn.execute(text(f"ANALYZE {table}"))
        explained = text("EXPLAIN " + card_notices._TELL.text)
        plan = "\n".join(conn.execute(explained, {**asked, **values, "now": "2026-11-25"}).scalars())
        conn.rollback()
    assert "ix_kept_cards_expiry" in plan
    assert "Seq Scan on kept_cards" not in plan
