"""Card numbers in the clear exist only here and in a gateway's request (C1, C2).

`Vault` seals cards into one table and opens them for a charge; `Keyring` holds the keys that wrap each card's own data
key, and `KeyFile` keeps a process's keys as the file has them, checked against the database; `HourKeys` holds the keys
of the security codes, which are gone within a day.
Other short secrets are sealed under the same keyring, bound to what they are for.
"""

from vault.hours import HourKeys
from vault.key_file import KeyFile
from vault.keyring import Keyring
from vault.store import Rotated, SealedCard, Vault, sealed_by
from vault.texts import SealedText, unpacked

__all__ = ["HourKeys", "KeyFile", "Keyring", "Rotated", "SealedCard", "SealedText", "Vault", "sealed_by", "unpacked"]
