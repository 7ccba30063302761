"""Issue 4, window 8: a customer's credits are applied to invoices, and that is undone (R14)."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine

from books import credit
from books.account import application
from books.credit import Applied, OutOfDate, Usable
from rules.errors import NotFound
from tests.web.conftest import Books, Visitor


@pytest.fixture
def owed(books: Books) -> int:
    """A customer with two credits of 5.00 and 3.00, and three invoices of 4.00, 6.00 and 1.00, the first the oldest."""
    customer = books.bill("C-1", {"A": 400, "B": 600, "C": 100}, name="Ann & Co")
    give(books, customer, 500)
    give(books, customer, 300)
    return customer


def give(books: Books, customer: int, minor: int, currency: str = "USD") -> int:
    """A credit, as a payment leaves it."""
    payment = books.one(
        """INSERT INTO payments (caller, idempotency_key, content_digest, customer_id, method, currency, total_minor,
               post_date, as_credit, allow_overlap, when_owed_less, owed_at_request_minor, state, credited_minor,
               recorded_at, recorded_by, posted_at)
           VALUES ('test', gen_random_uuid(), 'x', :id, 'cash', :currency, :minor, '2026-01-05', true, false, 'ask', 0,
               'posted', :minor, now(), 'ann', now()) RETURNING id""",
        id=customer,
        minor=minor,
        currency=currency,
    )
    found: int = books.one(
        """INSERT INTO credits (customer_id, payment_id, currency, amount_minor, balance_minor, note, created_at)
           VALUES (:id, :payment, :currency, :minor, :minor, 'From payment of <2026>', now()) RETURNING id""",
        id=customer,
        payment=payment,
        minor=minor,
        currency=currency,
    )
    return found


def balances(books: Books, customer: int) -> Any:
    """Balances due by invoice number, in one text."""
    return books.one(
        "SELECT string_agg(number || ' ' || balance_minor, ', ' ORDER BY number) FROM invoices WHERE customer_id = :id",
        id=customer,
    )


def invoice(books: Books, number: str) -> int:
    """The id of an invoice."""
    found: int = books.one("SELECT id FROM invoices WHERE number = :number", number=number)
    return found


SEEN = {"currency": "USD", "credit_seen": "800", "due_seen": "1100"}


def test_the_preview_is_what_is_done(books: Books, engine: Engine, owed: int) -> None:
    """R9, R14: what the preview says, oldest credit and oldest invoice first, is what is then applied."""
    with engine.begin() as conn:
        told = credit.preview(conn, owed, "USD")
        now = books.one("SELECT now()")
        done = credit.apply_to_invoices(conn, owed, "USD", None, now.date(), now, "ann")
    [first, second] = sorted({one.credit_id for one in done})
    a, b, _ = (invoice(books, number) for number in "ABC")
    assert told == done == [Applied(first, a, 400), Applied(first, b, 100), Applied(second, b, 300)]
    assert balances(books, owed) == "A 0, B 200, C 100"


def test_the_window_shows_the_preview(clerk: Visitor, owed: int) -> None:
    """R9: opened, the window tells what applying all would do, each credit's note and what is left."""
    page = clerk.get(f"/console/customers/{owed}/credits")
    assert page.status_code == 200
    for words in (
        "8.00 USD",
        "11.00 USD",
        "From payment of &lt;2026&gt;",
        "Place of invoice A",
        "0.00 USD stay as credit",
    ):
        assert words in page.text


def test_all_oldest_first(clerk: Visitor, books: Books, owed: int) -> None:
    """R14: without a choice all credits pay all invoices, oldest first; who did it is told."""
    address = f"/console/customers/{owed}/credits"
    clerk.get(address)
    done = clerk.post(address, do="apply", **SEEN)
    assert done.status_code == 303
    assert balances(books, owed) == "A 0, B 200, C 100"
    assert "Applied 8.00 USD to invoices A, B" in clerk.get(done.headers["location"]).text
    assert books.one("SELECT count(*) FROM events WHERE what = 'credit.applied' AND by = 'ann'") == 2


def test_one_credit_to_chosen_invoices(clerk: Visitor, books: Books, owed: int) -> None:
    """R14: one credit goes to the invoices that have a place, in that order, and to no other."""
    address = f"/console/customers/{owed}/credits"
    clerk.get(address)
    one = books.one("SELECT min(id) FROM credits")
    chosen = {f"place_{invoice(books, 'C')}": "1", f"place_{invoice(books, 'B')}": "2", "credit": str(one)}
    preview = clerk.post(address, do="preview", **SEEN, **chosen)
    assert preview.status_code == 200
    assert balances(books, owed) == "A 400, B 600, C 100"
    assert "In all <strong>5.00 USD</strong>" in preview.text
    assert clerk.post(address, do="apply", **SEEN, **chosen).status_code == 303
    assert balances(books, owed) == "A 400, B 200, C 0"
    assert books.one("SELECT balance_minor FROM credits WHERE id = :id", id=one) == 0


def test_the_part_for_htmx(clerk: Visitor, books: Books, owed: int) -> None:
    """The preview alone is answered while one chooses, with what is wrong in words."""
    address = f"/console/customers/{owed}/credits"
    clerk.get(address)
    clerk.client.headers["HX-Request"] = "true"
    part = clerk.post(address, do="preview", **SEEN, **{f"place_{invoice(books, 'B')}": "1"})
    assert "<html" not in part.text
    assert "In all <strong>6.00 USD</strong>" in part.text
    wrong = clerk.post(address, do="preview", **SEEN, **{f"place_{invoice(books, 'B')}": "first"})
    assert wrong.status_code == 200
    assert "invoice b is no place" in wrong.text.lower()


def test_a_second_click_applies_nothing(clerk: Visitor, books: Books, owed: int) -> None:
    """R14: the same form sent twice applies once; the second is told that things changed, and nothing is done."""
    address = f"/console/customers/{owed}/credits"
    clerk.get(address)
    one = str(books.one("SELECT min(id) FROM credits"))
    chosen = {"credit": one, f"place_{invoice(books, 'C')}": "1"}
    assert clerk.post(address, do="apply", **SEEN, **chosen).status_code == 303
    again = clerk.post(address, do="apply", **SEEN, **chosen)
    assert again.status_code == 422
    assert "changed since they were shown" in again.text
    anew = clerk.post(address, do="apply", **SEEN)
    assert anew.status_code == 422
    assert balances(books, owed) == "A 400, B 600, C 0"


def test_a_form_that_says_nothing_of_what_was_seen(clerk: Visitor, books: Books, owed: int) -> None:
    """Without the sums that were shown, or with something else in their place, nothing is applied."""
    address = f"/console/customers/{owed}/credits"
    clerk.get(address)
    for seen in ({}, {"credit_seen": "x", "due_seen": "1100"}, {"credit_seen": "800", "due_seen": "-1"}):
        assert clerk.post(address, do="apply", currency="USD", **seen).status_code == 422
    assert balances(books, owed) == "A 400, B 600, C 100"


@pytest.mark.parametrize(
    "wrong", [{"credit": "999999"}, {"credit": "4111111111111111"}, {"place": "1.5"}, {"place": "-1"}]
)
def test_a_wrong_choice(clerk: Visitor, books: Books, owed: int, wrong: dict[str, str]) -> None:
    """A credit that is none, or a place that is no number, is refused beside its field, and nothing is done."""
    address = f"/console/customers/{owed}/credits"
    clerk.get(address)
    said = {f"place_{invoice(books, 'A')}" if name == "place" else name: value for name, value in wrong.items()}
    refused = clerk.post(address, do="apply", **SEEN, **said)
    assert refused.status_code == 422
    assert 'class="fault"' in refused.text
    assert "4111111111111111" not in refused.text
    assert balances(books, owed) == "A 400, B 600, C 100"


def test_currencies_do_not_meet(clerk: Visitor, books: Books, owed: int) -> None:
    """R14: a credit in euros pays no invoice in dollars: the window of that currency says that nothing is owed."""
    give(books, owed, 700, "EUR")
    page = clerk.get(f"/console/customers/{owed}/credits?currency=EUR").text
    assert "Nothing is owed in EUR" in page
    euros = {"currency": "EUR", "credit_seen": "700", "due_seen": "0"}
    assert clerk.post(f"/console/customers/{owed}/credits", do="apply", **euros).status_code == 422
    assert balances(books, owed) == "A 400, B 600, C 100"


def apply_all(clerk: Visitor, customer: int) -> None:
    """Apply everything."""
    clerk.get(f"/console/customers/{customer}/credits")
    assert clerk.post(f"/console/customers/{customer}/credits", do="apply", **SEEN).status_code == 303


def test_undo(clerk: Visitor, books: Books, owed: int) -> None:
    """R14: an application is undone with a reason: the invoice is Pending again, the credit has it back, once."""
    apply_all(clerk, owed)
    part = books.one("SELECT min(id) FROM allocations")
    address = f"/console/customers/{owed}/credits/applications/{part}/undo"
    asked = clerk.get(address)
    assert "owes <strong>4.00 USD</strong> again" in asked.text
    assert clerk.post(address, reason=" ").status_code == 422
    refused = clerk.post(address, reason="card 4111 1111 1111 1111")
    assert refused.status_code == 422
    assert "1111 1111" not in refused.text
    assert balances(books, owed) == "A 0, B 200, C 100"
    done = clerk.post(address, reason="wrong invoice")
    assert done.status_code == 303
    assert balances(books, owed) == "A 400, B 200, C 100"
    assert books.one("SELECT sum(balance_minor) FROM credits") == 400
    assert books.one("SELECT why || ' ' || by FROM events WHERE what = 'invoice.reopened'") == "wrong invoice ann"
    page = clerk.get(done.headers["location"]).text
    assert "invoice A owes 4.00 USD again" in page
    assert 'class="voided"' in page
    assert clerk.post(address, reason="again").status_code == 409
    assert balances(books, owed) == "A 400, B 200, C 100"


def test_only_of_the_customer_in_the_address(clerk: Visitor, books: Books, engine: Engine, owed: int) -> None:
    """An application of another customer's credit is not found, neither to see nor to undo."""
    apply_all(clerk, owed)
    part = books.one("SELECT min(id) FROM allocations")
    other = books.bill("C-2", {"Z": 100})
    address = f"/console/customers/{other}/credits/applications/{part}/undo"
    assert clerk.get(address).status_code == 404
    assert clerk.post(address, reason="not mine").status_code == 404
    now = books.one("SELECT now()")
    with engine.begin() as conn, pytest.raises(NotFound):
        credit.take_back(conn, part, "not mine", now.date(), now, "ann", other)
    with engine.connect() as conn:
        assert application(conn, owed, part).live_minor == 400
        with pytest.raises(NotFound):
            application(conn, other, part)


def test_out_of_date(books: Books, engine: Engine, owed: int) -> None:
    """What one has seen is compared under the customer's lock, before anything is written."""
    now = books.one("SELECT now()")
    with engine.begin() as conn, pytest.raises(OutOfDate):
        credit.apply_to_invoices(conn, owed, "USD", None, now.date(), now, "ann", as_seen=Usable(800, 1101))
    with engine.begin() as conn:
        assert credit.usable(conn, owed, "USD") == Usable(800, 1100)
        assert credit.apply_to_invoices(conn, owed, "USD", None, now.date(), now, "ann", as_seen=Usable(800, 1100))


def test_without_the_token(clerk: Visitor, books: Books, owed: int) -> None:
    """A form that is not ours applies nothing."""
    address = f"/console/customers/{owed}/credits"
    assert clerk.client.post(address, data={"do": "apply", **SEEN}).status_code == 403
    assert balances(books, owed) == "A 400, B 600, C 100"


def test_used_up_and_none(clerk: Visitor, books: Books, owed: int) -> None:
    """Used-up credits stay to be seen with what they paid; who has none is told so."""
    apply_all(clerk, owed)
    page = clerk.get(f"/console/customers/{owed}/credits").text
    assert "All credits are used up" in page
    assert page.count(">Undo<") == 3
    assert "There is no credit" in clerk.get(f"/console/customers/{books.bill('C-3')}/credits").text
    assert clerk.get("/console/customers/987654/credits").status_code == 404
