"""The whole of Defray in one process: real tables, vault and gateways over HTTP; the tasks are called, not sent.

A test moves time with `advance` and lets the tasks work with `work`, as the sweeper would, until nothing is due.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Final, TypeVar

from sqlalchemy import Engine, text

from books import claim, clock, inquire, reverse, void
from books.bill import NewCustomer, NewInvoice, record_customers, record_invoices
from producer import Producer
from rules.cards import Card
from rules.routes import chooser
from sandbox.client import SandboxProcess
from settings import Settings, load
from tasks import charge, confirm, context, post, refund, sweep, watch
from tasks import inquire as inquire_task
from tasks import void as void_task
from tasks.context import Context
from worker.wake import Wake

T = TypeVar("T")
BILLED = date(2026, 1, 5)
VISA, AMEX = "4111111111111111", "378282246310005"


def card(number: str = VISA, code: str = "123") -> Card:
    """A card of the sandbox's."""
    return Card(number, 12, 2039, code, "Ann Example", street="1 Main St", postal_code="10001")


@dataclass
class Bell:
    """A wake that nobody hears: the tests look for what is due themselves, as after a flushed broker."""

    rung: list[tuple[str, ...]] = field(default_factory=list)

    def batch(self, batch_id: int, step: str, lanes: int) -> bool:
        """Somebody rang for a batch."""
        self.rung.append(("batch", str(batch_id), step))
        return True

    def payment(self, payment_id: int, step: str) -> bool:
        """Somebody rang for one payment."""
        self.rung.append(("payment", str(payment_id), step))
        return True


@dataclass
class House:
    """What a flow's story says and asks."""

    engine: Engine
    sandbox: SandboxProcess
    context: Context
    producer: Producer
    keys: Any = field(default_factory=lambda: map("key-{}".format, itertools.count(1)))

    def bill(self, customer: str, owed: Mapping[str, int], currency: str = "USD") -> None:
        """Make a customer known, with invoices by number and minor units, each older than the next."""
        with self.engine.begin() as conn:
            now = clock.now(conn)
            record_customers(conn, [NewCustomer(customer)], now, "test")
            new = [
                NewInvoice(customer, number, BILLED + timedelta(days=place), BILLED, currency, minor)
                for place, (number, minor) in enumerate(owed.items())
            ]
            record_invoices(conn, new, now, "test")

    def pay(self, amount: int, by_card: Card | None = None, customer: str = "C-1", **fields: Any) -> int:
        """Ask for a payment, by check or by card; its id."""
        asked = {
            "idempotency_key": next(self.keys),
            "method": "credit_card" if by_card or "card_token" in fields else "check",
            "currency": "USD",
            "customer": customer,
            "amount_minor": amount,
            **fields,
        }
        return self.producer.pay(asked, by_card, caller="shop", by="ann").payment_id

    def work(self) -> None:
        """Do what is due, until nothing is: what workers do when the sweeper wakes them for everything."""
        for _ in range(30):
            done = [self.charge(), self.post(), self.look_up(), *self.reverse()]
            if not any(done):
                return
        raise AssertionError("work does not end")

    def charge(self, batch_id: int | None = None, most: int = 1_000) -> int:
        """Charge what is due of a batch, else of all singles."""
        tally = charge.work(self.context, claim.Batch(batch_id) if batch_id else claim.Singles(), most)
        return tally.posted + tally.declined + tally.retrying + tally.review + tally.cancelled + tally.unknown

    def post(self, batch_id: int | None = None) -> int:
        """Post what is due of a batch, else of all singles."""
        return post.work(self.context, claim.Batch(batch_id) if batch_id else claim.Singles()).posted

    def look_up(self) -> int:
        """Look up what is due."""
        return inquire_task.work(self.context, None, 100)[0]

    def reverse(self) -> list[int]:
        """Void, confirm, refund and watch what is due."""
        return [len(task.work(self.context, None, 100)) for task in (void_task, confirm, refund, watch)]

    def void(self, payment_id: int, reason: str = "wrong customer", policy: str = "auto") -> void.Voided:
        """Void a payment."""
        with self.context.transaction() as (conn, now):
            return void.void(conn, payment_id, reason, policy, self.context.terms.today(now), now, "sue")

    def cancel(self, payment_id: int) -> bool:
        """Cancel a payment, or wish for it."""
        with self.context.transaction() as (conn, now):
            return void.cancel(conn, payment_id, "changed my mind", now, "sue")

    def approve_refund(self, payment_id: int) -> None:
        """Yes, return the amount to the card."""
        with self.context.transaction() as (conn, now):
            reverse.approve(conn, payment_id, self.context.terms.today(now), now, "sue")

    def keep(self, payment_id: int, apply_again: bool = False) -> None:
        """No, keep the amount."""
        with self.context.transaction() as (conn, now):
            reverse.keep(conn, payment_id, "as agreed", apply_again, self.context.terms.today(now), now, "sue")

    def resolve(self, payment_id: int, verdict: str) -> None:
        """A person says what became of a charge."""
        with self.context.transaction() as (conn, now):
            inquire.resolve(conn, payment_id, verdict, "asked the gateway's support", self.context.terms, now, "sue")

    def sweep(self) -> str:
        """Let the sweeper look."""
        return sweep.work(self.context)

    def advance(self, **by: float) -> None:
        """Move the clocks of the database and of the sandbox ahead."""
        ahead = timedelta(**by)
        self.do("UPDATE clock SET ahead = ahead + CAST(:ahead AS interval)", ahead=ahead)
        self.sandbox.client.advance(ahead.total_seconds())

    def payment(self, payment_id: int) -> Any:
        """The payment's row."""
        return self.row("SELECT * FROM payments WHERE id = :id", id=payment_id)

    def state(self, payment_id: int) -> str:
        """The payment's state."""
        return str(self.payment(payment_id).state)

    def invoices(self, customer: str = "C-1") -> dict[str, tuple[str, int]]:
        """State and balance due by invoice number."""
        rows = self.rows(
            "SELECT i.number, i.state, i.balance_minor FROM invoices i JOIN customers c ON c.id = i.customer_id"
            " WHERE c.number = :customer ORDER BY i.number",
            customer=customer,
        )
        return {row.number: (row.state, row.balance_minor) for row in rows}

    def credit(self, customer: str = "C-1") -> int:
        """What the customer has in credits."""
        return int(
            self.row(
                "SELECT coalesce(sum(k.balance_minor), 0) AS left FROM credits k JOIN customers c"
                " ON c.id = k.customer_id WHERE c.number = :customer",
                customer=customer,
            ).left
        )

    def sales(self, payment_id: int) -> list[str]:
        """The states of a payment's sales, in their order."""
        rows = self.rows(
            "SELECT state FROM gateway_transactions WHERE payment_id = :id AND operation = 'sale' ORDER BY id",
            id=payment_id,
        )
        return [row.state for row in rows]

    def reversal(self, payment_id: int) -> Any:
        """The payment's latest reversal."""
        return self.row("SELECT * FROM reversals WHERE payment_id = :id ORDER BY id DESC LIMIT 1", id=payment_id)

    def alarms(self) -> list[str]:
        """Alarms raised so far."""
        return [row.what for row in self.rows("SELECT what FROM events WHERE what LIKE 'alarm.%' ORDER BY id")]

    def ledger(self) -> dict[str, int]:
        """Balance of each account, in minor units; zeros are left out."""
        rows = self.rows("SELECT account, sum(amount_minor) AS balance FROM postings GROUP BY 1")
        return {row.account: int(row.balance) for row in rows if row.balance}

    def rows(self, statement: str, **values: object) -> list[Any]:
        """What a query finds."""
        with self.engine.connect() as conn:
            return list(conn.execute(text(statement), values))

    def row(self, statement: str, **values: object) -> Any:
        """The one row a query finds."""
        [row] = self.rows(statement, **values)
        return row

    def do(self, statement: str, **values: object) -> None:
        """Change the tables behind Defray's back."""
        with self.engine.begin() as conn:
            conn.execute(text(statement), values)


CREDENTIALS: Final[Mapping[str, Mapping[str, str]]] = {
    "payflow": {"USER": "sandbox", "VENDOR": "sandbox", "PASSWORD": "sandbox-secret"},
    "plugnpay": {"PUBLISHER_NAME": "pnpdemo", "PUBLISHER_PASSWORD": "sandbox-secret"},
    "stripe": {"SECRET_KEY": "sandbox-secret", "ACCOUNT": "acct_sandbox"},
    "paypal": {"CLIENT_ID": "sandbox", "CLIENT_SECRET": "sandbox-secret", "ACCOUNT": "paypal-sandbox"},
    "authorizenet": {"LOGIN_ID": "sandbox", "TRANSACTION_KEY": "sandbox-secret"},
}
"""The sandbox's credentials for each gateway."""


def all_at(gateway: str, sandbox: SandboxProcess) -> dict[str, str]:
    """Settings by which every card goes to one gateway, whichever; for `settings_for`."""
    told = {"URL": sandbox.url(gateway), **CREDENTIALS[gateway]}
    config = {f"DEFRAY_{gateway.upper()}_{key}": value for key, value in told.items()}
    return {"DEFRAY_GATEWAYS": gateway, "DEFRAY_CARD_ROUTES": f"*={gateway}", **config}


def settings_for(sandbox: SandboxProcess, database_url: str, redis_url: str, key_file: str, **more: str) -> Settings:
    """Settings of a house: both gateways, American Express goes to Plug'n Pay."""
    return load(
        {
            "DEFRAY_DATABASE_URL": database_url,
            "DEFRAY_REDIS_URL": redis_url,
            "DEFRAY_KEY_FILE": key_file,
            "DEFRAY_BUSINESS_TIME_ZONE": "America/New_York",
            "DEFRAY_GATEWAYS": "payflow,plugnpay",
            "DEFRAY_CARD_ROUTES": "amex=plugnpay,*=payflow",
            "DEFRAY_PAYFLOW_URL": sandbox.url("payflow"),
            "DEFRAY_PAYFLOW_USER": "sandbox",
            "DEFRAY_PAYFLOW_VENDOR": "sandbox",
            "DEFRAY_PAYFLOW_PASSWORD": "sandbox-secret",
            "DEFRAY_PLUGNPAY_URL": sandbox.url("plugnpay"),
            "DEFRAY_PLUGNPAY_PUBLISHER_NAME": "pnpdemo",
            "DEFRAY_PLUGNPAY_PUBLISHER_PASSWORD": "sandbox-secret",
            **more,
        }
    )


def build(engine: Engine, settings: Settings, sandbox: SandboxProcess) -> House:
    """Put a house together."""
    bell = Bell()
    built = context.build(settings, engine, Wake(settings.servers()[1]))
    producer = Producer(engine, built.vault, bell, chooser(settings.card_routes), settings.business_time_zone)
    return House(engine, sandbox, built, producer)


@contextmanager
def refused_by_the_database(house: House, table: str, condition: str) -> Iterator[None]:
    """Whatever fits the condition can't be written meanwhile."""
    house.do(f"ALTER TABLE {table} ADD CONSTRAINT poison CHECK (NOT ({condition})) NOT VALID")
    try:
        yield
    finally:
        house.do(f"ALTER TABLE {table} DROP CONSTRAINT poison")


def at_once(*acts: Callable[[], T]) -> list[T]:
    """Do all of it side by side, begun at one moment; errors are raised."""
    start = threading.Barrier(len(acts))

    def begin(act: Callable[[], T]) -> T:
        start.wait(10)
        return act()

    with ThreadPoolExecutor(len(acts)) as threads:
        return list(threads.map(begin, acts))
