"""The parsers that are fuzzed: each has a module here with `check(data)`, and a folder of inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Final

NAMES: Final = (
    "payflow",
    "plugnpay",
    "stripe",
    "paypal",
    "authorizenet",
    "notices",
    "reports",
    "bank_files",
    "csv_import",
    "json_import",
    "api_requests",
    "money",
    "redaction",
    "webhook_address",
    "cards",
)


def corpus_of(name: str) -> Path:
    """The inputs that are kept."""
    return Path(__file__).parent / "corpus" / name
