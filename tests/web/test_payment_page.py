"""Issue 4: a payment's own page, to which the record leads."""

from __future__ import annotations

import re

import pytest

from tests.web.conftest import Books, Visitor


def test_a_payment_before_it_is_posted(clerk: Visitor, books: Books) -> None:
    """What was asked for, by whom, whose it is, and its history, with everything escaped."""
    customer = books.bill("C-1", {"A-1": 1250}, name="Ann & Co")
    address = f"/console/customers/{customer}/payment"
    clerk.get(clerk.get(address).headers["location"])
    books.do(
        """INSERT INTO payments (caller, idempotency_key, content_digest, customer_id, method, number, currency,
               total_minor, post_date, notes, as_credit, allow_overlap, when_owed_less, owed_at_request_minor,
               state, next_step, due_at, recorded_at, recorded_by)
           VALUES ('test', 'k', 'x', :id, 'check', '1007', 'USD', 1250, '2026-01-05', '<b>mind</b>', false, false,
               'ask', 1250, 'requested', 'post', now(), now(), 'ann')""",
        id=customer,
    )
    seen = clerk.get(f"/console/payments/{books.one('SELECT max(id) FROM payments')}")
    assert seen.status_code == 200
    for said in ("12.50 USD", "Check 1007", "Ann &amp; Co", "&lt;b&gt;mind", "Requested"):
        assert said in seen.text


def test_no_such_payment(clerk: Visitor) -> None:
    """An id that nothing has is a page that says so."""
    assert clerk.get("/console/payments/987654").status_code == 404


def recorded(books: Books, customer: int, state: str = "posted", method: str = "check") -> int:
    """A payment of 12.50 in a state of one's choice."""
    books.do(
        """INSERT INTO payments (caller, idempotency_key, content_digest, customer_id, method, currency, total_minor,
               post_date, notes, as_credit, allow_overlap, when_owed_less, owed_at_request_minor, state, credited_minor,
               posted_at, recorded_at, recorded_by, next_step, due_at)
           VALUES ('test', :state, 'x', :id, :method, 'USD', 1250, '2026-01-05', '', true, false, 'ask', 0, :state,
               CASE WHEN :state = 'posted' THEN 1250 ELSE 0 END, now(), now(), 'ann',
               CASE WHEN :state = 'requested' THEN 'post' END, CASE WHEN :state = 'requested' THEN now() END)""",
        id=customer,
        state=state,
        method=method,
    )
    return int(books.one("SELECT max(id) FROM payments"))


@pytest.mark.parametrize(
    ("state", "void", "cancel"),
    [
        ("requested", False, True),
        ("posted", True, False),
        ("declined", False, False),
        ("cancelled", False, False),
        ("review", False, False),
    ],
)
def test_what_is_offered(sue: Visitor, books: Books, state: str, void: bool, cancel: bool) -> None:
    """R10, R13: a posted payment can be voided, one that is not charged yet cancelled, an ended one neither."""
    seen = sue.get(f"/console/payments/{recorded(books, books.bill(), state)}").text
    assert ("Void this payment" in seen, "Cancel this payment" in seen) == (void, cancel)
    assert ("Receipt" in seen) == (state == "posted")
    assert "/story" in seen


def test_a_clerk_is_offered_no_void(clerk: Visitor, books: Books) -> None:
    """Rights: a clerk cancels, and does not void."""
    customer = books.bill()
    assert "Void this payment" not in clerk.get(f"/console/payments/{recorded(books, customer)}").text
    assert "Cancel this payment" in clerk.get(f"/console/payments/{recorded(books, customer, 'requested')}").text


def test_its_links_lead_somewhere(sue: Visitor, books: Books) -> None:
    """Every link of the page is answered."""
    seen = sue.get(f"/console/payments/{recorded(books, books.bill())}").text
    links = set(re.findall(r'href="(/console/payments/[^"]+)"', seen))
    assert len(links) == 3, links
    for link in links:
        assert sue.get(link).status_code == 200, link


def test_a_reason_that_is_too_long(sue: Visitor, books: Books) -> None:
    """C1: a decision's reason is one short line without a card number; nothing is decided otherwise."""
    payment = recorded(books, books.bill(), "review", "credit_card")
    sue.get(f"/console/payments/{payment}")
    for reason, says in (
        ("x" * 201, "too long"),
        ("4111111111111111", "looks like a card number"),
        ("a\nb", "control"),
    ):
        refused = sue.post(f"/console/payments/{payment}/decide", choice="cancel", reason=reason)
        assert refused.status_code == 422
        assert says in refused.text
        assert "4111111111111111" not in refused.text
    assert books.one("SELECT state FROM payments") == "review"
