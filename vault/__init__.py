"""Card numbers in the clear exist only here and in a gateway's request (C1, C2).

`Vault` seals cards into one table and opens them for a charge; `Keyring` holds the keys that wrap each card's own data
key; `HourKeys` holds the keys of the security codes, which are gone within a day.
"""

from vault.hours import HourKeys
from vault.keyring import Keyring
from vault.store import Rotated, SealedCard, Vault

__all__ = ["HourKeys", "Keyring", "Rotated", "SealedCard", "Vault"]
