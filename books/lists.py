"""Lists for programs: by ascending id, from after the last one that was seen, each page by index whatever the size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, text

from books.account import Customer
from rules.errors import NotFound, shown

_LAST: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list: at most so many with an id after this one."""

    after: int
    limit: int

    @property
    def _asked(self) -> dict[str, Any]:
        return {"after": self.after, "most": self.limit}


# ---- customers ------------------------------------------------------------------------------------------------------

_CUSTOMER: Final = "SELECT id, number, name, email, phone, created_at FROM customers"
BY_NUMBER = text(f"{_CUSTOMER} WHERE number = :number")
CUSTOMERS = text(f"{_CUSTOMER} WHERE id > :after AND id <= :last ORDER BY id LIMIT :most")


def customer(conn: Connection, number: str) -> Customer:
    """A customer by number. Raises NotFound."""
    row = conn.execute(BY_NUMBER, {"number": number}).one_or_none()
    if row is None:
        raise NotFound(f"There is no customer {shown(number)}.", "Compare the number; leading zeros count.")
    return Customer(**row._mapping)


def customers(conn: Connection, page: Page, only: int | None = None) -> list[Customer]:
    """All customers, or the one whose id is given."""
    after, last = (page.after, _LAST) if only is None else (max(page.after, only - 1), only)
    return [
        Customer(**row._mapping) for row in conn.execute(CUSTOMERS, {"after": after, "last": last, "most": page.limit})
    ]


# ---- invoices -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Invoice:
    """What is owed, by whom."""

    id: int
    customer: str
    number: str
    invoice_date: date
    due_date: date
    currency: str
    total_minor: int
    balance_minor: int
    state: str
    created_at: datetime


_INVOICE: Final = """
    SELECT i.id, c.number AS customer, i.number, i.invoice_date, i.due_date, i.currency, i.total_minor,
           i.balance_minor, i.state, i.created_at
    FROM invoices i JOIN customers c ON c.id = i.customer_id"""
_PAGE: Final = "i.id > :after ORDER BY i.id LIMIT :most"
_IN_STATE: Final = """(CAST(:state AS text) IS NULL OR i.state = :state)
    AND (CAST(:invoice_date_from AS date) IS NULL OR i.invoice_date >= :invoice_date_from)
    AND (CAST(:invoice_date_to AS date) IS NULL OR i.invoice_date <= :invoice_date_to)
    AND (CAST(:due_date_from AS date) IS NULL OR i.due_date >= :due_date_from)
    AND (CAST(:due_date_to AS date) IS NULL OR i.due_date <= :due_date_to)"""
NO_DAYS: Final = dict.fromkeys(("invoice_date_from", "invoice_date_to", "due_date_from", "due_date_to"))
"""No bounds for an invoice's dates."""
INVOICE = text(f"{_INVOICE} WHERE i.id = :id")
INVOICES = text(f"{_INVOICE} WHERE {_PAGE}")
# Ordered by what they are found by, too: else a plan may walk through all by id, passing over everybody else's.
OF_CUSTOMER = text(f"""
    {_INVOICE} WHERE (i.customer_id, i.id) > (:customer_id, :after) AND i.customer_id >= :customer_id
    AND i.customer_id <= :customer_id AND {_IN_STATE}
    ORDER BY i.customer_id, i.id LIMIT :most""")
OF_NUMBER = text(f"""
    {_INVOICE} WHERE (i.number, i.id) > (:number, :after) AND i.number <= :number
    ORDER BY i.number, i.id LIMIT :most""")
OF_BOTH = text(f"{_INVOICE} WHERE i.customer_id = :customer_id AND i.number = :number AND {_IN_STATE} AND {_PAGE}")


def invoice(conn: Connection, invoice_id: int, only: int | None = None) -> Invoice:
    """An invoice, of the customer `only` where that is given. Raises NotFound."""
    row = conn.execute(INVOICE, {"id": invoice_id}).one_or_none()
    if row is None or not _of(conn, row.customer, only):
        raise NotFound(f"There is no invoice {invoice_id}.", "Compare the id; it is not the invoice's number.")
    return Invoice(**row._mapping)


def invoices(
    conn: Connection,
    page: Page,
    customer_id: int | None = None,
    number: str | None = None,
    state: str | None = None,
    days: Mapping[str, date | None] = NO_DAYS,
) -> list[Invoice]:
    """All invoices, those of a customer (in a state, of some dates), those with a number, or the one with both."""
    asked = {**page._asked, **days, "customer_id": customer_id, "number": number, "state": state}
    if customer_id is not None:
        question = OF_CUSTOMER if number is None else OF_BOTH
    else:
        question = INVOICES if number is None else OF_NUMBER
    return [Invoice(**row._mapping) for row in conn.execute(question, asked)]


_NAMED = text("SELECT id, number FROM invoices WHERE customer_id = :id AND number = ANY(CAST(:numbers AS text[]))")


def invoice_ids(conn: Connection, customer_id: int, numbers: Sequence[str]) -> dict[str, int]:
    """The ids of a customer's invoices by their numbers, as far as there are such."""
    return {row.number: row.id for row in conn.execute(_NAMED, {"id": customer_id, "numbers": list(numbers)})}


# ---- payments -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Payment:
    """One payment as an upstream app sees it; without notes, which are for the office (R6)."""

    id: int
    customer: str
    batch_id: int | None
    idempotency_key: str
    method: str
    number: str | None
    currency: str
    total_minor: int
    recurring: bool
    attended: bool
    initiated_by: str | None
    run_on: date | None
    card_brand: str | None
    card_last_four: str | None
    state: str
    reason: str
    post_date: date | None
    charged_minor: int | None
    applied_minor: int
    credited_minor: int
    refunded_minor: int
    charged_back_minor: int
    attempts: int
    next_attempt_at: datetime | None
    recorded_at: datetime
    posted_at: datetime | None
    voided_at: datetime | None
    reversal_state: str | None
    declined_by: str | None  # the gateway of the latest charge, where a bank's no is why the payment stands as it does
    decline_code: str | None
    decline_class: str | None


_PAYMENT: Final = """
    SELECT p.id, c.number AS customer, p.batch_id, p.idempotency_key, p.method, p.number, p.currency, p.total_minor,
           p.recurring, p.attended, p.initiated_by, p.run_on, p.card_brand, p.card_last_four,
           p.state, p.reason, p.post_date, p.charged_minor,
           p.applied_minor,
           p.credited_minor, p.refunded_minor, p.charged_back_minor, p.attempts,
           CASE WHEN p.state = 'retrying' THEN p.due_at END AS next_attempt_at, p.recorded_at, p.posted_at, p.voided_at,
           (SELECT r.state FROM reversals r WHERE r.payment_id = p.id ORDER BY r.id DESC LIMIT 1) AS reversal_state,
           d.gateway AS declined_by, d.code AS decline_code, d.decline_class
    FROM payments p JOIN customers c ON c.id = p.customer_id
    LEFT JOIN LATERAL (
        SELECT t.gateway, t.code, t.decline_class FROM gateway_transactions t
        WHERE p.state IN ('declined', 'retrying') AND t.payment_id = p.id AND t.operation = 'sale'
        ORDER BY t.id DESC LIMIT 1
    ) d ON true"""
_WITHIN: Final = """(CAST(:state AS text) IS NULL OR {0}.state = :state)
    AND (CAST(:method AS text) IS NULL OR {0}.method = :method)
    AND (CAST(:recorded_from AS timestamptz) IS NULL OR {0}.recorded_at >= :recorded_from)
    AND (CAST(:recorded_to AS timestamptz) IS NULL OR {0}.recorded_at < :recorded_to)"""
_PAYMENT_PAGE: Final = "p.id > :after ORDER BY p.id LIMIT :most"
PAYMENT = text(f"{_PAYMENT} WHERE p.id = :id")
PAYMENTS = text(f"{_PAYMENT} WHERE {_PAYMENT_PAGE}")
PAYMENTS_OF_CUSTOMER = text(f"""
    {_PAYMENT} WHERE (p.customer_id, p.id) > (:customer_id, :after) AND p.customer_id >= :customer_id
    AND p.customer_id <= :customer_id AND {_WITHIN.format("p")}
    ORDER BY p.customer_id, p.id LIMIT :most""")
# One look into the index for each state: it holds the ids of a batch's state in their order.
PAYMENTS_OF_BATCH = text(f"""
    WITH some_of AS MATERIALIZED (
        SELECT f.id FROM unnest(CAST(:states AS text[])) AS s(state) CROSS JOIN LATERAL (
            SELECT id FROM payments AS b
            WHERE batch_id = :batch_id AND (state, id) > (s.state, :after) AND state <= s.state
              AND {_WITHIN.format("b")}
            ORDER BY state, id LIMIT :most) AS f
        ORDER BY f.id LIMIT :most)
    {_PAYMENT} WHERE p.id IN (SELECT id FROM some_of) ORDER BY p.id""")


def payment(conn: Connection, payment_id: int, only: int | None = None) -> Payment:
    """A payment, of the customer `only` where that is given. Raises NotFound."""
    row = conn.execute(PAYMENT, {"id": payment_id}).one_or_none()
    if row is None or not _of(conn, row.customer, only):
        raise NotFound(f"There is no payment {payment_id}.", "Compare the id.")
    return Payment(**row._mapping)


@dataclass(frozen=True, slots=True)
class Within:
    """Which of a customer's or a batch's payments; recorded at or after the one moment, before the other."""

    state: str | None = None
    method: str | None = None
    recorded_from: datetime | None = None
    recorded_to: datetime | None = None


EVERY: Final = Within()
"""All of them."""


def payments(conn: Connection, page: Page, customer_id: int | None = None, within: Within = EVERY) -> list[Payment]:
    """All payments, or some of a customer's."""
    asked = {**page._asked, "customer_id": customer_id, **asdict(within)}
    return _payments(conn.execute(PAYMENTS if customer_id is None else PAYMENTS_OF_CUSTOMER, asked).all())


OF_KEY = text(f"{_PAYMENT} WHERE p.caller = :caller AND p.idempotency_key = :key AND {_PAYMENT_PAGE}")


def payments_of_key(conn: Connection, page: Page, caller: str, key: str) -> list[Payment]:
    """The payment that a caller made under an idempotency key, if any (R15)."""
    return _payments(conn.execute(OF_KEY, {**page._asked, "caller": caller, "key": key}).all())


def payments_of_batch(
    conn: Connection, page: Page, batch_id: int, states: Sequence[str], within: Within = EVERY
) -> list[Payment]:
    """A batch's payments in some states."""
    asked = {**page._asked, "batch_id": batch_id, "states": list(states), **asdict(within)}
    return _payments(conn.execute(PAYMENTS_OF_BATCH, asked).all())


def _payments(rows: Sequence[Row[Any]]) -> list[Payment]:
    return [Payment(**row._mapping) for row in rows]


# ---- credits and batches --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Credit:
    """What a payment exceeded the balance due by."""

    id: int
    payment_id: int
    currency: str
    amount_minor: int
    balance_minor: int
    taken_back_minor: int
    note: str
    created_at: datetime


# The two indexes of credits, that with something left and that of what is used up, one after the other.
CREDITS = text("""
    SELECT id, payment_id, currency, amount_minor, balance_minor, taken_back_minor, note, created_at FROM (
        (SELECT * FROM credits WHERE customer_id = :customer_id AND balance_minor > 0 AND id > :after
         ORDER BY id LIMIT :most)
        UNION ALL
        (SELECT * FROM credits WHERE customer_id = :customer_id AND balance_minor = 0 AND id > :after
         ORDER BY id LIMIT :most)) AS found
    ORDER BY id LIMIT :most""")


def credits_of(conn: Connection, page: Page, customer_id: int) -> list[Credit]:
    """A customer's credits, used up ones, too."""
    return [Credit(**row._mapping) for row in conn.execute(CREDITS, {**page._asked, "customer_id": customer_id})]


@dataclass(frozen=True, slots=True)
class Application:
    """What of a credit was applied to an invoice, and what of that was taken back."""

    id: int
    credit_id: int
    invoice_id: int
    invoice: str
    amount_minor: int
    reversed_minor: int
    created_at: datetime
    reversed_at: datetime | None


_APPLICATION: Final = """
    SELECT a.id, a.credit_id, a.invoice_id, i.number AS invoice, a.amount_minor, a.reversed_minor, a.created_at,
           a.reversed_at
    FROM allocations a JOIN invoices i ON i.id = a.invoice_id"""
APPLICATIONS = text(f"{_APPLICATION} WHERE a.credit_id = :credit_id AND a.id > :after ORDER BY a.id LIMIT :most")
_ONE_APPLICATION = text(f"{_APPLICATION} WHERE a.id = :id")
_OWNER = text("SELECT customer_id FROM credits WHERE id = :id")
_LATEST_OF = text("""
    SELECT a.credit_id, a.invoice_id, max(a.id) AS id FROM allocations a
    WHERE a.credit_id = ANY(CAST(:credits AS bigint[])) GROUP BY 1, 2""")


def applications(conn: Connection, page: Page, credit_id: int, only: int | None = None) -> list[Application]:
    """What a credit was applied to. Raises NotFound, also where it is not of the customer `only`."""
    owner = conn.execute(_OWNER, {"id": credit_id}).scalar_one_or_none()
    if owner is None or only not in (None, owner):
        raise NotFound(f"There is no credit {credit_id}.", "Compare the id.")
    found = conn.execute(APPLICATIONS, {**page._asked, "credit_id": credit_id})
    return [Application(**row._mapping) for row in found]


def application(conn: Connection, application_id: int) -> Application:
    """One application that is known to be there."""
    return Application(**conn.execute(_ONE_APPLICATION, {"id": application_id}).one()._mapping)


def latest_applications(conn: Connection, credit_ids: Sequence[int]) -> dict[tuple[int, int], int]:
    """The id of the latest application of each of these credits to each invoice."""
    found = conn.execute(_LATEST_OF, {"credits": list(credit_ids)})
    return {(row.credit_id, row.invoice_id): row.id for row in found}


@dataclass(frozen=True, slots=True)
class Batch:
    """Payments that were handed in together."""

    id: int
    caller: str
    label: str
    state: str
    created_at: datetime


_BATCH = text("SELECT id, caller, label, state, created_at FROM batches WHERE id = :id")


def batch(conn: Connection, batch_id: int, caller: str | None = None) -> Batch:
    """A batch, one that `caller` handed in where that is given. Raises NotFound."""
    row = conn.execute(_BATCH, {"id": batch_id}).one_or_none()
    if row is None or caller not in (None, row.caller):
        raise NotFound(f"There is no batch {batch_id}.", "Compare the id.")
    return Batch(**row._mapping)


BATCHES = text("""
    SELECT id, caller, label, state, created_at FROM batches
    WHERE id > :after AND (CAST(:caller AS text) IS NULL OR caller = :caller) ORDER BY id LIMIT :most""")


def batches(conn: Connection, page: Page, caller: str | None = None) -> list[Batch]:
    """All batches, or those that `caller` handed in."""
    return [Batch(**row._mapping) for row in conn.execute(BATCHES, {**page._asked, "caller": caller})]


_IS = text("SELECT EXISTS (SELECT FROM customers WHERE number = :number AND id = :id)")


def _of(conn: Connection, number: str, only: int | None) -> bool:
    return only is None or bool(conn.execute(_IS, {"number": number, "id": only}).scalar_one())
