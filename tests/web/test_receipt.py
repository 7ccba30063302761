"""Issue 4, window 6: the receipt as page and PDF, and by e-mail where a mail server is set."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from io import BytesIO

import pytest
from pypdf import PdfReader

from books import claim, post
from settings import Settings
from tests.web.conftest import Books, Visitor
from web.office import opened


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """With a mail server; nothing here talks to it."""
    return replace(
        settings, smtp_url="smtp://127.0.0.1:9", mail_from="Office <office@example.com>", business_name="Defray & Sons"
    )


Pay = Callable[..., int]


@pytest.fixture
def pay(books: Books, settings: Settings) -> Iterator[Pay]:
    """Take a payment by check and post it; its id."""
    with opened(settings) as office:

        def one(amount: int, **fields: object) -> int:
            asked = {"idempotency_key": "k", "method": "check", "currency": "USD", "customer": "C-1", **fields}
            asked["amount_minor"] = amount
            payment = office.producer.pay(asked, None, caller="test", by="ann").payment_id
            with office.transaction() as (conn, now):
                post.post_due(conn, claim.Singles(), 10, office.today(now), now, "test")
            return payment

        yield one


def test_the_receipt_as_pdf(clerk: Visitor, books: Books, pay: Pay) -> None:
    """R6: shown in the browser under a name of its own, with the business and without the notes."""
    books.bill("C-1", {"A-1": 1250}, name="Ann Example")
    payment = pay(1250, notes="CANARY of the office")
    page = clerk.get(f"/console/payments/{payment}/receipt")
    assert f"/console/payments/{payment}/receipt.pdf" in page.text
    answer = clerk.get(f"/console/payments/{payment}/receipt.pdf")
    assert answer.headers["content-type"] == "application/pdf"
    assert answer.headers["content-disposition"] == f'inline; filename="receipt-{payment}.pdf"'
    seen = "".join(one.extract_text() for one in PdfReader(BytesIO(answer.content)).pages)
    assert "Defray & Sons" in seen
    assert "12.50 USD" in seen
    assert "CANARY" not in seen + page.text
    assert clerk.get("/console/payments/987654/receipt.pdf").status_code == 404


def test_it_is_sent_to_the_customer(clerk: Visitor, books: Books, pay: Pay) -> None:
    """The customer's address stands there; sending the form twice asks for one mail, and the page tells of it."""
    books.bill("C-1", {"A-1": 1250}, email="ann@example.org")
    payment = pay(1250)
    address = f"/console/payments/{payment}/receipt"
    page = clerk.get(address).text
    assert 'value="ann@example.org"' in page
    key = page.partition('name="form_key" value="')[2].partition('"')[0]
    for _ in range(2):
        answer = clerk.post(f"{address}/mail", address="ann@example.org", form_key=key)
        assert (answer.status_code, answer.headers["location"]) == (303, address)
    assert books.one("SELECT string_agg(address || ' ' || message_id || ' ' || asked_by, ',') FROM mails") == (
        f"ann@example.org <{key}@example.com> ann"
    )
    assert "Is being sent" in clerk.get(address).text
    books.do("UPDATE mails SET said = '451 come again', due_at = now() + interval '1 hour'")
    assert "451 come again" in clerk.get(address).text
    books.do(
        "UPDATE mails SET state = 'failed', next_step = NULL, due_at = NULL, ended_at = now(), said = '550 no one'"
    )
    assert "550 no one" in clerk.get(address).text


@pytest.mark.parametrize("wrong", ["", "ann", "ann@example.org\nBcc: eve@example.org", "4111111111111111"])
def test_a_wrong_address(clerk: Visitor, books: Books, pay: Pay, wrong: str) -> None:
    """It is refused with how to put it right, nothing is asked for, and no card number comes back."""
    books.bill("C-1", {"A-1": 1250})
    address = f"/console/payments/{pay(1250)}/receipt"
    clerk.get(address)
    answer = clerk.post(f"{address}/mail", address=wrong)
    assert answer.status_code == 422
    assert "This was not sent" in answer.text
    assert "4111111111111111" not in answer.text
    assert books.one("SELECT count(*) FROM mails") == 0


class TestWithoutAMailServer:
    """Nothing is offered, and nothing breaks."""

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        """As it is out of the box."""
        return replace(settings, smtp_url=None, mail_from="")

    def test_it_is_not_offered(self, clerk: Visitor, books: Books, pay: Pay) -> None:
        """The page has no such form, and a form that comes all the same is refused."""
        books.bill("C-1", {"A-1": 1250}, email="ann@example.org")
        address = f"/console/payments/{pay(1250)}/receipt"
        page = clerk.get(address)
        assert page.status_code == 200
        assert "e-mail" not in page.text
        assert clerk.post(f"{address}/mail", address="ann@example.org").status_code == 422
        assert books.one("SELECT count(*) FROM mails") == 0
