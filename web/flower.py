"""Addresses in Flower, the view of the workers: its list of tasks, searched for those of a batch or a payment."""

from __future__ import annotations

from urllib.parse import quote


def tasks_of_batch(flower: str, batch_id: int) -> str:
    """The tasks that work on a batch; "" without Flower."""
    return _tasks(flower, f"batch={batch_id}")


def tasks_of_payment(flower: str, payment_id: int) -> str:
    """The tasks that work on a payment which came alone; "" without Flower."""
    return _tasks(flower, f"payment={payment_id}")


def _tasks(flower: str, argument: str) -> str:
    # Flower's page takes no search as such from its address, but a task's name, and a search may go on behind it.
    return f"{flower.rstrip('/')}/tasks?name={quote(f'defray kwargs:{argument}', safe='')}" if flower else ""
