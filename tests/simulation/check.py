"""What must hold after every step: the books by themselves (DESIGN 6), and what only the gateway's own books know."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from sqlalchemy import Connection, text

from books import audit
from rules import states
from tests.simulation.gateway import Booked
from tests.simulation.world import WINDOW, World


class _Listener:
    """Takes the queries of the audit down instead of running them."""

    def __init__(self) -> None:
        self.queries: list[str] = []

    def execute(self, statement: Any) -> _Listener:
        self.queries.append(str(statement))
        return self

    def all(self) -> list[Any]:
        return []


def _all_at_once() -> str:
    listener: Any = _Listener()
    for invariant in audit.INVARIANTS:
        list(invariant(listener))
    return "SELECT " + " OR ".join(f"EXISTS ({query})" for query in listener.queries)


_ANYTHING: Final = text(_all_at_once())
_SALES: Final = text("SELECT * FROM gateway_transactions WHERE operation = 'sale' ORDER BY id")
_OWED: Final = text("""
    SELECT p.id, p.total_minor, p.owed_at_request_minor, p.as_credit, p.allow_overlap,
           p.when_owed_less,
           coalesce((SELECT sum(i.balance_minor) FROM invoices i
            WHERE i.customer_id = p.customer_id AND i.state = 'pending'
              AND (p.invoice_ids IS NULL OR i.id = ANY(p.invoice_ids))), 0) AS owed,
           coalesce((SELECT sum(t.amount_minor) FROM payments o JOIN gateway_transactions t ON t.payment_id = o.id
            WHERE o.customer_id = p.customer_id AND o.id <> p.id AND t.operation = 'sale' AND t.id < :sale_id
              AND t.state IN ('started', 'unknown', 'review')
              AND (o.invoice_ids IS NULL OR p.invoice_ids IS NULL OR o.invoice_ids && p.invoice_ids)), 0) AS beside
    FROM payments p WHERE p.id = :id""")


class Checks:
    """Keeps what it saw at the step before, so that only what is new is looked at closely."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.sends: dict[int, int] = {}

    def after_step(self) -> None:
        """Raises nothing: what is wrong is told to the world."""
        if not self.world.ground.changed:
            return
        self.world.ground.changed = False
        with self.world.engine.connect() as conn:
            if conn.execute(_ANYTHING).scalar_one():
                for finding in audit.audit(conn):
                    self.world.wrong(f"B2 {finding.invariant}: {finding.sentence}")
            sales = conn.execute(_SALES).all()
            self._charges(sales)
            fresh = [sale for sale in sales if sale.sends > self.sends.get(sale.id, 0)]
            if len(fresh) > WINDOW:
                self.world.wrong(f"E1: {len(fresh)} sales are started at once, and {WINDOW} connections are there")
            for sale in fresh:
                self._is_owed(conn, sale)
            self.sends = {sale.id: sale.sends for sale in sales}

    def _charges(self, sales: Any) -> None:
        owners = {sale.reference: sale for sale in sales}
        charged: Counter[int] = Counter()
        for booked in self.world.gateway.books:
            sale = owners.get(booked.reference)
            if booked.charged and sale is not None:
                charged[sale.payment_id] += 1
            if booked.charged and booked.kept < 0:
                self.world.wrong(f"R17: more was returned of {booked.amount} than was charged")
        for payment_id, times in charged.items():
            if times > 1 and payment_id not in self.world.misled:
                self.world.wrong(f"one charge: the card of payment {payment_id} was charged {times} times")

    def _is_owed(self, conn: Connection, sale: Any) -> None:
        """R8: what is about to be sent is owed, and not promised to another charge under way."""
        fact = conn.execute(_OWED, {"id": sale.payment_id, "sale_id": sale.id}).one()
        excess = max(0, fact.total_minor - fact.owed_at_request_minor)
        beside = 0 if fact.allow_overlap else fact.beside
        if fact.as_credit or fact.when_owed_less == "charge_all":
            return
        if sale.amount_minor > max(0, fact.owed - beside) + excess:
            self.world.wrong(
                f"R8: {sale.amount_minor} is sent for payment {fact.id}, and {fact.owed} less {beside} is owed"
            )

    # ---- when everything has come to rest ---------------------------------------------------------------------------

    def at_the_end(self) -> None:
        """Faults are over, time has passed: nothing is left hanging, and the gateway's books agree."""
        with self.world.engine.connect() as conn:
            for finding in audit.audit(conn):
                self.world.wrong(f"B2 {finding.invariant}: {finding.sentence}")
            for row in conn.execute(_HANGING):
                self.world.wrong(f"liveness: {row.what}")
            for row in conn.execute(_DROPPED):
                self.world.wrong(f"E4: sale {row.id} is {row.state}, and the gateway had said that it was approved")
            self._agrees(conn)
            self._bars_a_second_sale(conn)

    def _agrees(self, conn: Connection) -> None:
        known = {row.reference: row for row in conn.execute(text("SELECT * FROM gateway_transactions"))}
        alarmed = {row.payment_id for row in conn.execute(_ALARMED)}
        for booked in self.world.gateway.books:
            row = known.get(booked.reference)
            if row is None:
                self.world.wrong(f"the gateway has a {booked.operation} that the books do not know")
            elif not self._fits(booked, row) and row.payment_id not in alarmed:
                self.world.wrong(
                    f"the {booked.operation} of payment {row.payment_id} is {row.state} in the books, and the gateway"
                    f" has it as {'approved' if booked.charged else type(booked.outcome).__name__.lower()}; no alarm"
                )
        booked_now = conn.execute(
            text("SELECT coalesce(sum(amount_minor), 0) FROM postings WHERE account = 'clearing:payflow'")
        ).scalar_one()
        there = sum(one.kept for one in self.world.gateway.books)
        if booked_now != there and not alarmed and not self.world.misled:
            self.world.wrong(f"clearing: the books have {booked_now}, the gateway has {there}, and no alarm was raised")

    @staticmethod
    def _fits(booked: Booked, row: Any) -> bool:
        if booked.operation == "sale":
            return not booked.charged or row.state in (states.Transaction.APPROVED, states.Transaction.SURPLUS)
        return True

    def _bars_a_second_sale(self, conn: Connection) -> None:
        """E5: the database itself bars a second live sale of a payment."""
        missing = conn.execute(_ONE_LIVE_SALE).scalar_one() is None
        if missing:
            self.world.wrong("E5: the database does not bar a second live sale of a payment")


_HANGING: Final = text("""
    SELECT 'payment ' || id || ' is still ' || state AS what FROM payments
    WHERE state IN ('requested', 'charging', 'retrying')
    UNION ALL
    SELECT 'payment ' || p.id || ' is in review, and nobody was told' FROM payments p
    WHERE p.state = 'review' AND p.reason = ''
    UNION ALL
    SELECT operation || ' ' || t.id || ' is still ' || t.state FROM gateway_transactions t
    WHERE t.state IN ('started', 'unknown') AND t.operation = 'sale'
      AND NOT EXISTS (SELECT FROM events e WHERE e.payment_id = t.payment_id AND e.what LIKE 'alarm.%')
    UNION ALL
    SELECT 'the reversal of payment ' || r.payment_id || ' is still ' || r.state FROM reversals r
    WHERE r.state IN ('voiding', 'refund_due', 'refunding', 'refund_accepted')
      AND NOT EXISTS (SELECT FROM events e WHERE e.payment_id = r.payment_id AND e.what LIKE 'alarm.%')""")
_DROPPED: Final = text("""
    SELECT DISTINCT t.id, t.state FROM gateway_transactions t JOIN evidence e ON e.gateway_transaction_id = t.id
    WHERE t.operation = 'sale' AND t.state IN ('declined', 'failed') AND e.said->>'said' LIKE 'approved%'""")
_ALARMED: Final = text("SELECT DISTINCT payment_id FROM events WHERE what LIKE 'alarm.%' AND payment_id IS NOT NULL")
_ONE_LIVE_SALE: Final = text("SELECT to_regclass('uq_gateway_transactions_one_live_sale')")
