"""Authorize.Net: transactions downloaded to a file, "Expanded Fields", comma separated.

Times name the account's time zone by its letters ("21-Aug-2006 03:26:12 PM MDT").
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone, tzinfo
from typing import Final

from reports.form import Form, Row, merchant_reference, plainly
from rules.reconciling import Kind, ReportLine, State

_TYPES: Final = {
    "authorizationwautocapture": Kind.SALE,
    "priorauthorizationcapture": Kind.SALE,
    "captureonly": Kind.SALE,
    "authcapture": Kind.SALE,
    "credit": Kind.REFUND,
    "refund": Kind.REFUND,
}
_SETTLED: Final = ("settledsuccessfully", "refundsettledsuccessfully", "credited", "refunded")
_PENDING: Final = (
    "capturedpendingsettlement",
    "refundpendingsettlement",
    "pendingsettlement",
    "pendingfinalsettlement",
    "updatingsettlement",
    "underreview",
    "fdspendingreview",
)
_DECLINED: Final = (
    "declined",
    "expired",
    "generalerror",
    "failedreview",
    "communicationerror",
    "settlementerror",
)
_STATES: Final = {
    **dict.fromkeys(_SETTLED, State.SETTLED),
    **dict.fromkeys(_PENDING, State.PENDING),
    **dict.fromkeys(_DECLINED, State.DECLINED),
    "voided": State.VOIDED,
}
_TAKEN_BACK: Final = ("chargeback", "returneditem")
_HOURS: Final = {
    "UTC": 0, "GMT": 0, "EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7,
    "AKST": -9, "AKDT": -8, "HST": -10, "BST": 1, "CET": 1, "CEST": 2, "AEST": 10, "AEDT": 11,
}  # fmt: skip
_ZONES: Final = {letters: timezone(timedelta(hours=hours)) for letters, hours in _HOURS.items()}
_TIME: Final = "%d-%b-%Y %I:%M:%S %p"


def _read(row: Row, zone: tzinfo) -> ReportLine | None:
    transaction_id = row.get("Transaction ID")
    if not transaction_id or not (row.get("Transaction Type") or row.get("Submit Date/Time")):
        return None
    kind_said, state_said = row.get("Transaction Type"), row.get("Transaction Status")
    kind, state = _TYPES.get(plainly(kind_said), Kind.OTHER), _STATES.get(plainly(state_said))
    if plainly(state_said) in _TAKEN_BACK:
        kind, state = Kind.CHARGEBACK, State.SETTLED
    if state is None:
        kind, state = Kind.OTHER, State.PENDING
    settled = row.get("Settlement Amount") not in ("", "0.00", "0")
    amount = "Settlement Amount" if settled else "Authorization Amount"
    named = "Settlement Currency" if settled else "Authorization Currency"
    currency = row.currency(named if row.get(named) else "Currency")
    original = row.get("Reference Transaction ID")
    return ReportLine(
        number=row.number,
        kind=kind,
        state=state,
        amount_minor=abs(row.amount(amount, currency)),
        currency=currency,
        at=_moment(row, zone),
        reference=merchant_reference(row.get("Invoice Number")),
        transaction_id=transaction_id,
        sale_transaction_id=original if original.isdecimal() and original != "0" else "",
        said=f"{kind_said}, {state_said}",
    )


def _moment(row: Row, zone: tzinfo) -> datetime:
    column = "Submit Date/Time"
    letters = row.get(column).rpartition(" ")[2]
    if letters in _ZONES:
        return row.moment(column, _ZONES[letters], f"{_TIME} {letters}")
    return row.moment(column, zone, _TIME)


FORM: Final = Form(
    gateway="authorizenet",
    title="Authorize.Net's download of transactions",
    needed=(
        ("Transaction ID",),
        ("Transaction Status",),
        ("Transaction Type",),
        ("Submit Date/Time",),
        ("Settlement Amount",),
        ("Authorization Amount",),
    ),
    read=_read,
    zone="America/Denver",
)
