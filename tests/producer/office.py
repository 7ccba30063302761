"""What a producer's tests say and ask: customers, invoices, payments, and what the tables hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from sqlalchemy import Engine, text

from books import clock
from books.bill import NewCustomer, NewInvoice, record_customers, record_invoices
from producer import Producer
from rules.cards import Brand, Card
from rules.requests import PaymentRequest

GOOD_CARD = Card("4111111111111111", 12, 2039, "737", "Ann Example")
BILLED = date(2026, 1, 31)


@dataclass
class Bell:
    """A wake that notes what it was told, and whether what it speaks of was committed by then (B06)."""

    engine: Engine
    rung: list[tuple[str, int, str]] = field(default_factory=list)
    lanes: list[int] = field(default_factory=list)

    def batch(self, batch_id: int, step: str, lanes: int) -> None:
        """Somebody rang for a batch."""
        self._note("batch", batch_id, step)
        self.lanes.append(lanes)

    def payment(self, payment_id: int, step: str) -> None:
        """Somebody rang for one payment."""
        self._note("payment", payment_id, step)

    def _note(self, kind: str, id_: int, step: str) -> None:
        with self.engine.connect() as conn:
            column = "batch_id" if kind == "batch" else "id"
            due = text(f"SELECT count(*) FROM payments WHERE {column} = :id AND next_step = :step")
            assert conn.execute(due, {"id": id_, "step": step}).scalar_one(), "woken before the commit"
        self.rung.append((kind, id_, step))


@dataclass
class Office:
    """What a test says and asks: customers, invoices, payments, and what the tables hold."""

    engine: Engine
    producer: Producer
    bell: Bell

    def bill(self, customer: str, owed: Mapping[str, int], currency: str = "USD") -> None:
        """Make a customer known, with invoices by number and minor units, each older than the next."""
        with self.engine.begin() as conn:
            now = clock.now(conn)
            record_customers(conn, [NewCustomer(customer)], now, "test")
            record_invoices(
                conn,
                [
                    NewInvoice(customer, number, BILLED.replace(day=1 + place % 28), BILLED, currency, minor)
                    for place, (number, minor) in enumerate(owed.items())
                ],
                now,
                "test",
            )

    def pay(self, key: str, card: Card | None = None, **fields: object) -> Any:
        """Ask for a payment: by check, or by card if there is one."""
        asked: dict[str, object] = {
            "idempotency_key": key,
            "method": "credit_card" if card or "card_token" in fields else "check",
            "currency": "USD",
            "customer": "C-1",
            **fields,
        }
        return self.producer.pay(asked, card, caller="shop", by="ann")

    def submit(self, requests: Any, key: str = "batch-1", skip_bad: bool = False) -> Any:
        """Hand in a batch."""
        return self.producer.submit(
            requests, label="a batch", caller="shop", idempotency_key=key, by="ann", skip_bad=skip_bad
        )

    def rows(self, statement: str, **values: object) -> list[tuple[Any, ...]]:
        """What a query finds."""
        with self.engine.connect() as conn:
            return [tuple(row) for row in conn.execute(text(statement), values)]

    def count(self, table: str) -> int:
        """How many rows a table has."""
        [(count,)] = self.rows(f"SELECT count(*) FROM {table}")
        return int(count)

    def do(self, statement: str, **values: object) -> None:
        """Change the tables behind the producer's back."""
        with self.engine.begin() as conn:
            conn.execute(text(statement), values)


def route(brand: Brand, request: PaymentRequest) -> str | None:
    """Dollars are charged at a gateway, nothing else is."""
    return "payflow" if request.currency == "USD" else None
