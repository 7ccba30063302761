"""The proof of the books from the tables alone (B2): one query an invariant, each a set and never a row at a time.

`audit` wants one snapshot for all of its queries (a transaction that is REPEATABLE READ), so that a payment that is
being posted meanwhile is no finding. It reads only, and says nothing about what the gateways have in their own books.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, text

from rules import ledger, states
from rules.charging import DOES_NOT_FIT
from rules.money import for_people

ROWS_MAX: Final = 20
"""Rows that one finding names; the rest is counted."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One invariant that does not hold: how many rows break it, the first of them by id, and what to do."""

    invariant: str
    sentence: str
    table: str
    count: int
    rows: tuple[int, ...]
    hint: str


Invariant = Callable[[Connection], Iterator[Finding]]

_LIVE_SALES: Final = ", ".join(f"'{state}'" for state in states.LIVE_SALE)
_RETURNED: Final = "'voided', 'refund_accepted', 'refunded'"
_LIVE: Final = "amount_minor - reversed_minor"


def _find(conn: Connection, name: str, table: str, sentence: str, query: str, hint: str) -> Iterator[Finding]:
    """One finding for all rows of `query`: id, what (words), currency, found_minor and expected_minor (or nulls)."""
    limited = f"SELECT *, count(*) OVER () AS in_all FROM ({query}) AS f ORDER BY id NULLS LAST, what LIMIT {ROWS_MAX}"
    rows = conn.execute(text(limited)).all()
    if rows:
        told = "; ".join(_told(row) for row in rows[:3])
        more = f"; and {rows[0].in_all - 3:,} more" if rows[0].in_all > 3 else ""
        ids = tuple(row.id for row in rows if row.id is not None)
        yield Finding(name, f"{sentence}: {told}{more}.", table, rows[0].in_all, ids, hint)


def _told(row: Row[Any]) -> str:
    if row.found_minor is None:
        return str(row.what)
    found, expected = for_people(row.found_minor, row.currency), for_people(row.expected_minor, row.currency)
    return f"{row.what} has {found} where {expected} is expected"


_NO_SUMS: Final = "NULL AS currency, CAST(NULL AS bigint) AS found_minor, CAST(NULL AS bigint) AS expected_minor"

_JOURNAL_HINT: Final = "An entry is missing or was made twice: compare the customer's journal with its payments."
_ROW_HINT: Final = "The row was changed by something else than Defray: compare it with its events."


# ---- the journal by itself ------------------------------------------------------------------------------------------


def entries_balance(conn: Connection) -> Iterator[Finding]:
    """B1: the lines of an entry add up to nothing, in its one currency."""
    query = f"""
        SELECT entry_id AS id, 'entry ' || entry_id || ' is off by ' || sum(amount_minor) AS what, {_NO_SUMS}
        FROM postings GROUP BY entry_id HAVING sum(amount_minor) <> 0"""
    hint = "The database refuses such an entry: its check was switched off. Correct it by an entry of its own."
    return _find(conn, "entries_balance", "journal", "Journal entries do not balance", query, hint)


def entries_belong(conn: Connection) -> Iterator[Finding]:
    """R14: an entry is of the customer and the currency of the payment or invoice that it records."""
    query = f"""
        SELECT j.id, 'entry ' || j.id || ' (' || j.kind || ', ' || j.currency || ')' AS what, {_NO_SUMS}
        FROM journal j LEFT JOIN payments p ON p.id = j.payment_id LEFT JOIN invoices i ON i.id = j.invoice_id
        WHERE (j.payment_id IS NOT NULL AND (p.customer_id, p.currency) IS DISTINCT FROM (j.customer_id, j.currency))
           OR (j.invoice_id IS NOT NULL AND (i.customer_id, i.currency) IS DISTINCT FROM (j.customer_id, j.currency))"""
    sentence = "Journal entries are of another customer or currency than what they record"
    return _find(conn, "entries_belong", "journal", sentence, query, _JOURNAL_HINT)


# ---- invoices -------------------------------------------------------------------------------------------------------


def invoice_balances(conn: Connection) -> Iterator[Finding]:
    """R2: what an invoice owes is its total less its live allocations."""
    query = f"""
        SELECT i.id, 'invoice ' || i.id || ' (no. ' || i.number || ')' AS what, i.currency,
               i.balance_minor AS found_minor, CAST(i.total_minor - coalesce(a.live, 0) AS bigint) AS expected_minor
        FROM invoices i
        LEFT JOIN (SELECT invoice_id, sum({_LIVE}) AS live FROM allocations GROUP BY 1) a ON a.invoice_id = i.id
        WHERE i.balance_minor <> i.total_minor - coalesce(a.live, 0)"""
    sentence = "Balances due are not total less what was applied"
    return _find(conn, "invoice_balances", "invoices", sentence, query, _ROW_HINT)


def invoice_states(conn: Connection) -> Iterator[Finding]:
    """R4: Paid at 0 and only at 0; Pending above it; drafts and void invoices have taken nothing."""
    query = f"""
        SELECT id, 'invoice ' || id || ' is ' || state || ' at ' || balance_minor || ' of ' || total_minor AS what,
               {_NO_SUMS}
        FROM invoices
        WHERE CASE state WHEN 'paid' THEN balance_minor <> 0
                         WHEN 'pending' THEN balance_minor NOT BETWEEN 1 AND total_minor
                         ELSE balance_minor <> total_minor END"""
    return _find(conn, "invoice_states", "invoices", "States do not fit balances due", query, _ROW_HINT)


def allocations_stay_at_home(conn: Connection) -> Iterator[Finding]:
    """R1, R14: a payment or credit is applied to invoices of its own customer and currency only."""
    query = f"""
        SELECT a.id, 'allocation ' || a.id || ' to invoice ' || a.invoice_id AS what, {_NO_SUMS}
        FROM allocations a JOIN invoices i ON i.id = a.invoice_id
        LEFT JOIN payments p ON p.id = a.payment_id LEFT JOIN credits c ON c.id = a.credit_id
        WHERE (i.customer_id, i.currency)
              <> (coalesce(p.customer_id, c.customer_id), coalesce(p.currency, c.currency))"""
    sentence = "Allocations go to another customer's invoice or to another currency"
    return _find(conn, "allocations_stay_at_home", "allocations", sentence, query, _ROW_HINT)


# ---- payments and their credits -------------------------------------------------------------------------------------


def posted_adds_up(conn: Connection) -> Iterator[Finding]:
    """R3: what a posted payment took in is applied, credited or refunded, to the cent."""
    query = """
        SELECT id, 'payment ' || id AS what, currency, coalesce(charged_minor, total_minor) AS expected_minor,
               applied_minor + credited_minor + refunded_minor + charged_back_minor AS found_minor
        FROM payments
        WHERE state = 'posted'
          AND coalesce(charged_minor, total_minor)
              <> applied_minor + credited_minor + refunded_minor + charged_back_minor"""
    sentence = "Posted payments are not applied, credited, refunded and charged back in full"
    return _find(conn, "posted_adds_up", "payments", sentence, query, _ROW_HINT)


def posted_applied(conn: Connection) -> Iterator[Finding]:
    """R2: the amount applied of a posted payment is the sum of its live allocations."""
    query = f"""
        SELECT p.id, 'payment ' || p.id AS what, p.currency, p.applied_minor AS found_minor,
               CAST(coalesce(a.live, 0) AS bigint) AS expected_minor
        FROM payments p
        LEFT JOIN (SELECT payment_id, sum({_LIVE}) AS live FROM allocations WHERE payment_id IS NOT NULL GROUP BY 1) a
             ON a.payment_id = p.id
        WHERE p.state = 'posted' AND p.applied_minor <> coalesce(a.live, 0)"""
    sentence = "Amounts applied are not what the allocations say"
    return _find(conn, "posted_applied", "payments", sentence, query, _ROW_HINT)


def credited(conn: Connection) -> Iterator[Finding]:
    """R3, R12: a payment's credits are what it was credited, and what was kept instead of going back to the card.

    Of a voided charge (R17): what no refund, no dispute and no void took, nor still has to.
    """
    query = """
        SELECT p.id, 'payment ' || p.id AS what, p.currency, CAST(coalesce(c.stands, 0) AS bigint) AS found_minor,
               CAST(e.expected AS bigint) AS expected_minor
        FROM payments p
        LEFT JOIN (SELECT payment_id, sum(amount_minor - taken_back_minor) AS stands FROM credits GROUP BY 1) c
             ON c.payment_id = p.id
        LEFT JOIN (SELECT r.payment_id, sum(r.amount_minor) FILTER (WHERE r.state = 'kept') AS kept,
                          sum(r.amount_minor) FILTER (WHERE r.state = 'kept' AND s.state = 'surplus') AS kept_surplus,
                          sum(r.amount_minor) FILTER (WHERE r.state <> 'kept' AND r.purpose = 'void'
                                                        AND s.state <> 'surplus') AS voided
                   FROM reversals r JOIN gateway_transactions s ON s.id = r.sale_id GROUP BY 1) r
             ON r.payment_id = p.id
        CROSS JOIN LATERAL (SELECT CASE WHEN p.state = 'voided' AND p.charged_minor IS NOT NULL
            THEN p.charged_minor - p.refunded_minor - p.charged_back_minor - coalesce(r.voided, 0)
                 + coalesce(r.kept_surplus, 0)
            ELSE p.credited_minor + coalesce(r.kept, 0) END AS expected) e
        WHERE coalesce(c.stands, 0) <> e.expected"""
    sentence = "Credits are not what their payments were credited"
    return _find(conn, "credited", "payments", sentence, query, _ROW_HINT)


def credit_balances(conn: Connection) -> Iterator[Finding]:
    """R14: what is left of a credit is its amount less what was taken back and less its live applications."""
    query = f"""
        SELECT c.id, 'credit ' || c.id AS what, c.currency, c.balance_minor AS found_minor,
               CAST(c.amount_minor - c.taken_back_minor - coalesce(a.live, 0) AS bigint) AS expected_minor
        FROM credits c
        LEFT JOIN (SELECT credit_id, sum({_LIVE}) AS live FROM allocations WHERE credit_id IS NOT NULL GROUP BY 1) a
             ON a.credit_id = c.id
        WHERE c.balance_minor <> c.amount_minor - c.taken_back_minor - coalesce(a.live, 0)"""
    sentence = "What is left of credits is not what their applications leave"
    return _find(conn, "credit_balances", "credits", sentence, query, _ROW_HINT)


def no_credit_below_zero(conn: Connection) -> Iterator[Finding]:
    """R10: a credit never falls below zero."""
    query = f"""
        SELECT id, 'credit ' || id || ' at ' || balance_minor AS what, {_NO_SUMS} FROM credits
        WHERE balance_minor < 0"""
    return _find(conn, "no_credit_below_zero", "credits", "Credits are below zero", query, _ROW_HINT)


def only_posted_payments_pay(conn: Connection) -> Iterator[Finding]:
    """R8, R10: a payment that is not posted, such as a voided one, pays no invoice."""
    query = f"""
        SELECT DISTINCT p.id, 'payment ' || p.id || ' is ' || p.state AS what, {_NO_SUMS}
        FROM allocations a JOIN payments p ON p.id = a.payment_id
        WHERE a.amount_minor > a.reversed_minor AND p.state <> 'posted'"""
    sentence = "Payments that are not posted still pay invoices"
    return _find(conn, "only_posted_payments_pay", "payments", sentence, query, _ROW_HINT)


# ---- charges --------------------------------------------------------------------------------------------------------


def one_live_sale(conn: Connection) -> Iterator[Finding]:
    """E5: of one payment at most one sale is approved or may yet be."""
    query = f"""
        SELECT payment_id AS id, 'payment ' || payment_id || ' has ' || count(*) || ' sales' AS what, {_NO_SUMS}
        FROM gateway_transactions WHERE operation = 'sale' AND state IN ({_LIVE_SALES})
        GROUP BY payment_id HAVING count(*) > 1"""
    hint = "A card may have been charged twice: look both references up at the gateway."
    return _find(conn, "one_live_sale", "payments", "Payments have several sales that count", query, hint)


def charges_are_proven(conn: Connection) -> Iterator[Finding]:
    """R8: a posted card payment was charged by an approved sale of that amount."""
    query = """
        SELECT p.id, 'payment ' || p.id AS what, p.currency, coalesce(p.charged_minor, 0) AS found_minor,
               CAST(coalesce(t.sold, 0) AS bigint) AS expected_minor
        FROM payments p
        LEFT JOIN (SELECT payment_id, currency, sum(amount_minor) AS sold FROM gateway_transactions
                   WHERE operation = 'sale' AND state = 'approved' GROUP BY 1, 2) t
             ON t.payment_id = p.id AND t.currency = p.currency
        WHERE p.state IN ('posted', 'voided') AND p.gateway IS NOT NULL
          AND coalesce(p.charged_minor, 0) <> coalesce(t.sold, 0)"""
    sentence = "Charged amounts are not what the gateway approved"
    return _find(conn, "charges_are_proven", "payments", sentence, query, "Compare with `defray explain`.")


# ---- nothing is forgotten -------------------------------------------------------------------------------------------


def payments_go_on(conn: Connection) -> Iterator[Finding]:
    """D1: an unfinished payment has a next step, an outcome that is being found out, or waits for a person."""
    query = f"""
        SELECT p.id, 'payment ' || p.id || ' is ' || p.state AS what, {_NO_SUMS}
        FROM payments p
        WHERE (p.state IN ('requested', 'retrying') AND (p.next_step IS NULL OR p.due_at IS NULL))
           OR (p.state = 'charging' AND NOT EXISTS (
                SELECT 1 FROM gateway_transactions t WHERE t.payment_id = p.id AND t.operation = 'sale'
                AND t.state IN ('started', 'unknown', 'review')))"""
    hint = "Nobody will come back to it by itself: `defray explain` tells how far it came."
    return _find(conn, "payments_go_on", "payments", "Payments are stuck", query, hint)


def outcomes_are_awaited(conn: Connection) -> Iterator[Finding]:
    """E4: a sale without a final answer is looked up; of a void or refund the reversal, or a person, sees to that.

    R18: a sale that was approved for something else than was asked waits for a person.
    """
    query = f"""
        SELECT t.id, t.operation || ' ' || t.id || ' of payment ' || t.payment_id || ' is ' || t.state AS what,
               {_NO_SUMS}
        FROM gateway_transactions t LEFT JOIN reversals r ON r.id = t.reversal_id
        WHERE t.state IN ('started', 'unknown', 'review') AND CASE t.operation
            WHEN 'sale' THEN t.next_step IS NULL AND (t.state, t.code) <> ('review', '{DOES_NOT_FIT}')
            ELSE r.id IS NULL OR (r.next_step IS NULL
                                  AND r.state NOT IN ('failed', 'kept', 'refund_awaiting_approval')) END"""
    hint = "Ask the gateway by the merchant reference, then say so with `defray resolve`."
    return _find(conn, "outcomes_are_awaited", "gateway_transactions", "Outcomes are not looked up", query, hint)


def reversals_go_on(conn: Connection) -> Iterator[Finding]:
    """R11, D1: a reversal that is open has a next step, or waits for a person."""
    query = f"""
        SELECT r.id, 'reversal ' || r.id || ' of payment ' || r.payment_id || ' is ' || r.state AS what, {_NO_SUMS}
        FROM reversals r
        WHERE r.state IN ('voiding', 'refund_due', 'refunding', 'refund_accepted')
          AND (r.next_step IS NULL OR r.due_at IS NULL)"""
    hint = "The customer's money is not on its way: `defray explain` tells how far it came."
    return _find(conn, "reversals_go_on", "reversals", "Reversals are stuck", query, hint)


# ---- journal and tables agree ---------------------------------------------------------------------------------------


def _agree(conn: Connection, name: str, account: str, tables: str, sentence: str) -> Iterator[Finding]:
    """By customer and currency; `tables` gives customer_id, currency, and in `amount` what the account should hold."""
    query = f"""
        SELECT customer_id AS id, 'customer ' || customer_id AS what, currency,
               CAST(sum(booked) AS bigint) AS found_minor, CAST(sum(amount) AS bigint) AS expected_minor
        FROM (
            SELECT customer_id, currency, amount_minor AS booked, 0 AS amount FROM postings WHERE account = '{account}'
            UNION ALL
            SELECT customer_id, currency, 0, amount FROM ({tables}) AS t
        ) AS both_sides
        GROUP BY customer_id, currency HAVING sum(booked) <> sum(amount)"""
    return _find(conn, name, "customers", sentence, query, _JOURNAL_HINT)


def receivable_agrees(conn: Connection) -> Iterator[Finding]:
    """B1: what the journal says that a customer owes is what the invoices owe."""
    tables = "SELECT customer_id, currency, balance_minor AS amount FROM invoices WHERE state IN ('pending', 'paid')"
    sentence = "Journal and invoices disagree on what customers owe"
    return _agree(conn, "receivable_agrees", ledger.RECEIVABLE, tables, sentence)


def credit_agrees(conn: Connection) -> Iterator[Finding]:
    """B1: what the journal says that a customer has in credits is what is left of the credits."""
    tables = "SELECT customer_id, currency, -balance_minor AS amount FROM credits"
    sentence = "Journal and credits disagree on what customers have left"
    return _agree(conn, "credit_agrees", ledger.CUSTOMER_CREDIT, tables, sentence)


def refunds_payable_agree(conn: Connection) -> Iterator[Finding]:
    """B1: what the journal owes back to cards is what the reversals have neither returned nor kept."""
    tables = f"""
        SELECT p.customer_id, r.currency, -r.amount_minor AS amount
        FROM reversals r JOIN payments p ON p.id = r.payment_id
        WHERE r.purpose = 'void' AND r.state NOT IN ({_RETURNED}, 'kept')"""
    sentence = "Journal and reversals disagree on what is owed back to cards"
    return _agree(conn, "refunds_payable_agree", ledger.REFUNDS_PAYABLE, tables, sentence)


def money_agrees(conn: Connection) -> Iterator[Finding]:
    """B1: clearing holds what gateways approved and did not give back; cash holds what posted payments brought."""
    query = f"""
        SELECT CAST(NULL AS bigint) AS id, account AS what, currency, CAST(sum(booked) AS bigint) AS found_minor,
               CAST(sum(amount) AS bigint) AS expected_minor
        FROM (
            SELECT account, currency, amount_minor AS booked, 0 AS amount FROM postings
            WHERE account LIKE 'clearing:%' OR account LIKE 'cash:%' OR account LIKE 'disputed:%'
            UNION ALL
            SELECT 'clearing:' || gateway, currency, 0, amount_minor FROM gateway_transactions
            WHERE operation = 'sale' AND state IN ('approved', 'surplus')
            UNION ALL
            SELECT 'clearing:' || s.gateway, r.currency, 0, -r.amount_minor
            FROM reversals r JOIN gateway_transactions s ON s.id = r.sale_id WHERE r.state IN ({_RETURNED})
            UNION ALL
            SELECT 'clearing:' || s.gateway, d.currency, 0, -d.amount_minor
            FROM disputes d JOIN gateway_transactions s
                 ON s.payment_id = d.payment_id AND s.operation = 'sale' AND s.state = 'approved'
            WHERE d.state <> 'won'
            UNION ALL
            SELECT 'disputed:' || s.gateway, d.currency, 0, d.amount_minor
            FROM disputes d JOIN gateway_transactions s
                 ON s.payment_id = d.payment_id AND s.operation = 'sale' AND s.state = 'approved'
            WHERE d.state = 'open'
            UNION ALL
            SELECT 'cash:' || method, currency, 0, applied_minor + credited_minor FROM payments
            WHERE state = 'posted' AND gateway IS NULL
        ) AS both_sides
        GROUP BY account, currency HAVING sum(booked) <> sum(amount)"""
    sentence = "Journal and payments disagree on the money that came in"
    return _find(conn, "money_agrees", "journal", sentence, query, _JOURNAL_HINT)


INVARIANTS: Final[tuple[Invariant, ...]] = (
    entries_balance,
    entries_belong,
    invoice_balances,
    invoice_states,
    allocations_stay_at_home,
    posted_adds_up,
    posted_applied,
    credited,
    credit_balances,
    no_credit_below_zero,
    only_posted_payments_pay,
    one_live_sale,
    charges_are_proven,
    payments_go_on,
    outcomes_are_awaited,
    reversals_go_on,
    receivable_agrees,
    credit_agrees,
    refunds_payable_agree,
    money_agrees,
)
"""All that must hold, at any moment and whatever has happened (B2)."""


def audit(conn: Connection) -> list[Finding]:
    """Whatever does not hold; empty where the books are in order."""
    # Whole tables are compared; without statistics, on a fresh database, the planner would do so row by row.
    conn.execute(text("SET LOCAL enable_nestloop = off"))
    return [finding for invariant in INVARIANTS for finding in invariant(conn)]
