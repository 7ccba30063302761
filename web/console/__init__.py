"""The console's windows: one router file a window, its template beside it in web/templates/console/."""

from web.console import (
    aging,
    batches,
    cards,
    charts,
    customer_payment,
    decisions,
    deposits,
    dispute,
    find,
    gateways,
    header,
    keys,
    login,
    me,
    payment,
    progress,
    receipt,
    record,
    refund_part,
    retries,
    statement,
    story,
    users,
    void,
    waiting,
)
from web.console import (
    credits as customer_credits,
)

ROUTERS = (
    login.router,
    find.router,
    header.router,
    waiting.router,
    batches.router,
    retries.router,
    record.router,
    customer_credits.router,
    progress.router,
    customer_payment.router,
    cards.router,
    payment.router,
    void.router,
    refund_part.router,
    dispute.router,
    decisions.router,
    receipt.router,
    story.router,
    deposits.router,
    charts.router,
    aging.router,
    statement.router,
    me.router,
    users.router,
    keys.router,
    gateways.router,
)
"""Every window; a new one is put here."""

__all__ = ["ROUTERS"]
