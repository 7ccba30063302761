"""What a task tells of the gateways' answers: a line each, and a span each call. Of a batch, only some and the sums.

Words of a gateway are in neither: they stand in the evidence.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import fields
from typing import Final, Protocol, TypeVar

from books.tally import Tally
from gateways.contract import Reply
from gateways.window import Broke
from rules.outcomes import Found, NoAnswer, Outcome, Sighting, Unknown
from telemetry import traces

R = TypeVar("R")

ONE_OF_BATCH: Final = 100
"""Of a batch's calls, so many are told by one span."""

_log = logging.getLogger(__name__)


class About(Protocol):
    """What a call is about: a sale, void or refund that was begun, or a question."""

    @property
    def transaction_id(self) -> int: ...
    @property
    def payment_id(self) -> int: ...
    @property
    def gateway(self) -> str: ...


Answer = Reply[Outcome] | Reply[Sighting] | Broke


def call(operation: str, about: About, make: Callable[[], R], *, in_batch: bool = False) -> Callable[[], R]:
    """The call, with a span of its own where spans are sent: what, where, and what the answer proved."""
    present = traces.current()
    if present is None or not traces.sent() or (in_batch and about.transaction_id % ONE_OF_BATCH):
        return make
    return _told(present, operation, about.gateway, make, payment=about.payment_id, transaction=about.transaction_id)


def question(operation: str, gateway: str, make: Callable[[], R]) -> Callable[[], R]:
    """The same for a call that is about no transaction of ours."""
    present = traces.current()
    return make if present is None or not traces.sent() else _told(present, operation, gateway, make)


def _told(present: traces.Span, operation: str, gateway: str, make: Callable[[], R], **ids: int) -> Callable[[], R]:
    def with_span() -> R:
        name = f"{operation} at {gateway}"
        span = traces.below(present, name, "client", gateway=gateway, operation=operation, **ids)
        try:
            reply = make()
        except Exception as error:
            span.failed(type(error).__name__)
            raise
        else:
            if isinstance(reply, Reply | Broke):
                span.say(outcome=_outcome(reply))
            return reply
        finally:
            span.end()

    return with_span


def answers(operation: str, heard: Iterable[tuple[About, Answer]], *, in_batch: bool = False) -> None:
    """A line for each answer; of a batch's only where details are asked for."""
    usual = logging.DEBUG if in_batch else logging.INFO
    if not _log.isEnabledFor(usual):
        return
    for about, reply in heard:
        outcome = _outcome(reply)
        unclear = isinstance(reply, Broke) or isinstance(reply.result, Unknown | NoAnswer)
        _log.log(
            usual if in_batch or not unclear else logging.WARNING,
            "%s at %s: %s",
            operation,
            about.gateway,
            outcome,
            extra={
                "operation": operation,
                "payment": about.payment_id,
                "transaction": about.transaction_id,
                "gateway": about.gateway,
                "outcome": outcome,
                "code": None if isinstance(reply, Broke) else getattr(reply.result, "code", None),
                "reason": reply.where if isinstance(reply, Broke) else None,
            },
        )


def sums(event: str, tally: Tally) -> None:
    """How many took which turn; nothing where none took any."""
    counted = {one.name: getattr(tally, one.name) for one in fields(tally)}
    counts = {name: count for name, count in counted.items() if isinstance(count, int) and count}
    if counts:
        level = logging.WARNING if tally.set_aside else logging.INFO
        _log.log(level, event, extra={"counts": counts})


def _outcome(reply: Answer) -> str:
    match reply:
        case Broke():
            return "broke"
        case Reply(result=Found(outcome=outcome)):
            return f"found {type(outcome).__name__.lower()}"
        case Reply(result=NoAnswer()):
            return "no answer"
    return type(reply.result).__name__.lower()
