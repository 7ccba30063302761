"""Every state and every move, and that nothing else is possible."""

from __future__ import annotations

import subprocess
import sys
from enum import StrEnum
from pathlib import Path

import pytest

from rules import states
from rules.errors import MoveRefused
from rules.states import Moves

TABLES: list[tuple[type[StrEnum], Moves]] = [
    (states.Payment, states.PAYMENT_MOVES),
    (states.Transaction, states.TRANSACTION_MOVES),
    (states.Reversal, states.REVERSAL_MOVES),
    (states.Dispute, states.DISPUTE_MOVES),
]


@pytest.mark.parametrize(("kind", "moves"), TABLES, ids=lambda value: getattr(value, "__name__", ""))
def test_every_pair_of_state_and_move_is_a_move_of_the_table_or_raises(kind: type[StrEnum], moves: Moves) -> None:
    """DESIGN section 3: what the table lacks raises, and says what is possible."""
    names = sorted({move for _, move in moves})
    for state in kind:
        for move in names:
            if (state, move) in moves:
                assert states.after(state, move) is moves[state, move]
            else:
                with pytest.raises(MoveRefused, match=f"not possible: the {kind.__name__.lower()} is {state}"):
                    states.after(state, move)


@pytest.mark.parametrize(("kind", "moves"), TABLES, ids=lambda value: getattr(value, "__name__", ""))
def test_every_state_can_be_reached(kind: type[StrEnum], moves: Moves) -> None:
    """A state that no move leads to is dead code."""
    reached = {next(iter(kind))}
    while more := {target for (source, _), target in moves.items() if source in reached} - reached:
        reached |= more
    assert reached == set(kind)


@pytest.mark.parametrize("ended", [states.Payment.DECLINED, states.Payment.CANCELLED, states.Payment.VOIDED])
def test_what_has_ended_cannot_be_voided(ended: states.Payment) -> None:
    """R13: a void of a void, of a declined or of a cancelled payment is refused with a clear error."""
    with pytest.raises(MoveRefused, match=f"To void is not possible: the payment is {ended}. It has ended."):
        states.after(ended, "void")


def test_a_late_approval_is_surplus() -> None:
    """Section 3: an approval after declined or failed is not dropped and frees no further sale."""
    assert states.after(states.Transaction.FAILED, "approve") is states.Transaction.SURPLUS
    assert states.after(states.Transaction.DECLINED, "approve") is states.Transaction.SURPLUS


def test_unknown_ends_only_by_an_answer() -> None:
    """B12: no clock moves an unknown outcome; only approve, decline, fail and hold do, each made from an answer."""
    moves = {move for source, move in states.TRANSACTION_MOVES if source is states.Transaction.UNKNOWN}
    assert moves == {"approve", "decline", "fail", "hold"}


def test_the_drawing_in_the_docs_is_made_from_the_table() -> None:
    """docs/states.md is what `python -m docs.states` prints today."""
    root = Path(__file__).resolve().parents[2]
    printed = subprocess.run(
        [sys.executable, "-m", "docs.states"], cwd=root, capture_output=True, text=True, check=True
    ).stdout
    assert (root / "docs/states.md").read_text() == printed
