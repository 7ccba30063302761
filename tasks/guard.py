"""E7 in a worker: its database is compared with what was seen of it, and what is sent is remembered outside it."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from books import epoch
from books.epoch import Quarantine
from rules.epoch import AfterFailover, Mark
from worker.witness import Witness

_LOOK_SECONDS: Final = 5.0
"""How often it is looked at anew on connections that last; a restore that ends them is found at once."""
_MARK: Final = "defray.epoch"

_log = logging.getLogger(__name__)


class Guard:
    """Looks at each new connection before it is used, and every few seconds."""

    def __init__(self, witness: Witness, after_failover: AfterFailover) -> None:
        self._witness = witness
        self._after_failover = after_failover
        self._look_at = 0.0
        self._life = ""
        self.quarantine: Quarantine | None = None

    def check(self, conn: Connection, now: datetime, by: str) -> None:
        """To be called at the beginning of a transaction; one more look a connection and every few seconds."""
        if conn.info.get(_MARK) is self and time.monotonic() < self._look_at:
            return
        found = epoch.check(conn, self._witness, self._after_failover, now, by)
        conn.info[_MARK] = self
        # A quarantine that is written here may yet be rolled back: by every connection it is looked for until it ends.
        self._look_at = 0.0 if found.quarantine else time.monotonic() + _LOOK_SECONDS
        if found.quarantine and not self.quarantine:
            _log.critical("quarantined: nothing is charged, voided or refunded", extra={"reason": found.quarantine.why})
        elif self.quarantine and not found.quarantine:
            _log.warning("the quarantine has ended")
        self._life, self.quarantine = found.life, found.quarantine

    def sent(self, transaction_ids: Iterable[int]) -> None:
        """What was committed as `started`; to be called before it is sent."""
        newest = max(transaction_ids, default=0)
        if newest:
            self._witness.keep(self._life, Mark(newest, 0))
