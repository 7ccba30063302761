"""The ways in: requests and files are checked, recorded in one transaction each, and then the worker is woken."""

from producer.connect import connected
from producer.payments import Producer
from producer.receipts import BatchReceipt, RefusedRow

__all__ = ["BatchReceipt", "Producer", "RefusedRow", "connected"]
