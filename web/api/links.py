"""How one call leads to the next, as OpenAPI links: who reads the document finds what to do with an answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from web.api.taken import Schema

_BODY: Final = "$response.body#/"


def _by(parameter: str, value: str = "id") -> Schema:
    return {"parameters": {parameter: f"{_BODY}{value}"}}


def _with(**fields: Any) -> Schema:
    return {"requestBody": fields}


_OF_CUSTOMER: Final = {
    "customers_get": _by("number", "number"),
    "invoices_create": _with(customer=f"{_BODY}number"),
    "payments_create": _with(customer=f"{_BODY}number"),
    "invoices_list": _by("customer", "number"),
    "payments_list": _by("customer", "number"),
    "credits_list": _by("customer", "number"),
    "credits_apply": _with(customer=f"{_BODY}number"),
    "schedules_list": _by("customer", "number"),
    "holds_place": _with(customer=f"{_BODY}number"),
}
_PAYS: Final = _with(
    customer=f"{_BODY}customer",
    method="check",
    invoices=[f"{_BODY}number"],
    currency=f"{_BODY}currency",
    amount_minor=f"{_BODY}amount_minor",
)
_OF_INVOICE: Final = {
    "invoices_get": _by("invoice_id"),
    "invoices_void": _by("invoice_id"),
    "payments_preview": _PAYS,
    "payments_create": _PAYS,
}
_OF_PAYMENT: Final = {
    f"payments_{act}": _by("payment_id") for act in ("get", "progress", "move", "cancel", "void", "refund")
}
_OF_SCHEDULE: Final = {
    f"schedules_{act}": _by("schedule_id") for act in ("get", "runs", "skip", "pause", "resume", "stop")
}
_OF_BATCH: Final = {
    "batches_get": _by("batch_id"),
    "batches_progress": _by("batch_id"),
    "payments_list": _by("batch", "id"),
}
_OF_ENDPOINT: Final = {
    f"webhook_endpoints_{act}": _by("endpoint_id")
    for act in ("get", "deliveries", "rotate", "enable", "replay", "delete")
}
_OF_CARD: Final = {"payments_create": _with(method="credit_card", card_token=f"{_BODY}token")}

LINKS: Final[Mapping[str, Mapping[str, Schema]]] = {
    "customers_create": _OF_CUSTOMER,
    "customers_get": _OF_CUSTOMER,
    "invoices_create": _OF_INVOICE,
    "invoices_get": _OF_INVOICE,
    "cards_keep_card": _OF_CARD,
    "payments_create": _OF_PAYMENT,
    "batches_create": _OF_BATCH,
    "schedules_create": _OF_SCHEDULE,
    "holds_place": {"holds_get": _by("number", "customer"), "holds_lift": _with(customer=f"{_BODY}customer")},
    "webhook_endpoints_create": _OF_ENDPOINT,
}
"""By the call that is answered, the calls that its answer leads to."""


def after(call: str) -> dict[str, Schema]:
    """The links of a call's answer."""
    return {call_after: {"operationId": call_after, **how} for call_after, how in LINKS.get(call, {}).items()}
