"""Cards as the gateways themselves keep them (C4)."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, LargeBinary, Table, UniqueConstraint

from models import metadata
from models.columns import identity, minor, moment, words

gateway_cards = Table(
    "gateway_cards",
    metadata,
    identity(),
    words("card_token"),  # of the vault
    words("gateway"),
    words("account"),
    words("key_id", nullable=True),
    Column("sealed", LargeBinary, nullable=True),  # the gateway's token; null: it gave none
    words("network_reference", default=""),  # what the network called the first approved sale
    words("brand"),
    minor("first_amount_minor"),
    words("currency"),
    moment("kept_at", nullable=False),
    moment("last_used"),
    moment("refused_at"),  # the gateway takes the token no longer; it stays for what was sent with it and is not known
    UniqueConstraint("card_token", "gateway", "account"),
    CheckConstraint("(sealed IS NULL) = (key_id IS NULL)", name="sealed_with_key"),
)
"""What stands in for a card's number at one merchant account. A token that was given never changes, so that a sale is
sent again byte for byte (E4)."""
