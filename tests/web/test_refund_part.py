"""R17 in the console: a part of a posted charge goes back, seen beforehand; disputes of a charge."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx2
import pytest

from books.waiting import Kind
from sandbox.client import answer
from settings import Settings
from tests.flows.conftest import house, sandbox, sandbox_process
from tests.flows.house import House, at_once, card, settings_for
from tests.web.conftest import Books, Visitor
from web.console.waiting import WORDS

__all__ = ["house", "sandbox", "sandbox_process"]


@pytest.fixture
def settings(sandbox: Any, database_url: str, redis_url: str, tmp_path: Path) -> Settings:
    """Settings of a web process that has gateways; those of the house."""
    return settings_for(sandbox, database_url, redis_url, str(tmp_path / "keys.json"))


def posted(house: House) -> int:
    """Invoices A of 40.00 and B of 15.00, charged with 60.00 and settled."""
    house.bill("C-1", {"A": 4000, "B": 1500})
    payment = house.pay(6000, card())
    house.work()
    house.sandbox.client.settle()
    return payment


def words(page: httpx2.Response) -> str:
    """A page as text without markup."""
    return " ".join(re.sub(r"<[^>]+>", " ", page.text).split())


def window(visitor: Visitor, payment: int) -> str:
    seen = visitor.get(f"/console/payments/{payment}/refund-part")
    assert seen.status_code == 200
    return words(seen)


def mark(visitor: Visitor) -> str:
    """The look-ahead that the last page carries."""
    found = re.search(r'name="foreseen"[^>]* value="([^"]+)"', visitor.seen.text if visitor.seen else "")
    return found[1] if found else ""


def refund(visitor: Visitor, payment: int, amount: str, **fields: str) -> httpx2.Response:
    """Open the window and refund."""
    window(visitor, payment)
    said = {"foreseen": mark(visitor), "reason": "goods returned", "amount": amount, "do": "refund", **fields}
    return visitor.post(f"/console/payments/{payment}/refund-part", **said)


def refunds(house: House) -> list[tuple[int, str]]:
    return [tuple(row) for row in house.rows("SELECT amount_minor, state FROM reversals ORDER BY id")]


def test_seen_beforehand_then_done(house: House, sue: Visitor) -> None:
    """R17: the window says what moves, the progress follows it, and the page tells who, when, why and what is left."""
    payment = posted(house)
    assert "Refundable 60.00 USD" in words(sue.get(f"/console/payments/{payment}"))
    said = window(sue, payment)
    assert 'value="60.00"' in (sue.seen.text if sue.seen else "")
    for told in (
        "60.00 USD goes back to the Visa card ending in 1111 , by Payflow.",
        "5.00 USD of unused credit is taken back.",
        "2 invoices owe 55.00 USD again",
    ):
        assert told in said, told
    preview = words(sue.post(f"/console/payments/{payment}/refund-part", do="preview", amount="7.00"))
    assert "1 invoice owes 2.00 USD again" in preview
    assert "B 2.00 USD this payment Paid → Pending" in preview
    part = sue.client.post(
        f"/console/payments/{payment}/refund-part",
        data={"csrf_token": sue.token(), "do": "preview", "amount": "70"},
        headers={"HX-Request": "true"},
    )
    assert (part.status_code, words(part)) == (200, "Enter an amount up to 60.00 USD to see it.")
    assert refunds(house) == []
    answered = refund(sue, payment, "7.00")
    assert (answered.status_code, answered.headers["location"]) == (303, f"/console/payments/{payment}/progress")
    assert "The refund of 7.00 USD is under way." in words(sue.get(f"/console/payments/{payment}/progress"))
    house.work()
    progress = words(sue.get(f"/console/payments/{payment}/progress"))
    for told in (
        "A refund was asked for: 7.00 USD: goods returned",
        "Asking the gateway to return the amount",
        "Refunded: what it had paid is owed again",
        "The gateway accepted the refund of 7.00 USD",
    ):
        assert told in progress, told
    page = words(sue.get(f"/console/payments/{payment}"))
    assert "Refunded 7.00 USD Refundable 53.00 USD" in page
    assert "sue: refund of 7.00 USD (goods returned): refund accepted" in page
    assert "Return the amount to the card?" not in page
    assert house.invoices() == {"A": ("paid", 0), "B": ("pending", 200)}
    assert "Returned 7.00 USD" in words(sue.get(f"/console/payments/{payment}/receipt"))


@pytest.mark.parametrize("amount", ["60.01", "0", "-1", "", "lots", "4111 1111 1111 1111"])
def test_an_amount_that_cannot_be(house: House, sue: Visitor, amount: str) -> None:
    """R17, C1: more than can be refunded, nothing, or no amount at all: nothing is refunded, no card number shown."""
    payment = posted(house)
    answered = refund(sue, payment, amount)
    assert answered.status_code == 422
    assert "Nothing was refunded" in answered.text
    assert "4111" not in answered.text
    assert refunds(house) == []


def test_a_reason_is_needed(house: House, sue: Visitor) -> None:
    """R17: every refund says why; what was typed is kept."""
    payment = posted(house)
    answered = refund(sue, payment, "12.00", reason=" ")
    assert answered.status_code == 422
    assert 'value="12.00"' in answered.text
    assert refunds(house) == []


def test_a_clerk_may_not(house: House, clerk: Visitor) -> None:
    """Rights: a clerk sees neither button nor window, and refunds nothing."""
    payment = posted(house)
    page = clerk.get(f"/console/payments/{payment}").text
    assert "/refund-part" not in page
    assert "/dispute" not in page
    for path in ("refund-part", "dispute"):
        assert clerk.get(f"/console/payments/{payment}/{path}").status_code == 403
        clerk.get("/console/find")
        assert clerk.post(f"/console/payments/{payment}/{path}", amount="1.00").status_code == 403
    assert refunds(house) == []


def test_sent_twice(house: House, sue: Visitor) -> None:
    """R17: the same form twice, later or at one moment, makes one refund; the second is told what changed."""
    payment = posted(house)
    window(sue, payment)
    form = {"foreseen": mark(sue), "reason": "goods returned", "amount": "10.00", "do": "refund"}

    def press() -> int:
        return sue.post(f"/console/payments/{payment}/refund-part", **form).status_code

    assert sorted(at_once(press, press)) == [303, 422]
    house.work()
    again = sue.post(f"/console/payments/{payment}/refund-part", **form)
    assert again.status_code == 422
    assert "changed since you looked" in again.text.lower()
    assert refunds(house) == [(1000, "refund_accepted")]


def test_above_the_limit(house: House, sue: Visitor, ada: Visitor, books: Books) -> None:
    """Rights: above the limit a second person sees what it does, and approves; parts count together."""
    books.do("UPDATE users SET refund_limit_minor = 1500 WHERE name = 'sue'")
    payment = posted(house)
    assert "above your limit" in window(sue, payment)
    assert refund(sue, payment, "10.00").headers["location"].endswith("/progress")
    house.work()
    asked = refund(sue, payment, "5.01")
    assert asked.headers["location"] == f"/console/payments/{payment}"
    assert len(refunds(house)) == 1
    assert sue.get(f"/console/payments/{payment}/refund-part").status_code == 303
    assert "asks for a refund: goods returned" in words(ada.get("/console/waiting"))
    proposal = books.one("SELECT id FROM proposals")
    theirs = words(ada.get(f"/console/payments/{payment}"))
    assert "A second person must approve: refund a part of the charge" in theirs
    assert "1 invoice owes 5.01 USD again" in theirs
    approve = f"/console/payments/{payment}/proposals/{proposal}/approve"
    assert ada.post(approve, foreseen="made up").status_code == 422
    ada.get(f"/console/payments/{payment}")
    assert ada.post(approve, foreseen=mark(ada)).headers["location"].endswith("/progress")
    house.work()
    assert refunds(house) == [(1000, "refund_accepted"), (501, "refund_accepted")]
    assert house.reversal(payment).started_by == "ada"
    assert ada.post(approve, foreseen=mark(ada)).status_code == 409


def test_a_proposal_that_came_too_late(house: House, sue: Visitor, ada: Visitor, books: Books) -> None:
    """R17: what is refunded by other hands meanwhile is not refunded again; it can only be refused or withdrawn."""
    books.do("UPDATE users SET refund_limit_minor = 0 WHERE name = 'sue'")
    payment = posted(house)
    refund(sue, payment, "50.00")
    house.void(payment)
    house.work()
    page = words(ada.get(f"/console/payments/{payment}"))
    assert "So much can no longer be refunded: it is voided" in page
    proposal = books.one("SELECT id FROM proposals")
    assert ada.post(f"/console/payments/{payment}/proposals/{proposal}/approve").status_code == 409
    refuse = ada.post(f"/console/payments/{payment}/proposals/{proposal}/refuse", reason="void already")
    assert refuse.status_code == 303
    assert house.sandbox.client.card("4111111111111111").net == 0


def test_a_void_of_the_rest(house: House, sue: Visitor) -> None:
    """R11, R17: after a part the void window says that the rest goes back by a refund, and asks or does it."""
    payment = posted(house)
    refund(sue, payment, "20.00")
    assert sue.get(f"/console/payments/{payment}/void").status_code == 409
    house.work()
    said = words(sue.get(f"/console/payments/{payment}/void"))
    assert "40.00 USD goes back to the Visa card ending in 1111." in said
    assert "It goes back by a refund: a part was refunded before" in said
    form = {"foreseen": mark(sue), "reason": "wrong customer"}
    asked = sue.post(f"/console/payments/{payment}/void", policy="ask", **form)
    assert asked.headers["location"] == f"/console/payments/{payment}"
    assert "Return 40.00 USD to" in words(sue.get(f"/console/payments/{payment}"))


def test_a_refund_that_failed(house: House, sue: Visitor) -> None:
    """R17: nothing moved, so nothing is to be decided; it is told, and can be asked for again."""
    payment = posted(house)
    house.sandbox.client.scenario(before=[answer("117")], operation="refund")
    refund(sue, payment, "10.00")
    sue.get(f"/console/payments/{payment}/progress")
    house.work()
    assert "is posted, but its refund could not be made" in words(sue.get("/console/find"))
    assert "The refund of 10.00 USD could not be made." in words(sue.get(f"/console/payments/{payment}/progress"))
    page = words(sue.get(f"/console/payments/{payment}"))
    assert "Return the amount to the card?" not in page
    assert "Refundable 60.00 USD" in page
    assert WORDS[Kind.PART_FAILED][0] in words(sue.get("/console/waiting"))
    refund(sue, payment, "10.00")
    house.work()
    assert [state for _, state in refunds(house)] == ["failed", "refund_accepted"]


def test_no_card_no_refund(house: House, sue: Visitor) -> None:
    """R17: what was not charged is neither refunded nor disputed here."""
    house.bill("C-1", {"A": 100})
    payment = house.pay(100)
    house.work()
    for path in ("refund-part", "dispute"):
        seen = sue.get(f"/console/payments/{payment}/{path}")
        assert (seen.status_code, "No card was charged" in seen.text) == (409, True)
    assert sue.get("/console/payments/987654/refund-part").status_code == 404


def dispute(visitor: Visitor, payment: int, **fields: str) -> httpx2.Response:
    visitor.get(f"/console/payments/{payment}/dispute")
    said = {"case": "CB-1", "amount": "10.00", "reason": "not received", **fields}
    return visitor.post(f"/console/payments/{payment}/dispute", **said)


def test_a_dispute_from_its_opening_to_its_end(house: House, sue: Visitor, books: Books) -> None:
    """R17: an open dispute waits, holds its amount, bars a void; lost it moves what its window had said."""
    payment = posted(house)
    assert dispute(sue, payment).status_code == 303
    assert dispute(sue, payment).status_code == 303  # the same case once more changes nothing
    assert books.one("SELECT count(*) FROM disputes") == 1
    assert "case CB-1: not received" in words(sue.get("/console/waiting"))
    page = words(sue.get(f"/console/payments/{payment}"))
    assert "disputed 10.00 USD Refundable 50.00 USD" in page
    assert "sue: 10.00 USD, case CB-1 (not received): open" in page
    assert sue.get(f"/console/payments/{payment}/void").status_code == 409
    said = words(sue.get(f"/console/payments/{payment}/dispute"))
    assert "Case CB-1: 10.00 USD" in said
    assert "5.00 USD of unused credit is taken back." in said
    assert "1 invoice owes 5.00 USD again" in said
    case = books.one("SELECT id FROM disputes")
    address, reason = f"/console/payments/{payment}/disputes/{case}", f"reason-{case}"
    assert sue.post(address, **{reason: "the bank's letter"}).status_code == 422
    assert sue.post(address, end="lost", **{reason: " "}).status_code == 422
    ended = sue.post(address, end="lost", **{reason: "the bank's letter"})
    assert ended.status_code == 303
    assert house.invoices() == {"A": ("paid", 0), "B": ("pending", 500)}
    assert sue.post(address, end="won", **{reason: "no"}).status_code == 409
    page = words(sue.get(f"/console/payments/{payment}"))
    assert "sue (the bank&#39;s letter)" in page
    assert "lost" in page
    assert "Taken back by the card’s bank 10.00 USD" in page
    assert "Taken back by the card’s bank 10.00 USD" in words(sue.get(f"/console/payments/{payment}/receipt"))
    assert (
        sue.post(f"/console/payments/{payment}/disputes/987654", end="won", **{"reason-987654": "x"}).status_code == 404
    )


def test_a_dispute_that_is_won(house: House, sue: Visitor, books: Books) -> None:
    """R17: won, all of it can be refunded again; without an amount all of the charge is disputed."""
    payment = posted(house)
    dispute(sue, payment, amount="")
    assert books.one("SELECT amount_minor FROM disputes") == 6000
    assert "Nothing of this charge can be refunded now." in window(sue, payment)
    case = books.one("SELECT id FROM disputes")
    sue.post(f"/console/payments/{payment}/disputes/{case}", end="won", **{f"reason-{case}": "proof of delivery"})
    assert "Refundable 60.00 USD" in window(sue, payment)


@pytest.mark.parametrize(
    "wrong", [{"amount": "60.01"}, {"amount": "x"}, {"case": " "}, {"reason": ""}, {"case": "4111 1111 1111 1111"}]
)
def test_a_dispute_that_cannot_be(house: House, sue: Visitor, books: Books, wrong: dict[str, str]) -> None:
    """R17, C1: more than was charged, no case, no reason, a card number: nothing is recorded."""
    payment = posted(house)
    answered = dispute(sue, payment, **wrong)
    assert answered.status_code == 422
    assert "4111" not in answered.text
    assert books.one("SELECT count(*) FROM disputes") == 0


def test_the_limit_holds_for_a_void_after_a_part(house: House, sue: Visitor, books: Books) -> None:
    """Rights: what somebody refunded of a payment counts when the rest of it goes back after a void."""
    books.do("UPDATE users SET refund_limit_minor = 4000 WHERE name = 'sue'")
    payment = posted(house)
    assert refund(sue, payment, "25.00").status_code == 303
    house.work()
    address = f"/console/payments/{payment}"
    assert "above your limit" in words(sue.get(f"{address}/void"))
    auto = sue.post(f"{address}/void", foreseen=mark(sue), reason="all of it", policy="auto")
    assert (auto.status_code, books.one("SELECT kind || policy FROM proposals")) == (303, "voidauto")
    books.do("UPDATE proposals SET decision = 'withdrawn', decided_at = now(), decided_by = 'sue'")
    sue.get(f"{address}/void")
    sue.post(f"{address}/void", foreseen=mark(sue), reason="all of it", policy="ask")
    house.work()
    assert "ask for approval" in words(sue.get(address))
    sue.post(f"{address}/refund")
    house.work()
    assert books.one("SELECT sum(amount_minor) FROM reversals WHERE state LIKE 'refund_accepted'") == 2500
    assert books.one("SELECT kind FROM proposals WHERE decision IS NULL") == "refund"
