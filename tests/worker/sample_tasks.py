"""Tasks that show what a worker does, without Defray's own; imported by workers only, since the names are the same."""

from celery import shared_task

from tests.worker.canary import CARD
from worker import boot


@shared_task(name="defray.charge")  # type: ignore[untyped-decorator]
def charge(batch: int, lane: str) -> str:
    boot.process().engine.connect().close()
    return f"batch {batch}, lane {lane}: charged 391, declined 9"


@shared_task(name="defray.retry")  # type: ignore[untyped-decorator]
def fail() -> str:
    raise ValueError(f"could not read ACCT={CARD}&CVV2=123")
