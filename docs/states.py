"""Prints docs/states.md, the states and moves of `rules/states.py`: `python -m docs.states > docs/states.md`."""

from __future__ import annotations

from enum import StrEnum

from rules import states
from rules.states import Moves

_TITLES: tuple[tuple[str, str, type[StrEnum], Moves], ...] = (
    ("Payment", "where a payment stands", states.Payment, states.PAYMENT_MOVES),
    ("Gateway transaction", "one operation at a gateway", states.Transaction, states.TRANSACTION_MOVES),
    ("Reversal", "getting the money back to the card", states.Reversal, states.REVERSAL_MOVES),
    ("Dispute", "a payer has the bank take a charge back", states.Dispute, states.DISPUTE_MOVES),
)


def document() -> str:
    """The whole page."""
    parts = ["# States and moves\n\nMade from `rules/states.py` by `python -m docs.states`. Any other move raises.\n"]
    for title, meaning, kind, moves in _TITLES:
        first = next(iter(kind))
        arrows = "\n".join(f"    {source} --> {target}: {move}" for (source, move), target in moves.items())
        rows = "\n".join(f"| `{source}` | {move} | `{target}` |" for (source, move), target in moves.items())
        parts.append(
            f"## {title}: {meaning}\n\n```mermaid\nstateDiagram-v2\n    [*] --> {first}\n{arrows}\n```\n\n"
            f"It begins as `{first}`.\n\n| from | by | to |\n| --- | --- | --- |\n{rows}\n"
        )
    return "\n".join(parts)


if __name__ == "__main__":
    print(document(), end="")  # noqa: T201 - printing is what it is for
