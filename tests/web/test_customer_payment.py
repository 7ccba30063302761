"""Issue 4, windows 3, 4 and 6: the Customer Payment window, the Payment window of one invoice, and the receipt."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sandbox.client import SandboxProcess, reset
from settings import Settings
from tests.flows.conftest import house, sandbox, sandbox_process
from tests.flows.house import House, settings_for
from tests.web.conftest import Books, Visitor
from web import pages
from web.console import customer_payment

__all__ = ["house", "sandbox", "sandbox_process"]

VISA, DECLINED = "4111111111111111", "4000000000000002"
HTMX = {"HX-Request": "true"}


@pytest.fixture
def settings(sandbox: SandboxProcess, database_url: str, redis_url: str, tmp_path: Path) -> Settings:
    """Settings of a web process that has gateways; those of the house."""
    return settings_for(sandbox, database_url, redis_url, str(tmp_path / "keys.json"))


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No worker runs here: nobody waits for one."""
    monkeypatch.setattr(customer_payment, "POSTED_WITHIN", 0.0)


def opened(clerk: Visitor, customer: int, invoice: int | None = None) -> tuple[str, dict[str, str]]:
    """Open a window: its address, and what its form says as it is shown."""
    within = f"/invoices/{invoice}" if invoice else ""
    address = f"/console/customers/{customer}{within}/payment"
    clerk.get(clerk.get(address).headers["location"])
    return address, shown(clerk)


def shown(clerk: Visitor) -> dict[str, str]:
    """What the form of the page that was seen last would send, but for the token."""
    assert clerk.seen is not None
    inputs = [one for one in re.findall(r"<input [^>]*>", clerk.seen.text) if "name=" in one and "value=" in one]
    chosen = [one for one in inputs if ("checkbox" not in one and "radio" not in one) or one.endswith(" checked>")]
    fields = [re.findall(r'(?:name|value)="([^"]*)"', one) for one in chosen]
    return {"method": "check", **{name: value for name, value in fields if name not in ("csrf_token", "card_token")}}


def invoice_id(books: Books, number: str) -> int:
    return int(books.one("SELECT id FROM invoices WHERE number = :number", number=number))


def told(page: Any) -> str:
    """A page's words."""
    return " ".join(re.sub(r"<[^>]+>", " ", page.text).split())


def sealed(clerk: Visitor, number: str = VISA, **more: str) -> str:
    """The token of a card that is entered in the window that is open."""
    assert clerk.seen is not None
    [customer] = re.findall(r'data-customer="(\d+)"', clerk.seen.text)
    card = {"number": number, "expiry": "12/39", "security_code": "123", "name": "Ann Example", "customer": customer}
    card |= more
    answer = clerk.client.post("/v1/cards", json=card, headers={"X-CSRF-Token": clerk.token()})
    return str(answer.json()["token"])


def payment_of(answer: Any) -> int:
    assert answer.status_code == 303, told(answer)
    found = re.search(r"/console/payments/(\d+)/", answer.headers["location"])
    assert found, answer.headers["location"]
    return int(found[1])


def test_oldest_first(clerk: Visitor, books: Books) -> None:
    """R9: one sum over all that is owed, oldest first, shown by the server as one types; the rest becomes a credit."""
    customer = books.bill("C-1", {"A-1": 1000, "A-2": 500})
    address, form = opened(clerk, customer)
    assert form["amount"] == "15.00"
    part = clerk.client.post(
        address, data={"csrf_token": clerk.token(), **form, "amount": "12.00", "do": "preview"}, headers=HTMX
    )
    assert "<html" not in part.text
    words = told(part)
    assert re.search(r"A-1 \S+ 10.00 USD 10.00 USD A-2 \S+ 5.00 USD 2.00 USD", words)
    assert "Amount Applied 12.00 USD Becomes a Credit 0.00 USD" in words
    assert f"/console/customers/{customer}/invoices/{invoice_id(books, 'A-2')}/payment" in part.text
    more = told(clerk.post(address, **form | {"amount": "20.00", "do": "preview"}))
    assert "Amount Applied 15.00 USD Becomes a Credit 5.00 USD" in more
    assert books.one("SELECT count(*) FROM payments") == 0


def test_the_window_pays_what_it_showed(clerk: Visitor, books: Books, house: House) -> None:
    """R1, R3, R4: one check over two invoices, more than both: both are Paid, the rest is a credit with its note."""
    customer = books.bill("C-1", {"A-1": 1000, "A-2": 500}, name="Ann Example")
    address, form = opened(clerk, customer)
    payment = payment_of(clerk.post(address, **form | {"amount": "20.00", "number": "1007", "notes": "by the door"}))
    house.post()
    receipt = clerk.get(f"/console/payments/{payment}/receipt")
    words = told(receipt)
    assert re.search(r"A-1 \S+ 10.00 USD 0.00 USD Paid A-2 \S+ 5.00 USD 0.00 USD Paid", words)
    assert "Check 1007" in words
    assert f"Credit: 5.00 USD {books.one('SELECT note FROM credits')}" in words
    assert "by the door" not in receipt.text, "R6: notes are for the office"
    assert "by the door" in clerk.get(f"/console/customers/{customer}").text
    assert books.one("SELECT recorded_by FROM payments") == "ann"


def test_one_invoice_alone(clerk: Visitor, books: Books, house: House) -> None:
    """R1: from the Payment window of an invoice only that one is paid, though an older one is owed."""
    customer = books.bill("C-1", {"A-1": 1000, "A-2": 500})
    address, form = opened(clerk, customer, invoice_id(books, "A-2"))
    assert form["amount"] == "5.00"
    payment_of(clerk.post(address, **form | {"amount": "6.00"}))
    house.post()
    assert books.one("SELECT string_agg(balance_minor::text, ' ' ORDER BY number) FROM invoices") == "1000 0"
    assert books.one("SELECT balance_minor FROM credits") == 100
    assert "Nothing is owed on this invoice: it is paid." in told(clerk.get(f"{address}?key=form-{'a' * 20}"))


@pytest.mark.parametrize("days", [-40, 40])
def test_post_date(clerk: Visitor, books: Books, house: House, settings: Settings, days: int) -> None:
    """R5: today unless another day is given, back or forward; it is posted at once all the same."""
    customer = books.bill("C-1", {"A-1": 1000})
    address, form = opened(clerk, customer)
    zone = str(settings.business_time_zone)
    assert form["post_date"] == books.one("SELECT CAST((now() AT TIME ZONE :zone)::date AS text)", zone=zone)
    day = books.one("SELECT CAST(CAST(:today AS date) + :days AS text)", today=form["post_date"], days=days)
    payment_of(clerk.post(address, **form | {"post_date": day}))
    house.post()
    assert books.one("SELECT state || ' ' || post_date FROM payments") == f"posted {day}"


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"amount": "-5"}, "amount"),
        ({"amount": "0"}, "amount"),
        ({"amount": ""}, "amount"),
        ({"amount": "twelve"}, "amount"),
        ({"amount": "1.005"}, "amount"),
        ({"amount": "9" * 40}, "amount"),
        ({"method": "cash", "number": "7"}, "number"),
        ({"method": "barter"}, "method"),
        ({"post_date": "2026-02-30"}, "post_date"),
        ({"notes": VISA}, "notes"),
        ({"number": VISA}, "number"),
        ({"amount": VISA}, "amount"),
        ({"method": VISA}, "method"),
        ({"post_date": VISA}, "post_date"),
        ({"method": "credit_card"}, "card_number"),
        ({"method": "credit_card", "card_token": "card_nobody"}, "card_number"),
    ],
)
def test_faults_beside_their_fields(clerk: Visitor, books: Books, given: dict[str, str], field: str) -> None:
    """R6, C1: what is wrong is said beside its field; what was typed is kept, but for a card's number."""
    customer = books.bill("C-1", {"A-1": 1000})
    address, form = opened(clerk, customer)
    kept = {"amount": "7.77", "notes": "third time"} | given
    answer = clerk.post(address, **form | kept)
    assert answer.status_code == 422
    assert f'id="{field}-fault"' in answer.text
    assert f'href="#{field}"' in answer.text
    assert 'aria-invalid="true"' in answer.text
    assert VISA not in answer.text
    assert field == "notes" or "third time" in answer.text
    assert field == "amount" or 'value="7.77"' in answer.text
    assert books.one("SELECT count(*) FROM payments") == 0


def test_saved_once(clerk: Visitor, books: Books, house: House) -> None:
    """R15: a double click, Back and a reload make one payment; what was changed since is said not to be saved."""
    customer = books.bill("C-1", {"A-1": 1000})
    address, form = opened(clerk, customer)
    answers = [clerk.post(address, **form | {"amount": "4.00"}) for _ in range(2)]
    house.post()
    answers.append(clerk.post(address, **form | {"amount": "4.00"}))
    answers.append(clerk.post(address, **form | {"amount": "3.00"}))
    assert len({payment_of(answer) for answer in answers}) == 1
    assert "defray_flash" in answers[-1].headers["set-cookie"]
    assert "was saved already" in told(clerk.get(f"{address}?key={form['idempotency_key']}"))
    assert books.one("SELECT sum(total_minor) FROM payments") == 400
    assert opened(clerk, customer)[1]["idempotency_key"] != form["idempotency_key"]


def test_a_key_is_never_taken_for_a_card() -> None:
    """R15: a form's key has no digits, for a request whose key looks like a card number is refused."""
    assert not any(sign.isdigit() for sign in pages.form_key())


def test_nothing_owed_any_more(clerk: Visitor, books: Books, house: House) -> None:
    """R1: what somebody else paid meanwhile is refused, and kept as a credit where the clerk says so."""
    customer = books.bill("C-1", {"A-1": 1000})
    address, form = opened(clerk, customer)
    payment_of(clerk.post(address, **opened(clerk, customer)[1]))
    house.post()
    refused = clerk.post(address, **form)
    assert refused.status_code == 422
    assert 'name="as_credit"' in refused.text
    clerk.seen = refused
    payment_of(clerk.post(address, **form | shown(clerk), as_credit="yes"))
    house.post()
    assert books.one("SELECT balance_minor FROM credits") == 1000


def test_it_says_that_it_charges(clerk: Visitor, books: Books) -> None:
    """R7: before saving the page says that the customer's card will be charged, or that nothing is."""
    customer = books.bill("C-1", {"A-1": 1000})
    address, form = opened(clerk, customer)
    assert "will charge the customer’s card" in told(clerk.seen)
    assert 'name="card' not in re.sub(r'name="card_token"', "", clerk.seen.text if clerk.seen else "")
    token = sealed(clerk)
    answer = clerk.post(address, **form | {"method": "credit_card", "card_token": token, "amount": "x"})
    assert "Visa ending in 1111" in told(answer), "a stored card is kept by its token"
    other = clerk.post(address, **form | {"method": "credit_card", "card_token": token, "do": "other_card"})
    assert "ending in" not in told(other)
    assert books.one("SELECT wrapped_key FROM card_vault") is None, "C2: it was entered for nothing"


def test_card(clerk: Visitor, books: Books, house: House) -> None:
    """R8, C2: a card leads to its progress; approved, the receipt shows its last four, and its number is gone."""
    customer = books.bill("C-1", {"A-1": 1000})
    address, form = opened(clerk, customer)
    answer = clerk.post(address, **form | {"method": "credit_card", "card_token": sealed(clerk)})
    payment = payment_of(answer)
    assert answer.headers["location"] == f"/console/payments/{payment}/progress"
    assert clerk.get(f"/console/payments/{payment}/receipt").status_code == 404
    house.work()
    receipt = clerk.get(f"/console/payments/{payment}/receipt")
    assert "Credit card, Visa ending in 1111" in told(receipt)
    assert VISA not in receipt.text
    assert books.one("SELECT wrapped_key FROM card_vault") is None


def test_a_decline_says_what_to_tell(clerk: Visitor, books: Books, house: House) -> None:
    """Issue 4, window 5: a decline says what the clerk can tell the customer; nothing is applied."""
    customer = books.bill("C-1", {"A-1": 1000})
    address, form = opened(clerk, customer)
    token = sealed(clerk, DECLINED)
    payment = payment_of(clerk.post(address, **form | {"method": "credit_card", "card_token": token}))
    house.work()
    assert "You can tell the customer: Your bank declined" in told(clerk.get(f"/console/payments/{payment}/progress"))
    assert books.one("SELECT balance_minor FROM invoices") == 1000


def test_overlap(clerk: Visitor, books: Books) -> None:
    """R8a: a second card payment for what one under way pays is refused, and taken where the clerk means it."""
    customer = books.bill("C-1", {"A-1": 1000})
    address, form = opened(clerk, customer)
    by_card = {"method": "credit_card", "card_token": sealed(clerk)}
    first = payment_of(clerk.post(address, **form | by_card))
    _, form = opened(clerk, customer)
    assert "a payment is under way" in told(clerk.seen)
    refused = clerk.post(address, **form | by_card)
    assert refused.status_code == 422
    assert re.search(rf"{first} 10.00 USD Waits to be charged [0-9: -]+ ann", told(refused)), "which one, and whose"
    assert f'href="/console/payments/{first}"' in refused.text
    assert 'name="allow_overlap"' in refused.text
    assert "tick below if both are meant" in told(refused)
    payment_of(clerk.post(address, **form | by_card, allow_overlap="yes"))


@pytest.fixture
def unknown(clerk: Visitor, books: Books, house: House) -> int:
    """A customer whose card was charged, and the answer was lost."""
    customer = books.bill("C-1", {"A-1": 1000})
    address, form = opened(clerk, customer)
    house.sandbox.client.scenario(after=[reset()], operation="sale")
    payment_of(clerk.post(address, **form | {"method": "credit_card", "card_token": sealed(clerk)}))
    house.charge()
    assert books.one("SELECT state FROM gateway_transactions") == "unknown"
    return customer


def test_beside_an_unknown_outcome_a_clerk_waits(clerk: Visitor, books: Books, unknown: int) -> None:
    """B01, R8a: while an outcome is unknown no other card is charged for the same, whatever a clerk ticks or posts."""
    address, form = opened(clerk, unknown)
    by_card = {"method": "credit_card", "card_token": sealed(clerk, "4012888888881881")}
    for more in ({}, {"allow_overlap": "yes"}, {"allow_overlap": "yes", "allow_unknown": "yes"}):
        refused = clerk.post(address, **form | by_card | more)
        assert refused.status_code == 422
        assert "Outcome not known: the gateway is being asked" in told(refused)
        assert "A supervisor can charge it all the same" in told(refused)
        assert 'name="allow_unknown"' not in refused.text
    payment_of(clerk.post(address, **form))


def test_beside_an_unknown_outcome_a_supervisor_can_say_otherwise(
    new_visitor: Callable[[], Visitor], books: Books, unknown: int, house: House
) -> None:
    """R8a: a supervisor ticks that both may be charged; who did stands in the payment's history."""
    sue = new_visitor()
    sue.log_in("sue")
    address, form = opened(sue, unknown)
    by_card = {"method": "credit_card", "card_token": sealed(sue, "4012888888881881")}
    refused = sue.post(address, **form | by_card)
    assert refused.status_code == 422
    assert 'name="allow_unknown"' in refused.text
    assert "tick below that both may be charged" in told(refused)
    payment = payment_of(sue.post(address, **form | by_card, allow_unknown="yes"))
    what = "SELECT by FROM events WHERE payment_id = :id AND what = 'payment.allowed_although_unknown'"
    assert books.one(what, id=payment) == "sue"
    house.charge()
    assert books.one("SELECT state FROM payments WHERE id = :id", id=payment) == "posted"


def test_two_clerks_at_once(clerk: Visitor, new_visitor: Callable[[], Visitor], books: Books, house: House) -> None:
    """R3: what another clerk has just paid is no credit without a word: the window shows the new figures first."""
    customer = books.bill("C-1", {"A-1": 1000, "A-2": 500})
    address, form = opened(clerk, customer)
    sue = new_visitor()
    sue.log_in("sue")
    _, hers = opened(sue, customer, invoice_id(books, "A-1"))
    payment_of(sue.post(f"/console/customers/{customer}/invoices/{invoice_id(books, 'A-1')}/payment", **hers))
    house.post()
    refused = clerk.post(address, **form)
    assert refused.status_code == 422
    assert "The balance due changed while this window was open. It is 5.00 USD now" in told(refused)
    assert "Amount Applied 5.00 USD Becomes a Credit 10.00 USD" in told(refused)
    assert books.one("SELECT count(*) FROM payments") == 1
    clerk.seen = refused
    again = shown(clerk)
    assert again["idempotency_key"] == form["idempotency_key"]
    payment_of(clerk.post(address, **again | {"amount": "5.00"}))
    house.post()
    assert books.one("SELECT count(*) FROM credits") == 0
    late = clerk.post(address, **again | {"amount": "5.00"})
    assert late.status_code == 303, "R15: saved twice it is still the same payment, though it changed the balance"


def test_an_untouched_post_date_waits_for_the_approval(
    clerk: Visitor, books: Books, house: House, settings: Settings
) -> None:
    """R5: for a card the day of the approval counts, unless the clerk gave one, be it today's."""
    customer = books.bill("C-1", {"A-1": 1000})
    address, form = opened(clerk, customer)
    token = sealed(clerk)
    by_card = {"method": "credit_card", "amount": "1.00", "allow_overlap": "yes"}
    payment_of(clerk.post(address, **form | by_card | {"card_token": token}))
    _, form = opened(clerk, customer)
    given = {"post_date": "2026-03-31", "card_token": sealed(clerk)}
    payment_of(clerk.post(address, **form | by_card | given))
    assert (
        books.one("SELECT string_agg(coalesce(post_date::text, '-'), ' ' ORDER BY id) FROM payments") == "- 2026-03-31"
    )
    house.advance(days=2)
    house.work()
    zone = str(settings.business_time_zone)
    approved = books.one("SELECT CAST((posted_at AT TIME ZONE :zone)::date AS text) FROM payments LIMIT 1", zone=zone)
    days = books.one("SELECT string_agg(post_date::text, ' ' ORDER BY id) FROM payments")
    assert days == f"{approved} 2026-03-31"
    assert form["post_date"] < approved


@pytest.mark.parametrize("do", ["", "preview", "part"])
def test_a_card_number_in_any_field(clerk: Visitor, books: Books, do: str) -> None:
    """C1: wherever a card's number is typed or pasted it is refused beside its field, never shown again, never kept."""
    customer = books.bill("C-1", {"A-1": 1000})
    address, form = opened(clerk, customer)
    form |= {"notes": "", "card_token": "", "kept_card": "", "keep_card": "yes", "allow_overlap": "yes", "unheard": ""}
    beside = {"method", "number", "amount", "post_date", "notes"}
    for name in form:
        for canary in (VISA, "4111 1111 1111 1111", f"card {VISA} of Ann"):
            said = {**form, name: canary, **({"do": "preview"} if do else {}), "csrf_token": clerk.token()}
            headers = HTMX if do == "part" else {}
            answer = clerk.client.post(address, data=said, headers=headers, follow_redirects=False)
            assert answer.status_code == 422, name
            assert "ooks like a card number" in answer.text, name
            assert VISA not in answer.text.replace(" ", ""), name
            assert do == "part" or name not in beside or f'id="{name}-fault"' in answer.text, name
    named = clerk.post(address, **form, **{VISA: "x", "do": "preview"})
    assert VISA not in named.text
    assert books.one("SELECT count(*) FROM payments") == 0


def test_its_own_words(clerk: Visitor, books: Books) -> None:
    """Remedies say what a clerk can do in the window, never what a program would send."""
    customer = books.bill("C-1", {"A-1": 1000})
    address, form = opened(clerk, customer)
    seen = [
        clerk.post(address, **form | given)
        for given in (
            {"amount": ""},
            {"method": "barter"},
            {"method": "credit_card", "number": "7"},
            {"method": "credit_card"},
            {"idempotency_key": "x" * 300},
        )
    ]
    books.do("UPDATE invoices SET balance_minor = 0, state = 'paid'")
    seen.append(clerk.post(address, **form | {"balance_shown": "0"}))
    books.do("UPDATE invoices SET balance_minor = total_minor, state = 'pending'")
    for answer in seen:
        assert answer.status_code == 422
        assert not re.search(r"[a-z]+_[a-z]+", told(answer)), told(answer)
    assert "Tick below that it is kept as a credit" in told(seen[-1])


def test_two_currencies(clerk: Visitor, books: Books, house: House) -> None:
    """R14: a window is for one currency; the other one is a link away."""
    customer = books.bill("C-1", {"A-1": 1000, "A-2": 700})
    books.do("UPDATE invoices SET currency = 'EUR' WHERE number = 'A-1'")
    opened(clerk, customer)
    assert "A-1" in told(clerk.seen)
    assert "A-2" not in told(clerk.seen)
    clerk.get(clerk.get(f"/console/customers/{customer}/payment?currency=USD").headers["location"])
    assert "A-2" in told(clerk.seen)
    books.do("UPDATE invoices SET currency = 'USD' WHERE number = 'A-1'")


def test_nothing_owed(clerk: Visitor, books: Books) -> None:
    """Who owes nothing is told so, whatever currency the address names."""
    customer = books.bill("C-1")
    for currency in ("", "?currency=USD", "?currency=%3Cb%3E"):
        clerk.get(clerk.get(f"/console/customers/{customer}/payment{currency}").headers["location"])
        assert "Nothing is owed" in told(clerk.seen)


def test_rights(clerk: Visitor, books: Books, visitor: Visitor) -> None:
    """Without the session's token nothing is saved; without a session nothing is shown; no way by another customer."""
    customer, other = books.bill("C-1", {"A-1": 1000}), books.bill("C-2")
    invoice = invoice_id(books, "A-1")
    address, form = opened(clerk, customer)
    assert clerk.client.post(address, data=form, follow_redirects=False).status_code == 403
    assert clerk.get(f"/console/customers/{other}/invoices/{invoice}/payment").status_code == 404
    clerk.client.cookies.clear()
    for path in (address, f"/console/customers/{customer}/invoices/{invoice}/payment", "/console/payments/1/receipt"):
        answer = visitor.get(path)
        assert (answer.status_code, answer.headers["location"][:14]) == (303, "/console/login")
    assert books.one("SELECT count(*) FROM payments") == 0


def test_nothing_typed_becomes_markup(clerk: Visitor, books: Books, house: House) -> None:
    """Names, numbers and notes are shown as they are written, never as markup."""
    evil = "<script>alert(1)</script>"
    customer = books.bill("C-1", {evil: 1000}, name=evil)
    address, form = opened(clerk, customer)
    seen = [clerk.seen, clerk.post(address, **form | {"notes": evil, "number": f'"{evil}'[:30], "amount": evil})]
    payment = payment_of(clerk.post(address, **form | {"notes": evil}))
    house.post()
    seen += [clerk.get(path) for path in (f"/console/payments/{payment}/receipt", f"/console/customers/{customer}")]
    for page in seen:
        assert page is not None
        assert "<script>alert" not in page.text
        assert "&lt;script&gt;alert" in page.text
