"""Taking a customer's personal data out of the tables; the books stay as they are (docs/retention.md).

Names, addresses, notes, reasons that people wrote, gateways' words and what is shown of cards become "erased customer
12". Money, dates, states, numbers of customers and invoices, keys, references and the journal stay: who keeps books
must keep them. A customer of whom anything is open is refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Row, text

from books import claim, gateway_cards
from books.history import tell
from rules.errors import MoveRefused, NotFound, shown

LIMITS_LOOK_BACK: Final = timedelta(days=30)
"""So long the networks' limits count attempts by a card's keyed fingerprint (R16): so long it stays at its attempts."""


@dataclass(frozen=True, slots=True)
class Erasure:
    """Whose personal data was taken out, when, why and by whom: the line of a record that is kept with backups."""

    customer: str
    customer_id: int
    reason: str
    erased_at: datetime
    erased_by: str


class StillOpen(MoveRefused):
    """Something of the customer is not finished; `open` says what, a sentence each."""

    def __init__(self, customer: str, open_still: Sequence[str]) -> None:
        self.open = tuple(open_still)
        listed = "".join(f"\n  {one}" for one in self.open)
        super().__init__(f"Customer {shown(customer)} cannot be erased yet:{listed}", "\nEnd these first.")


def mark(customer_id: int) -> str:
    """What stands where something was erased."""
    return f"erased customer {customer_id}"


# ---- what is open ---------------------------------------------------------------------------------------------------

_PAYMENTS: Final = "SELECT id FROM payments WHERE customer_id = :id"
_OPEN: Final = tuple(
    (text(f"SELECT v.said FROM ({question}) AS v(said) LIMIT 20"), words)
    for words, question in {
        "Payment {} is not final.": """
            SELECT id || ' (' || state || ')' FROM payments WHERE customer_id = :id
            AND state NOT IN ('posted', 'declined', 'cancelled', 'voided') ORDER BY id""",
        "The outcome of the {} is not known.": f"""
            SELECT operation || ' of payment ' || payment_id FROM gateway_transactions
            WHERE payment_id IN ({_PAYMENTS}) AND (state IN ('started', 'unknown', 'review') OR next_step IS NOT NULL)
            ORDER BY id""",
        "Money of {} is on its way back, or waits for a person.": f"""
            SELECT 'payment ' || payment_id || ' (' || state || ')' FROM reversals WHERE payment_id IN ({_PAYMENTS})
            AND state NOT IN ('voided', 'refunded', 'kept') AND (purpose, state) <> ('refund', 'failed') ORDER BY id""",
        "Dispute {} is open.": f"""
            SELECT id || ' of payment ' || payment_id FROM disputes WHERE payment_id IN ({_PAYMENTS})
            AND state = 'open' ORDER BY id""",
        "A second person has not decided on payment {}.": f"""
            SELECT payment_id::text FROM proposals
            WHERE payment_id IN ({_PAYMENTS}) AND decision IS NULL ORDER BY id""",
        "A receipt of payment {} is still to be mailed.": f"""
            SELECT payment_id::text FROM mails
            WHERE payment_id IN ({_PAYMENTS}) AND next_step IS NOT NULL ORDER BY id""",
        "Credit {} is not used up: apply it, or return the money.": """
            SELECT id || ' (' || currency || ')' FROM credits
            WHERE customer_id = :id AND balance_minor > 0 ORDER BY id""",
        "Invoice {} is not paid: collect it, or void it.": """
            SELECT number FROM invoices WHERE customer_id = :id AND state IN ('draft', 'pending') ORDER BY id""",
        "Schedule {} goes on: stop it.": """
            SELECT id || ' (' || state || ')' FROM schedules
            WHERE customer_id = :id AND state <> 'ended' ORDER BY id""",
        "The API key {} is for this customer: revoke it.": """
            SELECT name FROM api_keys WHERE customer_id = :id AND revoked_at IS NULL ORDER BY id""",
        "Webhook endpoint {} is for this customer: delete it.": """
            SELECT id::text FROM webhook_endpoints WHERE customer_id = :id AND state <> 'deleted' ORDER BY id""",
    }.items()
)


def what_is_open(conn: Connection, customer_id: int) -> Iterator[str]:
    """Why the customer cannot be erased yet, a sentence each; nothing where it can."""
    for question, words in _OPEN:
        for said in conn.scalars(question, {"id": customer_id}):
            yield words.format(said)


# ---- erasing --------------------------------------------------------------------------------------------------------

_CUSTOMER = text("SELECT id, number FROM customers WHERE number = :number")
_RECORD = text("""
    INSERT INTO erasures (customer_id, reason, erased_at, erased_by) VALUES (:id, :reason, :first, :by)
    ON CONFLICT (customer_id) DO UPDATE SET ended_at = NULL""")
_ENDED = text("UPDATE erasures SET ended_at = :now WHERE customer_id = :id")
_TOKENS = text("""
    SELECT card_token FROM payments WHERE customer_id = :id AND card_token IS NOT NULL
    UNION SELECT token FROM kept_cards WHERE customer_id = :id
    UNION SELECT card_token FROM schedules WHERE customer_id = :id""")
_ANSWERED = text("UPDATE api_answers SET body = :body WHERE key_id = :key_id AND idempotency_key = :key")

# No index leads to these. They are looked for before anything is locked or written: a transaction that has written
# holds the feed back (books.feed) for as long as it lasts.
_SOUGHT: Final = {
    "events": text("""
        SELECT id FROM events WHERE customer_id = :id AND payment_id IS NULL AND (why <> '' OR details IS NOT NULL)"""),
    "notices": text(f"""
        SELECT n.id FROM notices n JOIN gateway_transactions t ON t.id = n.gateway_transaction_id
        WHERE t.payment_id IN ({_PAYMENTS})"""),
    "report_lines": text(f"SELECT id FROM report_lines WHERE payment_id IN ({_PAYMENTS})"),
}
_ANSWERS = text("""
    SELECT key_id, idempotency_key, body FROM api_answers WHERE position(CAST(:number AS text) IN body) > 0""")

_TRANSACTIONS: Final = f"SELECT id FROM gateway_transactions WHERE payment_id IN ({_PAYMENTS})"
_EVENTS: Final = f"SELECT id FROM events WHERE payment_id IN ({_PAYMENTS})"
ERASED: Final = {
    "customers": ("name = :mark, email = NULL, phone = NULL, erased_at = coalesce(erased_at, :first)", "id = :id"),
    "payments": (
        """notes = '', reason = CASE reason WHEN '' THEN '' ELSE :mark END, card_brand = NULL, card_last_four = NULL,
           card_exp_month = NULL, card_exp_year = NULL, card_fingerprint = NULL,
           void_reason = CASE WHEN void_reason IS NOT NULL THEN :mark END""",
        "customer_id = :id",
    ),
    "gateway_transactions": (
        """message = CASE message WHEN '' THEN '' ELSE :mark END,
           card_fingerprint = CASE WHEN started_at > :counted_since THEN card_fingerprint END""",
        f"payment_id IN ({_PAYMENTS})",
    ),
    "reversals": ("reason = :mark", f"payment_id IN ({_PAYMENTS})"),
    "proposals": ("reason = :mark", f"payment_id IN ({_PAYMENTS})"),
    "disputes": (
        "reason = :mark, ended_why = CASE WHEN ended_why IS NOT NULL THEN :mark END",
        f"payment_id IN ({_PAYMENTS})",
    ),
    "mails": ("address = :mark, said = ''", f"payment_id IN ({_PAYMENTS})"),
    "kept_cards": (
        """last_four = '', fingerprint = '', removed_at = coalesce(removed_at, :now),
           removed_by = coalesce(removed_by, :by)""",
        "customer_id = :id",
    ),
    "card_notices": (
        "said = '', state = CASE state WHEN 'due' THEN 'failed' ELSE state END, next_step = NULL, due_at = NULL",
        "kept_card_id IN (SELECT id FROM kept_cards WHERE customer_id = :id)",
    ),
    "schedules": ("notes = '', reason = CASE reason WHEN '' THEN '' ELSE :mark END", "customer_id = :id"),
    "schedule_runs": (
        "why = CASE why WHEN '' THEN '' ELSE :mark END",
        "schedule_id IN (SELECT id FROM schedules WHERE customer_id = :id)",
    ),
    "customer_holds": ("reason = :mark", "customer_id = :id"),
    "notices": (
        "said = jsonb_build_object('erased', CAST(:mark AS text)), why = ''",
        "id = ANY(CAST(:notices AS bigint[])) AND state <> 'waiting'",
    ),
    "report_lines": ("said = :mark", "id = ANY(CAST(:report_lines AS bigint[]))"),
    "webhook_attempts": (
        "said = ''",
        f"""delivery_id IN (
            SELECT d.id FROM webhook_endpoints w JOIN webhook_deliveries d ON d.endpoint_id = w.id
            WHERE d.event_id IN ({_EVENTS}))""",
    ),
    "evidence": (
        "said = jsonb_build_object('erased', CAST(:mark AS text))",
        f"gateway_transaction_id IN ({_TRANSACTIONS})",
    ),
    "events": (
        "why = CASE why WHEN '' THEN '' ELSE :mark END, details = NULL",
        f"id IN ({_EVENTS} UNION SELECT unnest(CAST(:events AS bigint[]))) AND (why <> '' OR details IS NOT NULL)",
    ),
}
"""By table what is set where; the rows of one customer."""
SETS: Final = {table: text(f"UPDATE {table} SET {sets} WHERE {which}") for table, (sets, which) in ERASED.items()}


@dataclass(frozen=True, slots=True)
class Erased:
    """What was done: the record, how many rows of each table were written, and the tokens of cards to be dropped."""

    record: Erasure
    rows: dict[str, int]
    tokens: tuple[str, ...]


def erase(conn: Connection, number: str, reason: str, now: datetime, by: str, first: datetime | None = None) -> Erased:
    """Take a customer's personal data out, under the customer's lock (B3); again: what came since, too.

    `first`: when it was done first, where a restore has forgotten that. The vault is the caller's to tell of the
    tokens, in the same transaction. Raises NotFound, StillOpen.
    """
    found = conn.execute(_CUSTOMER, {"number": number}).one_or_none()
    if found is None:
        raise NotFound(f"There is no customer {shown(number)}.", "Compare the number.")
    sought = {table: list(conn.scalars(question, {"id": found.id})) for table, question in _SOUGHT.items()}
    answers = conn.execute(_ANSWERS, {"number": json.dumps(number)}).all()
    claim.customers(conn, [found.id])
    if open_still := list(what_is_open(conn, found.id)):
        raise StillOpen(number, open_still)
    said = {
        "id": found.id,
        "mark": mark(found.id),
        "now": now,
        "first": first or now,
        "by": by,
        "counted_since": now - LIMITS_LOOK_BACK,
    }
    said |= sought
    conn.execute(_RECORD, {**said, "reason": reason})
    tokens = tuple(conn.scalars(_TOKENS, said))
    rows = {table: conn.execute(statement, said).rowcount for table, statement in SETS.items()}
    rows["api_answers"] = _erase_answers(conn, answers, number, found.id)
    gateway_cards.forget(conn, tokens)
    conn.execute(_ENDED, said)
    tell(conn, "customer.erased", now, by, customer_id=found.id)
    return Erased(next(one for one in record(conn) if one.customer_id == found.id), rows, tokens)


def _erase_answers(conn: Connection, answers: Sequence[Row[Any]], number: str, customer_id: int) -> int:
    """What writes of the API were answered of this customer: the key stays, and is answered by the mark (R15)."""
    count = 0
    for row in answers:
        said = json.loads(row.body)
        if not isinstance(said, dict) or said.get("customer", said.get("number")) != number:
            continue
        body = json.dumps({"erased": mark(customer_id)})
        conn.execute(_ANSWERED, {"key_id": row.key_id, "key": row.idempotency_key, "body": body})
        count += 1
    return count


_ALL = text("""
    SELECT c.number AS customer, e.customer_id, e.reason, e.erased_at, e.erased_by
    FROM erasures e JOIN customers c ON c.id = e.customer_id ORDER BY e.erased_at, e.customer_id""")


def record(conn: Connection) -> list[Erasure]:
    """Every erasure, the oldest first."""
    return [Erasure(**row._mapping) for row in conn.execute(_ALL)]


@dataclass(frozen=True, slots=True)
class Whose:
    """What stands for erased customers, by the ids that rows of archives have."""

    customers: Mapping[int, str]
    payments: Mapping[int, str]
    transactions: Mapping[int, str]


_PAYMENTS_OF = text("SELECT id, customer_id FROM payments WHERE customer_id = ANY(CAST(:ids AS bigint[]))")
_TRANSACTIONS_OF = text("""
    SELECT t.id, p.customer_id FROM payments p JOIN gateway_transactions t ON t.payment_id = p.id
    WHERE p.customer_id = ANY(CAST(:ids AS bigint[]))""")


def whose(conn: Connection, customer_ids: Sequence[int]) -> Whose:
    """The ids of what these customers have; everything in archives that bears one is theirs."""
    ids = {"ids": list(customer_ids)}
    return Whose(
        {customer_id: mark(customer_id) for customer_id in customer_ids},
        {row.id: mark(row.customer_id) for row in conn.execute(_PAYMENTS_OF, ids)},
        {row.id: mark(row.customer_id) for row in conn.execute(_TRANSACTIONS_OF, ids)},
    )
