"""Stripe: an itemized report of balance transactions as CSV, of payout reconciliation or of balance change.

Amounts are decimals in major units, below 0 for what leaves. `gross` is in the currency of the payout; what the
customer was charged stands in `customer_facing_amount`, where that column was asked for.
"""

from __future__ import annotations

from datetime import UTC, tzinfo
from typing import Final

from reports.form import Form, Row, merchant_reference
from rules.reconciling import Kind, ReportLine, State

_KINDS: Final = {
    "charge": Kind.SALE,
    "refund": Kind.REFUND,
    "refund_failure": Kind.REFUND,
    "dispute": Kind.CHARGEBACK,
    "fee": Kind.FEE,
}


def _read(row: Row, zone: tzinfo) -> ReportLine | None:
    if not row.get("balance_transaction_id"):
        return None
    category = row.get("reporting_category")
    kind = _KINDS.get(category, Kind.OTHER)
    amount, currency = "gross", "currency"
    if row.get("customer_facing_amount") and row.get("customer_facing_currency"):
        amount, currency = "customer_facing_amount", "customer_facing_currency"
    code = row.currency(currency)
    intent = row.get("payment_intent_id")
    metadata = "refund_metadata" if kind is Kind.REFUND else "payment_metadata"
    return ReportLine(
        number=row.number,
        kind=kind,
        state=State.DECLINED if category == "refund_failure" else State.SETTLED,
        amount_minor=abs(row.amount(amount, code)),
        currency=code,
        at=row.moment("created_utc", UTC) if row.get("created_utc") else row.moment("created", zone),
        reference=merchant_reference(row.get(f"{metadata}[merchant_reference]")),
        transaction_id=intent if kind is Kind.SALE else row.get("source_id"),
        sale_transaction_id=intent,
        said=category,
    )


FORM: Final = Form(
    gateway="stripe",
    title="Stripe's itemized report",
    needed=(
        ("balance_transaction_id",),
        ("created_utc", "created"),
        ("currency",),
        ("gross",),
        ("reporting_category",),
    ),
    read=_read,
)
