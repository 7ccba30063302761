"""Issue 4: a payment's own page, to which the record leads."""

from __future__ import annotations

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
