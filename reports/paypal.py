"""PayPal: the Settlement Report (STL) or the Transaction Detail Report (TDR), as CSV or tab-separated.

The first column says what a line is: CH names the columns, SB is a transaction, the others are heads, feet and counts.
Amounts are minor units without a sign; a column says debit or credit.
"""

from __future__ import annotations

import re
from datetime import tzinfo
from typing import Final

from reports.form import Form, Row, merchant_reference
from rules.reconciling import Kind, ReportLine, State

_CODES: Final = {
    "T1107": Kind.REFUND,
    "T1106": Kind.CHARGEBACK,  # a payment that PayPal took back, as after a dispute
    "T1201": Kind.CHARGEBACK,
    "T1108": Kind.FEE,
}
_PAYMENTS: Final = "T00"
_FEES: Final = "T01"
_STATES: Final = {"P": State.PENDING, "D": State.DECLINED}
_MINOR: Final = re.compile(r"[0-9]{1,13}")
_TIME: Final = "%Y/%m/%d %H:%M:%S %z"


def _read(row: Row, zone: tzinfo) -> ReportLine | None:
    if "ch" in row.places and row.get("CH") != "SB":
        return None
    code, credit = row.get("Transaction Event Code").upper(), row.get("Transaction Debit or Credit").upper() == "CR"
    kind = _kind(code, credit)
    amount = row.get("Gross Transaction Amount")
    if _MINOR.fullmatch(amount) is None:
        raise row.refuse("Gross Transaction Amount", "not an amount in minor units", "Expected digits only, as in 1250")
    reference = merchant_reference(row.get("Custom Field")) or merchant_reference(row.get("Invoice ID"))
    of_transaction = row.get("PayPal Reference ID Type").upper() == "TXN"
    return ReportLine(
        number=row.number,
        kind=kind,
        state=_STATES.get(row.get("Transactional Status").upper(), State.SETTLED),
        amount_minor=int(amount),
        currency=row.currency("Gross Transaction Currency"),
        at=row.moment("Transaction Initiation Date", zone, _TIME),
        reference=reference,
        transaction_id=row.get("Transaction ID"),
        sale_transaction_id=row.get("PayPal Reference ID") if of_transaction and kind is not Kind.SALE else "",
        said=f"{code} {'credit' if credit else 'debit'}",
    )


def _kind(code: str, credit: bool) -> Kind:
    if code.startswith(_PAYMENTS):
        return Kind.SALE if credit else Kind.OTHER
    if code.startswith(_FEES):
        return Kind.FEE
    kind = _CODES.get(code, Kind.OTHER)
    # What comes back of a refund or a chargeback is neither.
    return Kind.OTHER if credit and kind in (Kind.REFUND, Kind.CHARGEBACK) else kind


FORM: Final = Form(
    gateway="paypal",
    title="PayPal's settlement or transaction detail report",
    needed=(
        ("Transaction ID",),
        ("Transaction Event Code",),
        ("Transaction Initiation Date",),
        ("Transaction Debit or Credit",),
        ("Gross Transaction Amount",),
        ("Gross Transaction Currency",),
    ),
    read=_read,
)
