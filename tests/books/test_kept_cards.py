"""C2: a card that is kept stays until it is removed; then its key goes with the last payment that needs it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from books import kept_cards
from books.kept_cards import KeptCard
from rules.cards import Card
from rules.errors import NotFound, RequestRefused
from tests.flows.house import House, card

NO_FUNDS = "4000000000009995"


@pytest.fixture(autouse=True)
def ann(house: House) -> None:
    """A customer who owes."""
    house.bill("C-1", {"A-1": 1000, "A-2": 500, "A-3": 700})


def customer_id(house: House) -> int:
    return int(house.row("SELECT id FROM customers WHERE number = 'C-1'").id)


def sealed(house: House, which: Card) -> str:
    [one] = house.producer.keep_cards([which], customer_id(house))
    return one.token


def keeping(house: House, which: Card, invoice: str = "A-1") -> int:
    """A payment of an invoice by a new card, which is kept."""
    asked = {
        "idempotency_key": next(house.keys),
        "customer": "C-1",
        "method": "credit_card",
        "currency": "USD",
        "amount_minor": 100,
        "invoices": [invoice],
        "card_token": sealed(house, which),
    }
    return house.producer.pay(asked, caller="console", by="ann", card_once=True, keep_card=True).payment_id


def kept(house: House) -> list[KeptCard]:
    with house.engine.connect() as conn:
        return kept_cards.of_customer(conn, customer_id(house))


def remove(house: House, card_id: int) -> None:
    with house.context.transaction() as (conn, now):
        house.context.vault.drop_keys(conn, kept_cards.remove(conn, customer_id(house), card_id, now, "sue"))


def readable(house: House) -> list[str]:
    """The tokens of cards whose numbers can still be had."""
    return [row.token for row in house.rows("SELECT token FROM card_vault WHERE wrapped_key IS NOT NULL")]


def test_a_kept_card_stays(house: House) -> None:
    """C2: its number is there after the payment has ended, for the next one; who kept it is known."""
    keeping(house, card())
    house.work()
    [one] = kept(house)
    assert (one.brand, one.last_four, one.exp_month, one.exp_year, one.kept_by) == ("visa", "1111", 12, 2039, "ann")
    assert readable(house) == [one.token]
    again = house.pay(100, card_token=one.token, invoices=["A-2"])
    house.work()
    assert house.state(again) == "posted"


def test_kept_with_the_payment_or_not_at_all(house: House) -> None:
    """A payment that is refused keeps no card."""
    keeping(house, card())
    with pytest.raises(RequestRefused):
        keeping(house, replace(card("378282246310005", "1234")), "A-9")
    assert [one.last_four for one in kept(house)] == ["1111"]


def test_renewed(house: House) -> None:
    """The same card kept again with a later date replaces the one before, whose key goes."""
    keeping(house, card())
    house.work()
    keeping(house, replace(card(), exp_year=2040), "A-2")
    house.work()
    [one] = kept(house)
    assert one.exp_year == 2040
    assert readable(house) == [one.token]
    assert house.row("SELECT removed_by FROM kept_cards WHERE removed_at IS NOT NULL").removed_by == "ann"


def test_an_older_date_renews_nothing(house: House) -> None:
    """The later date stays; the card that was given with the older one is gone when its payment has ended."""
    keeping(house, card())
    house.work()
    older = keeping(house, replace(card(), exp_year=2035), "A-2")
    house.work()
    [one] = kept(house)
    assert (house.state(older), one.exp_year, readable(house)) == ("posted", 2039, [one.token])


def test_removed(house: House) -> None:
    """A card that no payment needs is gone at once, with who and when; no new payment may use it."""
    keeping(house, card())
    house.work()
    [one] = kept(house)
    remove(house, one.id)
    assert (kept(house), readable(house)) == ([], [])
    assert house.row("SELECT removed_by FROM kept_cards").removed_by == "sue"
    with pytest.raises(NotFound):
        remove(house, one.id)
    with pytest.raises(RequestRefused, match="not kept any more"):
        house.pay(100, card_token=one.token, invoices=["A-2"])


def test_removed_while_payments_need_it(house: House) -> None:
    """Payments under way keep it readable; the last one that ends drops it, however many there are."""
    payments = [keeping(house, card(NO_FUNDS))]
    [one] = kept(house)
    payments.append(house.pay(100, card_token=one.token, invoices=["A-2"]))
    remove(house, one.id)
    assert readable(house) == [one.token]
    house.work()
    assert [house.state(payment) for payment in payments] == ["retrying", "retrying"]
    house.cancel(payments[0])
    with house.engine.connect() as conn:
        assert kept_cards.spent(conn, [payments[0]]) == []
    assert readable(house) == [one.token]
    for _ in range(40):
        house.advance(days=1)
        house.work()
    assert house.state(payments[1]) == "declined"
    assert readable(house) == []


def test_never_of_another_customer(house: House) -> None:
    """A card is removed by its own customer's page only."""
    house.bill("C-2", {})
    keeping(house, card())
    [one] = kept(house)
    other = house.row("SELECT id FROM customers WHERE number = 'C-2'").id
    with pytest.raises(NotFound), house.context.transaction() as (conn, now):
        kept_cards.remove(conn, other, one.id, now, "sue")
    assert kept(house) == [one]


def test_what_nobody_charges_is_not_kept(house: House) -> None:
    """R7, C2: without a gateway for its brand a card is neither kept nor left readable."""
    house.producer._route = lambda _brand, _currency: None
    keeping(house, card())
    assert (kept(house), readable(house)) == ([], [])
