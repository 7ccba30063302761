"""A gateway's report beside our books: what agrees, what does not, and recording what it proves (B2, E4).

Reading changes nothing but the tables of reports. A proven outcome is recorded by the functions that record a gateway's
answer to an inquiry, with evidence of the kind `report`, and only when a person said yes.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Final

from sqlalchemy import Connection, Row, text

from books import reverse
from books.history import tell
from books.outcome import Heard, finish
from books.tally import Tally
from books.terms import Terms
from rules.outcomes import Approved, Evidence, Found, Standing
from rules.reconciling import DIFFERENCES, Finding, Group, Kind, Ours, ReportLine, State, match

CHUNK: Final = 2_000
"""Lines that are compared at a time: what is held in memory of a report of any length."""

LOOK_BACK: Final = timedelta(days=550)
"""How long before a line the transaction may have begun that is found by the gateway's id only."""

_NEAR: Final = timedelta(days=2)
"""So near to its line most are found: few pages of a table in the order of time; the gateway's ids have no index."""

_FOLLOWS_WITHIN: Final = timedelta(days=3)


@dataclass(frozen=True, slots=True)
class Source:
    """Where lines come from. The span is what the report tells of, None: from its first line to its last."""

    gateway: str
    digest: str
    file_name: str
    from_at: datetime | None
    to_at: datetime | None
    margin: timedelta
    """How far from the ends of the span nothing is expected: the clocks, and what was under way."""
    grain: timedelta
    """How exact the times of its lines are."""


@dataclass(frozen=True, slots=True)
class Sum:
    """Lines of one group, kind and currency together; minor units."""

    group: str
    kind: str
    currency: str
    lines: int
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Difference:
    """What a person must look at. `line` is None for what is missing there; amounts in minor units."""

    finding: str
    line: int | None
    kind: str
    state: str
    amount_minor: int
    currency: str
    at: datetime | None
    reference: str | None  # in decimal digits: more than a program may take for a number
    transaction_id: str
    payment_id: int | None
    ours_minor: int | None
    ours_state: str | None
    why: str
    became: str | None


@dataclass(frozen=True, slots=True)
class Reading:
    """A report that was read; `read_before` is when it was first, None where that was now."""

    report_id: int
    read_before: datetime | None
    from_at: datetime | None
    to_at: datetime | None
    sums: tuple[Sum, ...]


_KNOWN: Final = text("""
    INSERT INTO reports (gateway, digest, file_name, first_read_at, read_at, read_by)
    VALUES (:gateway, :digest, :file_name, :now, :now, :by)
    ON CONFLICT (gateway, digest) DO UPDATE
        SET file_name = excluded.file_name, read_at = excluded.read_at, read_by = excluded.read_by
    RETURNING id, first_read_at""")
_FORGET: Final = (
    text("""
        DELETE FROM report_lines
        WHERE report_id = :id
          AND (became IS NULL OR became NOT IN ('approved', 'surplus', 'refunded', 'given_back'))"""),
    text("DELETE FROM report_matches WHERE report_id = :id"),
)
_READ: Final = text("UPDATE reports SET from_at = :from_at, to_at = :to_at, sums = CAST(:sums AS jsonb) WHERE id = :id")


def read(conn: Connection, source: Source, lines: Iterable[ReportLine], now: datetime, by: str) -> Reading:
    """Compare a report with the books and store what came of it; a report read again is compared again.

    Memory is bounded by CHUNK whatever its length. Raises what reading `lines` raises.
    """
    known = {"gateway": source.gateway, "digest": source.digest, "file_name": source.file_name, "now": now, "by": by}
    report = conn.execute(_KNOWN, known).one()
    for forget in _FORGET:
        conn.execute(forget, {"id": report.id})
    counts: Counter[tuple[str, str, str]] = Counter()
    amounts: Counter[tuple[str, str, str]] = Counter()
    first: datetime | None = None
    last: datetime | None = None
    for chunk in _chunks(lines):
        findings = _compare(conn, report.id, source, chunk)
        for one in findings:
            key = (one.group.value, one.line.kind.value, one.line.currency)
            counts[key] += 1
            amounts[key] += one.line.amount_minor
        moments = [line.at for line in chunk if line.kind in (Kind.SALE, Kind.REFUND)]
        if moments:
            first, last = min([*moments, first or moments[0]]), max([*moments, last or moments[0]])
    from_at = source.from_at or first
    to_at = source.to_at or (last + source.grain if last else None)
    if from_at is not None and to_at is not None:
        for row in _missing_there(conn, report.id, source, from_at, to_at):
            key = (Group.MISSING_THERE.value, row.kind, row.currency)
            counts[key] += row.lines
            amounts[key] += row.amount_minor
    sums = tuple(Sum(*key, counts[key], amounts[key]) for key in sorted(counts))
    conn.execute(_READ, {"id": report.id, "from_at": from_at, "to_at": to_at, "sums": _as_json(sums)})
    before = report.first_read_at if report.first_read_at != now else None
    return Reading(report.id, before, from_at, to_at, sums)


def _as_json(sums: Sequence[Sum]) -> str:
    return json.dumps([[s.group, s.kind, s.currency, s.lines, s.amount_minor] for s in sums])


def _chunks(lines: Iterable[ReportLine]) -> Iterator[list[ReportLine]]:
    stream = iter(lines)
    while chunk := list(islice(stream, CHUNK)):
        yield chunk


# ---- our transactions that lines may tell of ------------------------------------------------------------------------

_OURS: Final = """
    SELECT t.id, t.payment_id, t.operation, t.reference, t.transaction_id, t.sale_id, t.amount_minor, t.currency,
           t.state,
           EXISTS (SELECT 1 FROM reversals v WHERE v.sale_id = t.id AND v.payment_id = t.payment_id
                   AND v.purpose = 'void' AND v.state = 'voided') AS voided,
           t.reversal_id, r.state AS reversal_state,
           CASE t.operation WHEN 'sale' THEN CAST(coalesce((
               SELECT sum(d.amount_minor) FROM disputes d WHERE d.payment_id = t.payment_id AND d.state <> 'won'
           ), 0) AS bigint) ELSE 0 END AS disputed_minor
    FROM gateway_transactions t LEFT JOIN reversals r ON r.id = t.reversal_id AND t.operation = 'refund'
    WHERE t.operation IN ('sale', 'refund') AND t.gateway = :gateway"""
_BY_REFERENCE: Final = text(f"{_OURS} AND t.reference = ANY(CAST(:references AS bigint[]))")
_BY_ID: Final = text(f"""{_OURS} AND t.started_at BETWEEN :since AND :until
                         AND t.transaction_id IN (SELECT unnest(CAST(:ids AS text[])) COLLATE "C")""")
_REFUNDS: Final = text(f"""{_OURS} AND t.operation = 'refund' AND t.payment_id = ANY(CAST(:payments AS bigint[]))""")
_TOLD: Final = text("""
    SELECT gateway_transaction_id FROM report_matches
    WHERE report_id = :id AND gateway_transaction_id = ANY(CAST(:ids AS bigint[]))""")
_TELL: Final = text("""
    INSERT INTO report_matches (gateway_transaction_id, report_id)
    SELECT DISTINCT unnest(CAST(:ids AS bigint[])), CAST(:id AS bigint) ON CONFLICT DO NOTHING""")
_STORE: Final = text("""
    INSERT INTO report_lines (report_id, finding, line, kind, state, amount_minor, currency, at, reference,
                              transaction_id, said, gateway_transaction_id, payment_id, ours_minor, ours_state, why)
    VALUES (:report_id, :finding, :line, :kind, :state, :amount_minor, :currency, :at, :reference,
            :transaction_id, :said, :gateway_transaction_id, :payment_id, :ours_minor, :ours_state, :why)""")
_SAID_MAX: Final = 200
_ID_MAX: Final = 100


def _compare(conn: Connection, report_id: int, source: Source, chunk: Sequence[ReportLine]) -> list[Finding]:
    ours = _ours(conn, source.gateway, chunk)
    told = conn.execute(_TOLD, {"id": report_id, "ids": list(ours)}).scalars().all() if ours else []
    findings = match(chunk, ours.values(), told)
    seen = [
        one.ours.id
        for one in findings
        if one.ours is not None
        and one.ours.operation == one.line.kind
        and one.line.state in (State.SETTLED, State.PENDING)
    ]
    if seen:
        conn.execute(_TELL, {"id": report_id, "ids": seen})
    differences = [_stored(report_id, one) for one in findings if one.group in DIFFERENCES]
    if differences:
        conn.execute(_STORE, differences)
    return findings


def _ours(conn: Connection, gateway: str, chunk: Sequence[ReportLine]) -> dict[int, Ours]:
    """By reference, whose index is unique; what is left by the gateway's id, near first; and the sales' refunds."""
    asked = [line for line in chunk if line.kind in (Kind.SALE, Kind.REFUND, Kind.CHARGEBACK)]
    references = {line.reference for line in asked if line.reference is not None}
    ours: dict[int, Ours] = {}
    if references:
        _add(ours, conn.execute(_BY_REFERENCE, {"gateway": gateway, "references": list(references)}))
    references = {one.reference for one in ours.values()}
    left = [line for line in asked if line.reference not in references]
    _add_by_id(conn, ours, gateway, {line.transaction_id for line in left}, left, _NEAR)
    known = {one.transaction_id for one in ours.values()}
    left = [line for line in left if line.transaction_id not in known]
    said = {said for line in left for said in (line.transaction_id, line.sale_transaction_id)}
    _add_by_id(conn, ours, gateway, said, left, LOOK_BACK)
    if any(line.kind is Kind.REFUND for line in asked):
        payments = list({one.payment_id for one in ours.values() if one.operation == Kind.SALE})
        if payments:
            _add(ours, conn.execute(_REFUNDS, {"gateway": gateway, "payments": payments}))
    return ours


def _add_by_id(
    conn: Connection, ours: dict[int, Ours], gateway: str, ids: set[str], lines: Sequence[ReportLine], back: timedelta
) -> None:
    ids.discard("")
    if ids:
        moments = [line.at for line in lines]
        span = {"since": min(moments) - back, "until": max(moments) + _NEAR}
        _add(ours, conn.execute(_BY_ID, {"gateway": gateway, "ids": list(ids), **span}))


def _add(ours: dict[int, Ours], rows: Iterable[Row[Any]]) -> None:
    ours.update((row.id, Ours(**row._mapping)) for row in rows)


def _stored(report_id: int, one: Finding) -> dict[str, object]:
    line, ours = one.line, one.ours
    return {
        "report_id": report_id,
        "finding": one.group.value,
        "line": line.number,
        "kind": line.kind.value,
        "state": line.state.value,
        "amount_minor": line.amount_minor,
        "currency": line.currency,
        "at": line.at,
        "reference": line.reference,
        "transaction_id": _kept(line.transaction_id, _ID_MAX),
        "said": _kept(line.said, _SAID_MAX),
        "gateway_transaction_id": ours.id if ours else None,
        "payment_id": ours.payment_id if ours else None,
        "ours_minor": ours.amount_minor if ours else None,
        "ours_state": ours.state if ours else None,
        "why": one.why,
    }


def _kept(said: str, most: int) -> str:
    """A word of somebody else's file, as it may be stored and shown: one line, without control characters."""
    return "".join(letter if letter.isprintable() else "?" for letter in said[:most])


# ---- ours that the report should tell of, and does not --------------------------------------------------------------

_EARLIER: Final = text("""
    SELECT max(to_at) FROM reports WHERE gateway = :gateway AND id <> :id AND to_at <= :to_at AND to_at >= :since""")
# A sale or refund that stands, began and ended within the window, and that no report of this gateway told of.
_MISSING: Final = text("""
    WITH missing AS (
        SELECT t.* FROM gateway_transactions t
        LEFT JOIN reversals r ON r.id = t.reversal_id AND t.operation = 'refund'
        WHERE t.gateway = :gateway AND t.operation IN ('sale', 'refund') AND t.state IN ('approved', 'surplus')
          AND t.started_at >= :since AND t.started_at <= :until AND t.finished_at <= :until
          AND (r.id IS NULL OR r.state NOT IN ('failed', 'kept'))
          AND NOT EXISTS (SELECT 1 FROM reversals v WHERE v.payment_id = t.payment_id AND v.sale_id = t.id
                          AND v.purpose = 'void' AND v.state = 'voided')
          AND NOT EXISTS (SELECT 1 FROM report_matches m WHERE m.gateway_transaction_id = t.id)
          AND NOT EXISTS (SELECT 1 FROM report_lines l WHERE l.report_id = :id AND l.gateway_transaction_id = t.id)
    ), stored AS (
        INSERT INTO report_lines (report_id, finding, kind, state, amount_minor, currency, at, reference,
                                  transaction_id, said, gateway_transaction_id, payment_id, ours_minor, ours_state, why)
        SELECT :id, 'missing_there', operation, 'absent', amount_minor, currency, finished_at, reference,
               transaction_id, '', id, payment_id, amount_minor, state, 'the report does not tell of it'
        FROM missing ORDER BY started_at, id
    )
    SELECT operation AS kind, currency, CAST(count(*) AS bigint) AS lines,
           CAST(sum(amount_minor) AS bigint) AS amount_minor
    FROM missing GROUP BY 1, 2""")


def _missing_there(
    conn: Connection, report_id: int, source: Source, from_at: datetime, to_at: datetime
) -> Sequence[Row[Any]]:
    """What falls into the margin at the end of one report is looked for by the report that follows it."""
    about = {"gateway": source.gateway, "id": report_id}
    before = {**about, "to_at": to_at, "since": from_at - _FOLLOWS_WITHIN}
    earlier = conn.execute(_EARLIER, before).scalar_one_or_none()
    since = from_at + source.margin
    if earlier is not None:
        since = min(since, earlier - source.margin)
    return conn.execute(_MISSING, {**about, "since": since, "until": to_at - source.margin}).all()


# ---- looking at what was stored -------------------------------------------------------------------------------------

_DIFFERENCES: Final = text("""
    SELECT finding, line, kind, state, amount_minor, currency, at, CAST(reference AS text) AS reference,
           transaction_id, payment_id, ours_minor, ours_state, why, became
    FROM report_lines WHERE report_id = :id
    ORDER BY array_position(CAST(:order AS text[]), finding), line, id LIMIT :most""")
_OPEN: Final = text("""
    SELECT finding, CAST(count(*) AS bigint) AS lines FROM report_lines
    WHERE report_id = :id AND (became IS NULL OR became NOT IN ('approved', 'surplus', 'refunded', 'given_back'))
    GROUP BY 1""")


def differences(conn: Connection, report_id: int, most: int) -> list[Difference]:
    """What a person must look at, what the report proves first; what was recorded says what it became."""
    order = [group.value for group in DIFFERENCES]
    found = conn.execute(_DIFFERENCES, {"id": report_id, "order": order, "most": most})
    return [Difference(*row) for row in found]


def still_open(conn: Connection, report_id: int) -> dict[str, int]:
    """How many differences of each group were not recorded, or did not become what the report proves."""
    return {row.finding: row.lines for row in conn.execute(_OPEN, {"id": report_id})}


# ---- recording what is proven, when a person said yes ---------------------------------------------------------------

_PROVEN: Final = text("""
    SELECT l.*, t.sale_id, t.reversal_id, t.gateway, t.started_at, t.reference AS our_reference,
           r.state AS reversal_state, s.reference AS sale_reference, s.transaction_id AS sale_transaction_id,
           p.digest
    FROM report_lines l
    JOIN reports p ON p.id = l.report_id
    JOIN gateway_transactions t ON t.id = l.gateway_transaction_id
    LEFT JOIN reversals r ON r.id = t.reversal_id
    LEFT JOIN gateway_transactions s ON s.id = t.sale_id
    WHERE l.report_id = :id AND l.finding = 'proven' AND l.kind = :kind AND l.applied_at IS NULL
    ORDER BY l.id LIMIT :most FOR NO KEY UPDATE OF l SKIP LOCKED""")
_APPLIED: Final = text("""
    UPDATE report_lines l SET applied_at = :now, applied_by = :by, became = coalesce(r.state, t.state)
    FROM gateway_transactions t LEFT JOIN reversals r ON r.id = t.reversal_id AND t.operation = 'refund'
    WHERE l.id = ANY(CAST(:ids AS bigint[])) AND t.id = l.gateway_transaction_id""")


@dataclass(frozen=True, slots=True)
class Applied:
    """One group of proven outcomes that was recorded."""

    lines: int
    tally: Tally


def apply_sales(conn: Connection, report_id: int, most: int, terms: Terms, now: datetime, by: str) -> Applied:
    """Record sales that the report proves, at most `most`; of none that is left, `lines` is 0."""
    proven = conn.execute(_PROVEN, {"id": report_id, "kind": Kind.SALE.value, "most": most}).all()
    heard = [Heard(row.gateway_transaction_id, None, approval(row), evidence(row)) for row in proven]
    tally = finish(conn, "report", heard, terms, now, by)
    _mark(conn, proven, now, by)
    return Applied(len(proven), tally)


def apply_refunds(conn: Connection, report_id: int, most: int, terms: Terms, now: datetime, by: str) -> Applied:
    """Record refunds that the report proves, as `apply_sales` does."""
    proven = conn.execute(_PROVEN, {"id": report_id, "kind": Kind.REFUND.value, "most": most}).all()
    answers = [reverse.Answer(_question(row), Found(approval(row), Standing.SETTLED), evidence(row)) for row in proven]
    reverse.learn(conn, answers, terms, now, by, kind="report")
    _mark(conn, proven, now, by)
    return Applied(len(proven), Tally())


def approval(row: Row[Any]) -> Approved:
    """With all that the line says, so that an approval of something else than was asked for is held (R18)."""
    return Approved(
        transaction_id=row.transaction_id,
        code="report",
        message=row.said,
        amount_minor=row.amount_minor,
        currency=row.currency,
        reference=None if row.reference is None else f"{row.reference:019d}",
    )


def evidence(row: Row[Any]) -> Evidence:
    """What the line said; `row` has the columns of `report_lines`, and the digest of its report."""
    said = {
        "report": str(row.report_id),
        "digest": row.digest,
        "line": str(row.line),
        "said": row.said,
        "transaction_id": row.transaction_id,
        "reference": "" if row.reference is None else str(row.reference),
        "amount_minor": str(row.amount_minor),
        "currency": row.currency,
        "at": row.at.isoformat(),
    }
    return Evidence(None, said)


def _question(row: Row[Any]) -> reverse.Question:
    return reverse.Question(
        reversal_id=row.reversal_id,
        transaction_id=row.gateway_transaction_id,
        gateway=row.gateway,
        operation="refund",
        reference=row.our_reference,
        amount_minor=row.amount_minor,
        currency=row.currency,
        started_at=row.started_at,
        gateway_transaction_id=row.transaction_id,
        sale_reference=row.sale_reference,
        sale_transaction_id=row.sale_transaction_id,
        payment_id=row.payment_id,
    )


def _mark(conn: Connection, proven: Sequence[Row[Any]], now: datetime, by: str) -> None:
    if not proven:
        return
    conn.execute(_APPLIED, {"ids": [row.id for row in proven], "now": now, "by": by})
    for row in proven:
        why = f"line {row.line} of report {row.report_id}: {row.why}"
        about = {"payment_id": row.payment_id, "gateway_transaction_id": row.gateway_transaction_id}
        tell(conn, "report.recorded", now, by, why, **about)
