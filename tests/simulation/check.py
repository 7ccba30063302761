"""What must hold after every step: the books by themselves (DESIGN 6), and what only the gateway's own books know."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row, text
from sqlalchemy.exc import IntegrityError

from books import audit
from rules import states
from rules.outcomes import Standing
from tests.simulation.gateway import APPEARS_WITHIN, REPLAY_WINDOW, Booked
from tests.simulation.world import WINDOW, Key, World


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


_WISHED: Final = "SELECT id FROM payments WHERE cancel_wish_by IS NOT NULL AND state = 'posted'"
_ANYTHING: Final = text(f"{_all_at_once()} OR EXISTS ({_WISHED})")
_SENT: Final = text("""
    SELECT t.*, p.caller, p.idempotency_key FROM gateway_transactions t JOIN payments p ON p.id = t.payment_id
    ORDER BY t.id""")
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
        self.before: dict[int, Row[Any]] = {}
        self.restored = 0

    def after_step(self) -> None:
        """Raises nothing: what is wrong is told to the world."""
        if not self.world.ground.changed:
            return
        self.world.ground.changed = False
        with self.world.ground.watcher.connect() as conn:
            if conn.execute(_ANYTHING).scalar_one():
                for finding in audit.audit(conn):
                    self.world.wrong(f"B2 {finding.invariant}: {finding.sentence}")
                for row in conn.execute(text(_WISHED)):
                    self.world.wrong(f"R13: payment {row.id} is posted, and somebody had wished to cancel it")
            sent = conn.execute(_SENT).all()
            self._charges()
            self._returns()
            if self.world.restored != self.restored:
                self.restored = self.world.restored
            else:
                self._sends(conn, sent)
            self.before = {one.id: one for one in sent}

    def _sends(self, conn: Connection, sent: Sequence[Row[Any]]) -> None:
        """What is about to be sent since the step before."""
        fresh = [one for one in sent if one.id not in self.before or one.sends > self.before[one.id].sends]
        begun = [one for one in fresh if one.operation == "sale" and one.state == "started"]
        if len(begun) > WINDOW:
            self.world.wrong(f"E1: {len(begun)} sales are started at once, and {WINDOW} connections are there")
        for one in fresh:
            if one.operation == "sale" and one.state in ("started", "unknown"):
                self._is_owed(conn, one)
            if one.id in self.before:
                self._may_be_sent_again(one, self.before[one.id])

    def _charges(self) -> None:
        """One charge: a request is charged once, however often it was made and whatever became of its payment's id."""
        charged: Counter[Key] = Counter()
        for booked in self.world.gateway.books:
            owner = self.world.owners.get(booked.reference)
            if booked.charged and owner is not None and not self._voided_and_forgotten(booked):
                charged[owner] += 1
            if booked.charged and booked.kept < 0:
                self.world.wrong(f"R17: more was returned of {booked.amount} than was charged")
        for key, times in charged.items():
            if times > 1 and key not in self.world.misled:
                self.world.wrong(f"one charge: the card of {key[1]} was charged {times} times")

    def _returns(self) -> None:
        """R17, E7: what was to be returned once is returned once, by whichever database sent it."""
        live = (one for one in self.world.gateway.books if one.operation == "refund" and not one.undone)
        returned = Counter(self.world.returns[one.reference] for one in live)
        for (reversal_id, _), times in returned.items():
            if times > 1:
                self.world.wrong(f"R17: what reversal {reversal_id} was to return was returned {times} times")

    def _voided_and_forgotten(self, booked: Booked) -> bool:
        """A restored database may not know of a void: what was returned may be charged again, where it is asked for."""
        return bool(self.world.restored) and booked.standing is Standing.VOIDED

    def _may_be_sent_again(self, one: Row[Any], before: Row[Any]) -> None:
        """E4: the same send again only once the first would be seen, and while the gateway would know it again."""
        now = self.world.now
        if one.operation != "void" and before.send_until + APPEARS_WITHIN > now:
            self.world.wrong(f"E4: the {one.operation} is sent again before the first could appear")
        if one.operation != "void" and one.started_at + REPLAY_WINDOW < now:
            self.world.wrong(f"E4: the {one.operation} is sent again when the gateway would not know it any more")

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
        if self.world.quarantined():
            self.world.wrong("liveness: the quarantine was not ended")
        with self.world.ground.watcher.connect() as conn:
            for row in conn.execute(_HANGING):
                self.world.wrong(f"liveness: {row.what}")
            for row in conn.execute(_DROPPED):
                self.world.wrong(f"E4: sale {row.id} is {row.state}, and the gateway had said that it was approved")
            self._agrees(conn)
        self._bars_a_second_sale()

    def _agrees(self, conn: Connection) -> None:
        known = {row.reference: row for row in conn.execute(_SENT)}
        alarmed = {row.payment_id for row in conn.execute(_ALARMED)}
        for booked in self.world.gateway.books:
            row = known.get(booked.reference)
            if row is None:
                if not self.world.restored or (booked.charged and booked.standing is not Standing.VOIDED):
                    self.world.wrong(f"the gateway has a {booked.operation} that the books do not know")
            elif not self._fits(booked, row) and not self._excused(row, alarmed):
                self.world.wrong(
                    f"the {booked.operation} of payment {row.payment_id} is {row.state} in the books, and the gateway"
                    f" has it as {'approved' if booked.charged else type(booked.outcome).__name__.lower()}; no alarm"
                )
        booked_now = conn.execute(_CLEARING).scalar_one()
        there = sum(one.kept for one in self.world.gateway.books)
        excused = alarmed or self.world.misled or self.world.by_hand
        if booked_now != there and not excused:
            self.world.wrong(f"clearing: the books have {booked_now}, the gateway has {there}, and no alarm was raised")

    def _excused(self, row: Row[Any], alarmed: set[int]) -> bool:
        """Somebody was told to look, or somebody said what was not so."""
        return row.payment_id in alarmed or (row.caller, row.idempotency_key) in self.world.misled

    @staticmethod
    def _fits(booked: Booked, row: Any) -> bool:
        if booked.operation == "sale":
            return not booked.charged or row.state in (states.Transaction.APPROVED, states.Transaction.SURPLUS)
        return True

    def _bars_a_second_sale(self) -> None:
        """E5: the database itself bars a second live sale of a payment, whatever program writes it."""
        with self.world.ground.sweeper.connect() as conn:
            try:
                doubled = conn.execute(_A_SECOND_SALE, {"reference": 1}).one_or_none()
            except IntegrityError as error:
                if "one_live_sale" not in str(error):
                    raise
                doubled = None
            conn.rollback()
        if doubled is not None:
            self.world.wrong("E5: the database took a second live sale of a payment")


_CLEARING: Final = text("SELECT coalesce(sum(amount_minor), 0) FROM postings WHERE account = 'clearing:payflow'")
_A_SECOND_SALE: Final = text("""
    INSERT INTO gateway_transactions (payment_id, operation, gateway, account, reference, amount_minor, currency, state,
                                      next_step, due_at, send_until, started_at)
    SELECT payment_id, operation, gateway, account, :reference, amount_minor, currency, 'started', 'inquire',
           started_at, started_at, started_at
    FROM gateway_transactions WHERE operation = 'sale' AND state = 'approved' ORDER BY id LIMIT 1 RETURNING id""")
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
    WHERE r.state IN ('refund_due', 'refunding') OR r.state IN ('voiding', 'refund_accepted')
      AND NOT EXISTS (SELECT FROM events e WHERE e.payment_id = r.payment_id AND e.what LIKE 'alarm.%')""")
_DROPPED: Final = text("""
    SELECT DISTINCT t.id, t.state FROM gateway_transactions t JOIN evidence e ON e.gateway_transaction_id = t.id
    WHERE t.operation = 'sale' AND t.state IN ('declined', 'failed') AND e.said->>'said' LIKE 'approved%'
      AND e.id > coalesce((SELECT max(w.id) FROM evidence w
                           WHERE w.gateway_transaction_id = t.id AND w.kind = 'person'), 0)""")
_ALARMED: Final = text("SELECT DISTINCT payment_id FROM events WHERE what LIKE 'alarm.%' AND payment_id IS NOT NULL")
