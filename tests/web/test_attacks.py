"""Issue 4: what no page sends but somebody may: odd characters, cards in wrong places, many at once."""

from __future__ import annotations

import pytest

from tests.web.conftest import Books, Visitor

VISA = "4111111111111111"


@pytest.mark.parametrize(
    "path",
    [
        "/console/users/%00",
        "/console/deposits?account=%00",
        "/console/deposits?currency=%00",
        "/console/aging?currency=%00",
        "/console/customers/1/payment?key=%00",
    ],
)
def test_zero_byte_in_an_address(ada: Visitor, books: Books, path: str) -> None:
    """An address with a character that the database takes in no text is refused, and is no error of ours."""
    books.bill()
    assert ada.get(path).status_code == 400


def test_zero_byte_in_a_form(clerk: Visitor, books: Books) -> None:
    """A form with such a character is refused at the door; nothing of it reaches a query."""
    address = f"/console/customers/{books.bill(owed={'A-1': 100})}/payment"
    clerk.get(clerk.get(address).headers["location"])
    for name in ("idempotency_key", "card_token", "x\0"):
        answer = clerk.post(address, method="credit_card", amount="1.00", **{name: "a\0"})
        assert (answer.status_code, "character" in answer.text) == (422, True), name


@pytest.mark.parametrize("body", ["[" * 14_000, '{"customer": "' + "9" * 5_000 + '"}'])
def test_bodies_that_no_page_sends(clerk: Visitor, body: str) -> None:
    """C1: the card endpoint answers what is nested too deep, and 5,000 digits, as any other nonsense."""
    headers = {"Content-Type": "application/json", "X-CSRF-Token": clerk.token()}
    assert clerk.client.post("/v1/cards", content=body, headers=headers).status_code in (400, 422)


def test_last_event_id(clerk: Visitor, books: Books) -> None:
    """A browser that says it saw event "²" sees the news from the beginning."""
    address = f"/console/customers/{books.bill(owed={'A-1': 100})}/payment"
    clerk.get(clerk.get(address).headers["location"])
    clerk.post(address, method="cash", amount="1.00", idempotency_key="form-" + "a" * 20)
    payment = books.one("SELECT id FROM payments")
    clerk.post(f"/console/payments/{payment}/cancel", reason="test")
    headers = {"Accept": "text/event-stream", "Last-Event-ID": b"\xb2"}
    answer = clerk.get(f"/console/payments/{payment}/progress", headers=headers)
    assert (answer.status_code, "Recorded" in answer.text) == (200, True)
