"""Issue 4, window 4: a card that the customer lets the office keep, and its page (C1, C2)."""

from __future__ import annotations

import re

import pytest

from tasks import forget
from tests.flows.house import House
from tests.web.conftest import Books, Visitor
from tests.web.test_customer_payment import (
    VISA,
    at_once,
    house,
    invoice_id,
    opened,
    payment_of,
    sandbox,
    sandbox_process,
    sealed,
    settings,
    told,
)

__all__ = ["at_once", "house", "sandbox", "sandbox_process", "settings"]

NO_FUNDS = "4000000000009995"


def kept(clerk: Visitor, books: Books, number: str = VISA, customer: str = "C-1") -> int:
    """Keep a card with a payment of 1.00 by it; the customer's id."""
    id_ = books.bill(customer, {f"{customer}/1": 1000, f"{customer}/2": 500})
    address, form = opened(clerk, id_)
    card = {"method": "credit_card", "card_token": sealed(clerk, number), "keep_card": "yes"}
    payment_of(clerk.post(address, **form | card | {"amount": "1.00"}))
    return id_


def choices(clerk: Visitor) -> dict[str, str]:
    """The kept cards that the window offers, by id: their words, with "(no)" for one that cannot be chosen."""
    assert clerk.seen is not None
    found = re.findall(r'name="kept_card" value="(\d+)"( disabled)?[^>]*>\s*([^<]+)</label>', clerk.seen.text)
    return {id_: f"{words.strip()}{' (no)' if disabled else ''}" for id_, disabled, words in found}


def test_used_again(clerk: Visitor, books: Books, house: House) -> None:
    """A kept card is offered the next time, chosen already, and charged without being entered; it stays."""
    customer = kept(clerk, books)
    house.work()
    address, form = opened(clerk, customer)
    [(card, words)] = choices(clerk).items()
    assert words == "Visa ending in 1111, expires 12/39"
    assert form["kept_card"] == card
    payment = payment_of(clerk.post(address, **form | {"method": "credit_card"}))
    house.work()
    assert "Visa ending in 1111" in told(clerk.get(f"/console/payments/{payment}/receipt"))
    assert books.one("SELECT count(*) FROM card_vault WHERE wrapped_key IS NOT NULL") == 1
    assert books.one("SELECT sum(balance_minor) FROM invoices") == 0


def test_kept_only_where_the_customer_agreed(clerk: Visitor, books: Books, house: House) -> None:
    """C2: without the tick nothing is kept; saving twice keeps the card once."""
    customer = books.bill("C-1", {"A-1": 1000})
    address, form = opened(clerk, customer)
    payment_of(clerk.post(address, **form | {"method": "credit_card", "card_token": sealed(clerk), "amount": "1.00"}))
    house.work()
    assert books.one("SELECT count(*) FROM kept_cards") == 0
    address, form = opened(clerk, customer)
    card = {"method": "credit_card", "card_token": sealed(clerk), "keep_card": "yes"}
    answers = [clerk.post(address, **form | card) for _ in range(2)]
    assert len({payment_of(answer) for answer in answers}) == 1
    assert books.one("SELECT string_agg(kept_by, ' ') FROM kept_cards") == "ann"


def test_expired(clerk: Visitor, books: Books, house: House) -> None:
    """A card that has expired is shown, and cannot be chosen, not even by a form of one's own."""
    customer = kept(clerk, books)
    house.work()
    books.do("UPDATE kept_cards SET exp_year = 2020")
    address, form = opened(clerk, customer)
    [(card, words)] = choices(clerk).items()
    assert words == "Visa ending in 1111, expired 12/20 (no)"
    assert form["kept_card"] == ""
    refused = clerk.post(address, **form | {"method": "credit_card", "kept_card": card})
    assert refused.status_code == 422
    assert "The card has expired" in told(refused)
    assert "Expired" in told(clerk.get(f"/console/customers/{customer}/cards"))


@pytest.mark.parametrize("by", ["kept_card", "card_token", "entered"])
def test_never_a_card_of_somebody_else(clerk: Visitor, books: Books, house: House, by: str) -> None:
    """C1: whatever a form says, it reaches no card of another customer: by id, by token, or one just entered there."""
    kept(clerk, books, customer="C-2")
    house.work()
    other = sealed(clerk, "4012888888881881")
    given = {
        "kept_card": {"kept_card": str(books.one("SELECT id FROM kept_cards"))},
        "card_token": {"card_token": books.one("SELECT token FROM kept_cards"), "kept_card": ""},
        "entered": {"card_token": other, "kept_card": ""},
    }[by]
    address, form = opened(clerk, books.bill("C-1", {"A-1": 1000}))
    refused = clerk.post(address, **form | {"method": "credit_card", **given})
    assert refused.status_code == 422
    assert 'id="card_number-fault"' in refused.text
    assert "1111" not in refused.text
    assert "1881" not in refused.text
    assert books.one("SELECT count(*) FROM payments p JOIN customers c ON c.id = customer_id AND c.number = 'C-1'") == 0


def test_a_kept_card_by_its_token_stays(clerk: Visitor, books: Books, house: House) -> None:
    """C2: even a form that gives a kept card as if it were entered now does not make it go."""
    customer = kept(clerk, books)
    house.work()
    address, form = opened(clerk, customer)
    token = books.one("SELECT token FROM kept_cards")
    payment_of(clerk.post(address, **form | {"method": "credit_card", "kept_card": "", "card_token": token}))
    house.work()
    assert books.one("SELECT wrapped_key IS NOT NULL FROM card_vault")


def test_removed(clerk: Visitor, books: Books, house: House) -> None:
    """Its page lists it and removes it: who and when is recorded, the number is gone, no form offers it."""
    customer = kept(clerk, books)
    house.work()
    page = f"/console/customers/{customer}/cards"
    assert "Visa ending in 1111 12/39" in told(clerk.get(page))
    card = books.one("SELECT id FROM kept_cards")
    before = opened(clerk, customer)
    clerk.get(page)
    assert clerk.post(f"{page}/{card}/remove").status_code == 303
    assert books.one("SELECT removed_by || (removed_at IS NOT NULL) FROM kept_cards") == "anntrue"
    assert books.one("SELECT wrapped_key FROM card_vault") is None
    assert "None." in told(clerk.get(page))
    address, form = before
    late = clerk.post(address, **form | {"method": "credit_card"})
    assert late.status_code == 422
    assert "not kept any more" in told(late)
    opened(clerk, customer)
    assert choices(clerk) == {}


def test_removed_while_it_is_needed(clerk: Visitor, books: Books, house: House) -> None:
    """A payment that is tried again by itself keeps the number until it has ended, and the clerk is told so."""
    customer = kept(clerk, books, NO_FUNDS)
    house.work()
    assert books.one("SELECT state FROM payments") == "retrying"
    clerk.get(f"/console/customers/{customer}/cards")
    answer = clerk.post(f"/console/customers/{customer}/cards/{books.one('SELECT id FROM kept_cards')}/remove")
    assert "kept until the payment under way with it has ended" in told(clerk.get(answer.headers["location"]))
    assert books.one("SELECT wrapped_key IS NOT NULL FROM card_vault")
    for _ in range(40):
        house.advance(days=1)
        house.work()
    assert books.one("SELECT state FROM payments") == "declined"
    assert books.one("SELECT wrapped_key FROM card_vault") is None


def test_rights(clerk: Visitor, books: Books, house: House) -> None:
    """No removal without the session's token, nor by another customer's page; without a session none are shown."""
    customer = kept(clerk, books)
    other = books.bill("C-2")
    card = books.one("SELECT id FROM kept_cards")
    page = f"/console/customers/{customer}/cards"
    assert clerk.client.post(f"{page}/{card}/remove", follow_redirects=False).status_code == 403
    clerk.get(page)
    assert clerk.post(f"/console/customers/{other}/cards/{card}/remove").status_code == 404
    assert books.one("SELECT removed_at FROM kept_cards") is None
    clerk.client.cookies.clear()
    assert clerk.get(page).status_code == 303


def test_an_invoice_window_offers_them_too(clerk: Visitor, books: Books, house: House) -> None:
    """Window 4: the Payment window of one invoice has the same choice."""
    customer = kept(clerk, books)
    house.work()
    opened(clerk, customer, invoice_id(books, "C-1/2"))
    assert list(choices(clerk).values()) == ["Visa ending in 1111, expires 12/39"]


def test_entered_for_nothing(clerk: Visitor, books: Books, house: House) -> None:
    """C2: the number of a card that was entered for a payment which nobody saved is forgotten after a day.

    The card of a payment that waits for its charge, and one that is kept, stay readable.
    """
    customer = kept(clerk, books)
    house.work()
    address, form = opened(clerk, customer)
    waiting = sealed(clerk, NO_FUNDS)
    payment_of(clerk.post(address, **form | {"method": "credit_card", "kept_card": "", "card_token": waiting}))
    left = [sealed(clerk), sealed(clerk)]
    readable = "SELECT count(*) FROM card_vault WHERE wrapped_key IS NOT NULL"
    assert (forget.work(house.context), books.one(readable)) == ("nothing to forget", 4)
    house.advance(hours=25)
    said = forget.work(house.context, at_a_time=1)
    assert (said, books.one(readable)) == ("forgot 2 cards that were entered and never used", 2)
    assert books.one(f"{readable} AND token = ANY(:left)", left=left) == 0
