"""Addresses in Flower, the view of the workers: its list of tasks, searched for those of a batch or a payment."""

from __future__ import annotations

from urllib.parse import quote


def tasks_of_batch(flower: str, batch_id: int) -> str:
    """The tasks that work on a batch; "" without Flower."""
    return _tasks(flower, f"kwargs:batch={batch_id}")


def tasks_of_payment(flower: str, payment_id: int, batch_id: int | None) -> str:
    """The tasks that work on a payment, or on the batch that it came in; "" without Flower."""
    if batch_id is None:
        return _tasks(flower, f"kwargs:payment={payment_id}")
    return _tasks(flower, f"(kwargs:payment={payment_id} OR kwargs:batch={batch_id})")


def _tasks(flower: str, search: str) -> str:
    # Flower's page takes no search as such from its address, but a task's name, and a search may go on behind it.
    return f"{flower.rstrip('/')}/tasks?name={quote(f'defray {search}', safe='')}" if flower else ""
