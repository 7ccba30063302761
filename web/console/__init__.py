"""The console's windows: one router file a window, its template beside it in web/templates/console/."""

from web.console import find, login, progress, record

ROUTERS = (login.router, find.router, record.router, progress.router)
"""Every window; a new one is put here."""

__all__ = ["ROUTERS"]
