"""The console's windows: one router file a window, its template beside it in web/templates/console/."""

from web.console import customer_payment, find, login, payment, progress, receipt, record

ROUTERS = (
    login.router,
    find.router,
    record.router,
    progress.router,
    customer_payment.router,
    payment.router,
    receipt.router,
)
"""Every window; a new one is put here."""

__all__ = ["ROUTERS"]
