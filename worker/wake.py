"""The only sender of messages: wake-up calls, sent after the commit that made the work due (D1).

A call that is lost, or that a broker which is away never takes, costs delay: the sweeper comes (D3). So a failure
is logged and not raised, and comes within seconds.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any, Final, Literal

import redis
from celery import Celery
from kombu.exceptions import OperationalError

from rules.redaction import redact_text, refuse_card_data
from telemetry import traces
from worker import pulse, words

PaymentStep = Literal["post", "charge"]
WORKING: Final = "task-working"
"""The event by which a task says how far it is; Flower shows its state as WORKING."""
CROWDED: Final = 200
"""So many calls wait in a queue that it gets no more from the sweeper: who takes them finds all that is due."""
ReversalStep = Literal["void", "confirm", "refund", "watch"]

_log = logging.getLogger(__name__)

# A person may be waiting for the request that wakes: one more try over a fresh connection, and that is it.
_SECONDS: Final = 1
_ONCE_MORE: Final = {"max_retries": 1, "interval_start": 0, "interval_step": 0, "interval_max": 0}


class Wake:
    """Sends wake-up calls through one broker. Works in any process, with or without a worker."""

    def __init__(self, redis_url: str) -> None:
        self._broker = redis.Redis.from_url(redis_url, socket_connect_timeout=_SECONDS, socket_timeout=_SECONDS)
        self._app = Celery("wake", broker=redis_url, set_as_current=False)
        self._app.config_from_object("celeryconfig")
        self._app.conf.task_send_sent_event = False
        self._app.conf.broker_transport_options = {
            **_ONCE_MORE,
            "connect_retries_timeout": _SECONDS,
            "socket_connect_timeout": _SECONDS,
            "socket_timeout": _SECONDS,
            "socket_keepalive": True,
        }

    def batch(self, batch_id: int, step: PaymentStep, lanes: int) -> bool:
        """Let `lanes` tasks work on a batch side by side. Says whether the broker took the calls, as all here do."""
        calls = [{"batch": batch_id, "lane": f"{lane} of {lanes}"} for lane in range(1, lanes + 1)]
        return self._send(step, "bulk", calls)

    def payment(self, payment_id: int, step: PaymentStep) -> bool:
        """Somebody is waiting for this payment."""
        return self._send(step, "interactive", [{"payment": payment_id}])

    def singles(self, step: PaymentStep) -> bool:
        """Payments of no batch are due."""
        return self._send(step, "scheduled", [{}])

    def inquiries(self, payment_id: int | None = None) -> bool:
        """Outcomes are to be looked up (E4); somebody is waiting where a payment is named."""
        return self._send_for("inquire", payment_id)

    def reversals(self, step: ReversalStep, payment_id: int | None = None) -> bool:
        """Reversals are due (R11); somebody is waiting where a payment is named."""
        return self._send_for(step, payment_id)

    def mails(self, mail_id: int | None = None) -> bool:
        """Receipts are to be sent, or one is."""
        return self._send("mail", "outbound", [{} if mail_id is None else {"mail": mail_id}])

    def notices(self) -> bool:
        """Notices of gateways came, and are to be looked at."""
        return self._send("notice", "scheduled", [{}])

    def webhooks(self) -> bool:
        """Apps are to be told what happened."""
        return self._send("webhook", "outbound", [{}])

    def schedules(self) -> bool:
        """Dates of schedules have come."""
        return self._send("schedule", "scheduled", [{}])

    def crowded(self) -> frozenset[str]:
        """Those queues for batches, mail and apps in which calls pile up; none where the broker is away."""
        try:
            return frozenset(queue for queue in ("bulk", "outbound") if int(str(self._broker.llen(queue))) >= CROWDED)
        except redis.RedisError:
            return frozenset()

    def swept(self) -> None:
        """Say that what is overdue was looked for: a sign of life for `defray doctor`."""
        pulse.swept(self._broker)

    def tell(self, task_id: str, worker: str, so_far: str) -> bool:
        """Let Flower show what a task that still works did so far. Says whether the broker took it."""
        try:
            with self._app.events.default_dispatcher(hostname=worker) as events:
                events.send(WORKING, uuid=task_id, result=redact_text(so_far), retry=True, retry_policy=_ONCE_MORE)
        except OperationalError as reason:
            _log.warning("Flower was not told how far a task is: no broker: %s", reason)
            return False
        return True

    def close(self) -> None:
        """Give the connections back."""
        self._broker.close()
        self._app.close()

    def _send_for(self, step: str, payment_id: int | None) -> bool:
        if payment_id is None:
            return self._send(step, "scheduled", [{}])
        return self._send(step, "interactive", [{"payment": payment_id}])

    def _send(self, step: str, queue: str, calls: Iterable[dict[str, Any]]) -> bool:
        part = traces.traceparent()
        try:
            for arguments in calls:
                refuse_card_data(arguments)
                self._app.send_task(
                    f"defray.{step}",
                    kwargs=arguments,
                    queue=queue,
                    retry=True,
                    retry_policy=_ONCE_MORE,
                    argsrepr=words.of_call(step, arguments),
                    headers={"traceparent": part} if part else None,
                )
        except OperationalError as reason:  # away, or full, or a replica since a failover
            why = f"nobody was woken for defray.{step}, the sweeper will: no broker: {reason}"
            _log.warning(why, extra={"step": step})
            return False
        return True
