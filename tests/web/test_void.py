"""Issue 4, window 7: voiding from a payment, with what will happen seen beforehand (R10-R12)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx2
import pytest

from books import credit, foresee
from settings import Settings
from tests.flows.conftest import house, sandbox, sandbox_process
from tests.flows.house import House, at_once, card, settings_for
from tests.web.conftest import Books, Visitor

__all__ = ["house", "sandbox", "sandbox_process"]


@pytest.fixture
def settings(sandbox: Any, database_url: str, redis_url: str, tmp_path: Path) -> Settings:
    """Settings of a web process that has gateways; those of the house."""
    return settings_for(sandbox, database_url, redis_url, str(tmp_path / "keys.json"))


def posted(house: House, by_card: bool = True) -> int:
    """Invoice A of 43.00, paid by 50.00."""
    house.bill("C-1", {"A": 4300})
    payment = house.pay(5000, card() if by_card else None)
    house.work()
    return payment


def window(visitor: Visitor, payment: int) -> str:
    """The void window as text without markup."""
    seen = visitor.get(f"/console/payments/{payment}/void")
    assert seen.status_code == 200
    return " ".join(re.sub(r"<[^>]+>", " ", seen.text).split())


def mark(visitor: Visitor) -> str:
    """The look-ahead that the last page carries."""
    found = re.search(r'name="foreseen"[^>]* value="([^"]+)"', visitor.seen.text if visitor.seen else "")
    return found[1] if found else ""


def void(visitor: Visitor, payment: int, **fields: str) -> httpx2.Response:
    """Open the window and void."""
    window(visitor, payment)
    said = {"foreseen": mark(visitor), "reason": "wrong customer", **fields}
    return visitor.post(f"/console/payments/{payment}/void", **said)


def limit(books: Books, name: str, column: str, minor: int) -> None:
    books.do(f"UPDATE users SET {column} = :minor WHERE name = :name", minor=minor, name=name)


def test_what_will_happen_is_said_beforehand(house: House, sue: Visitor) -> None:
    """R10, R11: which invoices return to Pending, which credit is taken back and from where, what the card gets."""
    payment = posted(house)
    house.bill("C-1", {"B": 600})
    with house.context.transaction() as (conn, now):
        owner = house.row("SELECT id FROM customers").id
        credit.apply_to_invoices(conn, owner, "USD", None, house.context.terms.today(now), now, "ann")
    said = window(sue, payment)
    for words in (
        "2 invoices owe 49.00 USD again ; all of them return from Paid to Pending",
        "The credit of 7.00 USD is taken back.",
        "6.00 USD of it had paid other invoices, which owe that again: B (6.00 USD)",
        "50.00 USD goes back to the Visa card ending in 1111.",
        "First Payflow is asked to void the charge",
        "A 43.00 USD this payment Paid → Pending",
        "B 6.00 USD its credit Paid → Pending",
    ):
        assert words in said, words


def test_the_gateway_voids_it(house: House, sue: Visitor) -> None:
    """R11: voided in the console, the charge is voided at the gateway; who, when and why stay to be seen."""
    payment = posted(house)
    answer = void(sue, payment)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/console/payments/{payment}/progress")
    assert house.reversal(payment).policy == "ask"
    house.work()
    assert house.reversal(payment).state == "voided"
    assert house.invoices() == {"A": ("pending", 4300)}
    shown = sue.get(f"/console/payments/{payment}").text
    assert f"<s>Payment {payment}</s>" in shown
    assert "by sue: wrong customer" in shown
    assert "Void this payment" not in shown
    told = sue.get(f"/console/payments/{payment}/progress").text
    assert "The gateway voided the charge" in told
    assert f'href="/console/payments/{payment}"' in told


def test_without_a_card(house: House, sue: Visitor) -> None:
    """R10: a check is void at once; no gateway is spoken of."""
    payment = posted(house, by_card=False)
    assert "No card is involved" in window(sue, payment)
    answer = void(sue, payment)
    assert answer.headers["location"] == f"/console/payments/{payment}"
    assert house.state(payment) == "voided"
    assert house.payment(payment).voided_by == "sue"


def test_without_asking(house: House, sue: Visitor) -> None:
    """R12: who says so beforehand is not asked: the settled charge is refunded."""
    payment = posted(house)
    house.sandbox.client.settle()
    void(sue, payment, policy="auto")
    house.work()
    assert house.reversal(payment).state in ("refund_accepted", "refunded")


@pytest.mark.parametrize("reason", ["", "   ", "x" * 201, "card 4111 1111 1111 1111"])
def test_a_reason_is_needed(house: House, sue: Visitor, reason: str) -> None:
    """C1: no reason, one that is too long or one with a card number in it: nothing is voided, no number is echoed."""
    payment = posted(house)
    answer = void(sue, payment, reason=reason)
    assert answer.status_code == 422
    assert "Nothing was voided" in answer.text
    assert "4111" not in answer.text
    assert house.state(payment) == "posted"


def test_a_clerk_may_not(house: House, clerk: Visitor) -> None:
    """Rights: a clerk sees no button, no window, and voids nothing."""
    payment = posted(house)
    assert "Void this payment" not in clerk.get(f"/console/payments/{payment}").text
    assert clerk.get(f"/console/payments/{payment}/void").status_code == 403
    clerk.get("/console/find")
    assert clerk.post(f"/console/payments/{payment}/void", reason="x", foreseen="x").status_code == 403
    assert house.state(payment) == "posted"


def test_a_form_of_somebody_else(house: House, sue: Visitor) -> None:
    """CSRF: a form without the session's token voids nothing."""
    payment = posted(house)
    window(sue, payment)
    answer = sue.post(f"/console/payments/{payment}/void", reason="x", foreseen=mark(sue), csrf_token="made up")
    assert answer.status_code == 403
    assert house.state(payment) == "posted"


def test_sent_twice(house: House, sue: Visitor) -> None:
    """R13: the same form twice voids once; the second answer leads to the payment."""
    payment = posted(house)
    first = void(sue, payment)
    again = sue.post(f"/console/payments/{payment}/void", reason="wrong customer", foreseen=mark(sue))
    assert (first.status_code, again.status_code) == (303, 409)
    assert "the payment is voided" in again.text
    assert f'href="/console/payments/{payment}"' in again.text
    assert house.row("SELECT count(*) AS count FROM reversals")[0] == 1


def test_two_at_the_same_moment(house: House, sue: Visitor, ada: Visitor) -> None:
    """R13: two supervisors void one payment at one moment: it is voided once, the other is told so."""
    payment = posted(house)
    for visitor in (sue, ada):
        window(visitor, payment)

    def press(visitor: Visitor) -> int:
        fields = {"reason": "wrong customer", "foreseen": mark(visitor)}
        return visitor.post(f"/console/payments/{payment}/void", **fields).status_code

    assert sorted(at_once(lambda: press(sue), lambda: press(ada))) == [303, 409]
    assert house.row("SELECT count(*) AS count FROM reversals")[0] == 1


def test_changed_meanwhile(house: House, sue: Visitor) -> None:
    """R10: another clerk used the credit while the window was open: nothing is done, it shows what changed."""
    payment = posted(house)
    window(sue, payment)
    before = mark(sue)
    house.bill("C-1", {"B": 600})
    with house.context.transaction() as (conn, now):
        owner = house.row("SELECT id FROM customers").id
        credit.apply_to_invoices(conn, owner, "USD", None, house.context.terms.today(now), now, "ann")
    answer = sue.post(f"/console/payments/{payment}/void", reason="wrong customer", foreseen=before, policy="auto")
    assert answer.status_code == 422
    assert "changed since you looked: other invoices are owed again, another sum is owed again" in answer.text.lower()
    assert "B (6.00 USD)" in answer.text
    assert 'value="wrong customer"' in answer.text
    assert re.search(r'value="auto" checked', answer.text)
    assert house.state(payment) == "posted"
    sue.seen = answer
    again = sue.post(f"/console/payments/{payment}/void", reason="wrong customer", foreseen=mark(sue))
    assert again.status_code == 303
    assert house.state(payment) == "voided"


def test_above_the_limit_a_second_person_approves(house: House, sue: Visitor, ada: Visitor, books: Books) -> None:
    """Rights: above Sue's limit it is asked for and not done; Ada sees what it does, approves, and it is done."""
    limit(books, "sue", "void_limit_minor", 4999)
    payment = posted(house)
    assert "above your limit" in window(sue, payment)
    answer = void(sue, payment)
    assert answer.headers["location"] == f"/console/payments/{payment}"
    assert house.state(payment) == "posted"
    mine = sue.get(f"/console/payments/{payment}").text
    assert "asked on" in mine
    assert "Who can answer: ada." in mine
    assert "Withdraw it" in mine
    assert "Approve the void" not in mine
    assert sue.get(f"/console/payments/{payment}/void").status_code == 303
    proposal = books.one("SELECT id FROM proposals")
    theirs = ada.get(f"/console/payments/{payment}").text
    assert "What approving does" in theirs
    assert "1 invoice owes 43.00 USD again" in theirs
    done = ada.post(f"/console/payments/{payment}/proposals/{proposal}/approve", foreseen=mark(ada))
    assert done.headers["location"] == f"/console/payments/{payment}/progress"
    assert (house.state(payment), house.payment(payment).voided_by) == ("voided", "ada")
    house.work()
    assert house.reversal(payment).state == "voided"
    assert books.one("SELECT why FROM events WHERE what = 'proposal.approved'") == "void, asked for by sue"
    late = ada.post(f"/console/payments/{payment}/proposals/{proposal}/approve", foreseen=mark(ada))
    assert late.status_code == 409


def test_at_the_limit_one_is_enough(house: House, sue: Visitor, books: Books) -> None:
    """Rights: exactly the limit is within it; a refund without asking counts by the other limit."""
    limit(books, "sue", "void_limit_minor", 5000)
    limit(books, "sue", "refund_limit_minor", 4999)
    payment = posted(house)
    void(sue, payment, policy="auto")
    assert house.state(payment) == "posted"
    books.do("UPDATE proposals SET decision = 'withdrawn', decided_at = now(), decided_by = 'sue'")
    void(sue, payment, policy="ask")
    assert house.state(payment) == "voided"


def test_who_asked_may_not_approve(house: House, sue: Visitor, clerk: Visitor, books: Books) -> None:
    """Rights: neither the asker nor a clerk approves; past the proposal nothing is voided."""
    limit(books, "sue", "void_limit_minor", 0)
    payment = posted(house)
    void(sue, payment)
    proposal = books.one("SELECT id FROM proposals")
    sue.get(f"/console/payments/{payment}")
    approve = f"/console/payments/{payment}/proposals/{proposal}/approve"
    with house.engine.connect() as conn:
        foreseen = foresee.void(conn, payment).mark
    refused = sue.post(approve, foreseen=foreseen)
    assert refused.status_code == 409
    assert "You asked for this yourself." in refused.text
    books.do("UPDATE users SET void_limit_minor = NULL")
    assert sue.post(f"/console/payments/{payment}/void", reason="x", foreseen="x").status_code == 409
    clerk.get(f"/console/payments/{payment}")
    assert "Who can answer: ada." in (clerk.seen.text if clerk.seen else "")
    assert clerk.post(approve, foreseen="x").status_code == 403
    assert house.state(payment) == "posted"


def test_refused_and_withdrawn(house: House, sue: Visitor, ada: Visitor, books: Books) -> None:
    """Rights: Ada refuses with a reason, which the history keeps; asked anew, Sue withdraws it."""
    limit(books, "sue", "void_limit_minor", 0)
    payment = posted(house)
    void(sue, payment)
    first = books.one("SELECT max(id) FROM proposals")
    ada.get(f"/console/payments/{payment}")
    refuse = f"/console/payments/{payment}/proposals/{first}/refuse"
    assert ada.post(refuse, reason="").status_code == 422
    assert ada.post(refuse, reason="the customer is right").status_code == 303
    assert "the customer is right" in sue.get(f"/console/payments/{payment}").text
    void(sue, payment)
    second = books.one("SELECT max(id) FROM proposals")
    sue.get(f"/console/payments/{payment}")
    assert sue.post(f"/console/payments/{payment}/proposals/{second}/withdraw").status_code == 303
    assert books.one("SELECT string_agg(decision, ' ' ORDER BY id) FROM proposals") == "refused withdrawn"
    assert house.state(payment) == "posted"


def test_approving_what_changed(house: House, sue: Visitor, ada: Visitor, books: Books) -> None:
    """R10: what Ada was shown is not what would be done: nothing is done. Voided by other hands, it says so."""
    limit(books, "sue", "void_limit_minor", 0)
    payment = posted(house)
    void(sue, payment)
    approve = f"/console/payments/{payment}/proposals/{books.one('SELECT id FROM proposals')}/approve"
    ada.get(f"/console/payments/{payment}")
    answer = ada.post(approve, foreseen=mark(ada).replace("1.4300", "2.4300"))
    assert answer.status_code == 422
    assert "other invoices are owed again" in answer.text
    house.void(payment)
    assert ada.post(approve, foreseen=mark(ada)).status_code == 409
    assert "can only be withdrawn or refused" in ada.get(f"/console/payments/{payment}").text


def test_no_such_payment(house: House, sue: Visitor) -> None:
    """A payment that is not there, and one that can't be voided."""
    assert sue.get("/console/payments/987654/void").status_code == 404
    house.bill("C-1", {"A": 100})
    payment = house.pay(100)
    answer = sue.get(f"/console/payments/{payment}/void")
    assert answer.status_code == 409
    assert "the payment is requested" in answer.text
