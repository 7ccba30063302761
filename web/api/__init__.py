"""The API for upstream apps: JSON under /v1, by key (docs/api.md)."""

from __future__ import annotations

from typing import Final

from web.api import batches, customers, events, holds, invoices, payments, schedules, webhook_endpoints
from web.api import credits as customer_credits

ROUTERS: Final = tuple(
    part.router
    for part in (
        customers,
        invoices,
        payments,
        customer_credits,
        batches,
        schedules,
        holds,
        events,
        webhook_endpoints,
    )
)
"""All of it; cards are taken by `web.cards`, which the console shares."""
