"""Counters of what gateways answered and of events, for `/metrics`, counted from the books since this process began.

Every web process counts the same, each from its own start: take one of them, or `max without (instance)`, not the sum.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import accumulate
from typing import Final

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from sqlalchemy.exc import SQLAlchemyError

from books import counts
from books.counts import Place
from rules.events import ALARMS
from web.office import Office

BOUNDS: Final = (50, 100, 250, 500, 1_000, 2_000, 5_000, 10_000, 30_000, 60_000)
"""Milliseconds."""


class Counted:
    """What was counted so far; not safe for threads."""

    def __init__(self) -> None:
        self._place: Place | None = None
        self._within: dict[tuple[str, str, str], list[int]] = {}
        self._took: dict[tuple[str, str, str], int] = {}
        self._declines: Counter[tuple[str, ...]] = Counter()
        # Named from the start: of a counter that begins at 1, Prometheus sees no increase.
        self._events: Counter[tuple[str, ...]] = Counter({(alarm,): 0 for alarm in ALARMS})

    def look(self, at: Office) -> Iterator[Metric]:
        """Count what came since; where the database does not answer, what is known already."""
        try:
            with at.reading() as (conn, now):
                if self._place is None:
                    self._place = counts.here(conn, now)
                self._add(counts.since(conn, self._place, BOUNDS, now))
        except SQLAlchemyError:
            pass  # `defray_database_up` tells
        yield self._answers()
        yield self._of("defray_declines", "Declined sales.", ["gateway", "class"], self._declines)
        yield self._of(
            "defray_events",
            "What happened, by its name in the history; alarms too.",
            ["what"],
            self._events,
        )

    def _add(self, found: counts.Counts) -> None:
        for one in found.answers:
            outcome = (one.gateway, one.operation, one.state)
            known = self._within.setdefault(outcome, [0] * len(one.within))
            self._within[outcome] = [a + b for a, b in zip(known, one.within, strict=True)]
            self._took[outcome] = self._took.get(outcome, 0) + one.milliseconds
            if one.state == "declined":
                self._declines[one.gateway, one.decline_class] += sum(one.within)
        self._events.update({(what,): happened for what, happened in found.events.items()})
        self._place = found.upto

    def _answers(self) -> Metric:
        family = HistogramMetricFamily(
            "defray_gateway_seconds",
            "Seconds from the record that it will be sent to the record of its answer.",
            labels=["gateway", "operation", "outcome"],
        )
        for outcome, within in sorted(self._within.items()):
            upto = [*(str(bound / 1000) for bound in BOUNDS), "+Inf"]
            family.add_metric(outcome, list(zip(upto, accumulate(within), strict=True)), self._took[outcome] / 1000)
        return family

    @staticmethod
    def _of(name: str, says: str, labels: list[str], counted: Counter[tuple[str, ...]]) -> Metric:
        family = CounterMetricFamily(name, says, labels=labels)
        for values, happened in sorted(counted.items()):
            family.add_metric(values, happened)
        return family
