"""A payment card: what is checked at the edge, and what may be shown of it (C1)."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Card:
    """A card in the clear: exists only in the vault and in a gateway's request, and shows nothing of itself."""

    number: str = field(repr=False)
    exp_month: int = field(repr=False)
    exp_year: int = field(repr=False)  # four digits
    security_code: str | None = field(default=None, repr=False)
    name: str = field(default="", repr=False)
    street: str = field(default="", repr=False)
    city: str = field(default="", repr=False)
    state: str = field(default="", repr=False)
    postal_code: str = field(default="", repr=False)
    country: str = field(default="", repr=False)  # ISO 3166-1 alpha-2, empty where not known
