"""Payflow Pro: a report of PayPal Manager or of the Reporting API as CSV, with the names of its columns.

The Settlement Report, the Daily Activity Report or a Custom Report; only the last can show CUSTREF, our reference.
"""

from __future__ import annotations

import re
from datetime import tzinfo
from typing import Final

from reports.form import Form, Row, merchant_reference
from rules.money import EXPONENTS
from rules.reconciling import Kind, ReportLine, State

_KINDS: Final = {
    "s": Kind.SALE,
    "sale": Kind.SALE,
    "d": Kind.SALE,
    "delayed capture": Kind.SALE,
    "c": Kind.REFUND,
    "credit": Kind.REFUND,
}
_UNDER_REVIEW: Final = "126"
_STATES: Final = {"6": State.PENDING, "7": State.PENDING, "8": State.SETTLED}
_VOIDED: Final = re.compile(r"[1-9][0-9]{3,8}")  # 1000 and above
_TIMES: Final = (
    "%m/%d/%Y %H:%M:%S",
    "%m/%d/%Y %I:%M:%S %p",
    "%b %d, %Y %I:%M:%S %p",
)


def _read(row: Row, zone: tzinfo) -> ReportLine | None:
    pnref = row.get("Transaction ID", "PNREF")
    if not pnref or not (row.get("Type", "Transaction Type") or row.get("Time", "Transaction Time")):
        return None  # a total
    currency = "USD"
    for column in ("Currency", "Currency Code"):
        if row.get(column):
            currency = row.currency(column)
            break
    if EXPONENTS[currency] and "." not in row.get("Amount"):
        raise row.refuse("Amount", "no decimal point: it may be in cents", "Export the report as PayPal Manager does")
    kind, state = row.get("Type", "Transaction Type"), _state(row)
    return ReportLine(
        number=row.number,
        kind=_KINDS.get(kind.lower(), Kind.OTHER),
        state=state,
        amount_minor=abs(row.amount("Amount", currency)),
        currency=currency,
        at=row.moment("Time" if row.get("Time") else "Transaction Time", zone, *_TIMES),
        reference=merchant_reference(row.get("Cust Ref", "Customer Reference", "Customer Ref")),
        transaction_id=pnref,
        sale_transaction_id=row.get("Original Transaction ID", "ORIGID"),
        said=f"{kind} {row.get('Transaction State')} {row.get('Response Msg')}".strip(),
    )


def _state(row: Row) -> State:
    result = row.get("Result Code", "Result")
    if result not in ("0", "", _UNDER_REVIEW):
        return State.DECLINED
    said = row.get("Transaction State", "TRANSSTATE")
    if _VOIDED.fullmatch(said):
        return State.VOIDED
    if said:
        # Every other one means that its money will not move by itself: a person looks where ours says that it did.
        return _STATES.get(said, State.DECLINED)
    settled = row.get("Settled Date", "Settle Date") or row.get("Batch ID") not in ("", "0")
    return State.SETTLED if settled else State.PENDING


FORM: Final = Form(
    gateway="payflow",
    title="Payflow's settlement or activity report",
    needed=(
        ("Transaction ID", "PNREF"),
        ("Time", "Transaction Time"),
        ("Type", "Transaction Type"),
        ("Amount",),
    ),
    read=_read,
    zone="America/Los_Angeles",
)
