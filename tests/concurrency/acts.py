"""One customer's money, made anew for each run, and what people and workers do to it at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

from books import clock, credit, refund, void
from books.bill import NewCustomer, NewInvoice, record_customers, record_invoices
from books.claim import Batch, Single
from books.void_invoice import void_invoice
from rules.errors import DefrayError
from tasks import charge, post
from tasks import refund as refund_task
from tasks import void as void_task
from tests.concurrency.stage import ACTING, Stage

BILLED: Final = date(2026, 1, 5)
INVOICES: Final = {"A": 3000, "B": 5000, "C": 4000, "D": 2500, "E": 7000}


@dataclass
class Copy:
    """A customer like all others: five invoices, of which A is paid by card, B in part by check, and a credit.

    The credit comes from a check over more than invoice X owed, and a part of it has paid something of C.
    """

    stage: Stage
    number: str
    id: int
    card: str
    payments: dict[str, int]
    invoices: dict[str, int]
    application: int = 0

    def request(self, name: str, method: str, amount: int, **more: object) -> dict[str, object]:
        """What is asked for; `name` is its key here."""
        return {
            "idempotency_key": self.key(name),
            "method": method,
            "currency": "USD",
            "customer": self.number,
            "amount_minor": amount,
            **more,
        }

    def key(self, name: str) -> str:
        """An idempotency key of this copy's."""
        return f"{self.number}/{name}"

    def pay(self, name: str, amount: int, **more: object) -> int:
        """By check: recorded, then posted."""
        paid = self.stage.producer.pay(self.request(name, "check", amount, **more), caller="race", by="ann").payment_id
        self.stage.pause()
        post.work(self.stage.context, Single(paid))
        return paid

    def charge(self, name: str, amount: int, **more: object) -> int:
        """By card: recorded, then charged."""
        asked = self.request(name, "credit_card", amount, card_token=self.card, **more)
        paid = self.stage.producer.pay(asked, caller="race", by="ann").payment_id
        self.stage.pause()
        charge.work(self.stage.context, Single(paid), 1)
        return paid


def new_copy(stage: Stage, card: str) -> Copy:
    """The customer as it is before anybody acts."""
    number = f"C-{stage.new_number():06}"
    with stage.engine.begin() as conn:
        now = clock.now(conn)
        [customer] = record_customers(conn, [NewCustomer(number)], now, "race")
        new = [
            NewInvoice(number, name, BILLED + timedelta(days=place), BILLED, "USD", minor)
            for place, (name, minor) in enumerate([*INVOICES.items(), ("X", 1000)])
        ]
        kept: list[Any] = record_invoices(conn, new, now, "race")
    invoices = {one.number: row.id for one, row in zip(new, kept, strict=True)}
    copy = Copy(stage, number, customer.id, card, {}, invoices)
    copy.payments["card"] = copy.charge("card", 3000, invoices=["A"])
    copy.payments["part"] = copy.pay("part", 2000, invoices=["B"])
    copy.payments["over"] = copy.pay("over", 2800, invoices=["X"])
    with stage.context.transaction() as (conn, now):
        today = stage.context.terms.today(now)
        credit.apply_to_invoices(conn, copy.id, "USD", [invoices["D"]], today, now, "race")
    [used] = stage.rows(
        "SELECT a.id FROM allocations a JOIN credits c ON c.id = a.credit_id WHERE c.customer_id = :id", id=copy.id
    )
    copy.application = used.id
    return copy


Act = Callable[[Copy], object]


def _a_payment(copy: Copy) -> None:
    copy.pay("one", 6500)


def _another_payment(copy: Copy) -> None:
    copy.pay("two", 5500, invoices=["E", "B"])


def _a_charge(copy: Copy) -> None:
    copy.charge("charged", 4000, invoices=["C", "E"], when_owed_less="charge_reduced")


def _a_void(copy: Copy) -> None:
    with copy.stage.context.transaction() as (conn, now):
        void.void(conn, copy.payments["over"], "wrong", "auto", copy.stage.context.terms.today(now), now, "sue")


def _a_card_void(copy: Copy) -> None:
    with copy.stage.context.transaction() as (conn, now):
        void.void(conn, copy.payments["card"], "wrong", "auto", copy.stage.context.terms.today(now), now, "sue")
    void_task.work(copy.stage.context, copy.payments["card"], 1)


def _a_refund(copy: Copy) -> None:
    with copy.stage.context.transaction() as (conn, now):
        refund.ask(conn, copy.payments["card"], 1200, "broken", now, "sue")
    refund_task.work(copy.stage.context, copy.payments["card"], 1)


def _credits_applied(copy: Copy) -> None:
    with copy.stage.context.transaction() as (conn, now):
        credit.apply_to_invoices(conn, copy.id, "USD", None, copy.stage.context.terms.today(now), now, "sue")


def _a_credit_taken_back(copy: Copy) -> None:
    with copy.stage.context.transaction() as (conn, now):
        credit.take_back(conn, copy.application, "wrong", copy.stage.context.terms.today(now), now, "sue")


def _an_import(copy: Copy) -> None:
    rows = [
        copy.request("row 1", "check", 1500, invoices=["C"]),
        copy.request("row 2", "cash", 900),
        copy.request("row 3", "money_order", 2600, invoices=["D", "E"]),
    ]
    told = {"label": "a file", "caller": "race", "idempotency_key": copy.key("file"), "by": "ann", "skip_bad": True}
    receipt = copy.stage.producer.submit(rows, **told)  # type: ignore[arg-type]
    copy.stage.pause()
    if receipt.batch_id is not None:
        post.work(copy.stage.context, Batch(receipt.batch_id))
        post.work(copy.stage.context, Batch(receipt.batch_id, patient=True))


def _an_invoice_voided(copy: Copy) -> None:
    with copy.stage.context.transaction() as (conn, now):
        void_invoice(conn, copy.invoices["E"], "never sent", now, "sue")


def _an_invoice_issued(copy: Copy) -> None:
    with copy.stage.context.transaction() as (conn, now):
        record_invoices(conn, [NewInvoice(copy.number, "F", date(2025, 12, 1), BILLED, "USD", 1100)], now, "ann")


ACTS: Final[Mapping[str, Act]] = {
    "a payment": _a_payment,
    "another payment": _another_payment,
    "a charge": _a_charge,
    "a void": _a_void,
    "a void of the charge": _a_card_void,
    "a refund": _a_refund,
    "credits applied": _credits_applied,
    "a credit taken back": _a_credit_taken_back,
    "an import": _an_import,
    "an invoice voided": _an_invoice_voided,
    "an invoice issued": _an_invoice_issued,
}


def done(name: str, copy: Copy) -> str:
    """Do an act; what its user was told. Whatever is no refusal is raised."""
    token = ACTING.set(name)
    try:
        ACTS[name](copy)
    except DefrayError as refusal:
        return f"{type(refusal).__name__}: {refusal.message.replace(copy.number, 'C')}"
    finally:
        ACTING.reset(token)
    return "done"


# ---- what one sees of a copy afterwards, whatever ids it has --------------------------------------------------------

_NAME: Final = "split_part(p.idempotency_key, '/', 2)"
_SEEN: Final = {
    "invoices": "SELECT number, state, total_minor, balance_minor FROM invoices WHERE customer_id = :id",
    "payments": f"""
        SELECT {_NAME} AS key, state, applied_minor, credited_minor, charged_minor, refunded_minor, next_step
        FROM payments p WHERE customer_id = :id""",
    "allocations": f"""
        SELECT {_NAME} AS key, a.credit_id IS NOT NULL AS by_credit, i.number, a.amount_minor, a.reversed_minor
        FROM allocations a JOIN invoices i ON i.id = a.invoice_id
        LEFT JOIN credits c ON c.id = a.credit_id JOIN payments p ON p.id = coalesce(a.payment_id, c.payment_id)
        WHERE i.customer_id = :id""",
    "credits": f"""
        SELECT {_NAME} AS key, c.amount_minor, c.balance_minor, c.taken_back_minor
        FROM credits c JOIN payments p ON p.id = c.payment_id WHERE c.customer_id = :id""",
    "journal": f"""
        SELECT {_NAME} AS key, j.kind, j.currency, j.accounts, j.amounts_minor
        FROM journal j LEFT JOIN payments p ON p.id = j.payment_id WHERE j.customer_id = :id""",
    "gateway": f"""
        SELECT {_NAME} AS key, t.operation, t.state, t.amount_minor
        FROM gateway_transactions t JOIN payments p ON p.id = t.payment_id WHERE p.customer_id = :id""",
    "reversals": f"""
        SELECT {_NAME} AS key, r.purpose, r.state, r.amount_minor, r.next_step
        FROM reversals r JOIN payments p ON p.id = r.payment_id WHERE p.customer_id = :id""",
    "events": f"""
        SELECT {_NAME} AS key, e.what, i.number, e.from_state, e.to_state
        FROM events e LEFT JOIN payments p ON p.id = e.payment_id LEFT JOIN invoices i ON i.id = e.invoice_id
        WHERE e.customer_id = :id""",
}

Seen = dict[str, list[str]]
"""A copy without its ids: tables, each as sorted lines; and what every user was told."""


def seen(copy: Copy, told: Mapping[str, str]) -> Seen:
    """What there is to see of a copy at the end."""
    tables = {name: sorted(map(str, copy.stage.rows(query, id=copy.id))) for name, query in _SEEN.items()}
    named = f"SELECT id, {_NAME} AS key FROM payments p WHERE customer_id = :id"
    ids = {str(row.id): f"({row.key})" for row in copy.stage.rows(named, id=copy.id)}
    words = [f"{name}: {_without(ids, said)}" for name, said in sorted(told.items())]
    return {**tables, "told": words}


def _without(ids: Mapping[str, str], said: str) -> str:
    for number, name in ids.items():
        said = said.replace(number, name)
    return said
