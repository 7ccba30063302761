"""Prints docs/gateways/README.md, what each gateway can do: `python -m docs.gateways > docs/gateways/README.md`."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Final

from gateways.catalog import KINDS
from gateways.contract import Refunds, Traits, Voids
from gateways.wire import TWO_DECIMALS

PAGES: Final = Path(__file__).parent
_SECTIONS: Final = ("What proves what", "Where it differs")

_VOIDS: Final = {
    Voids.UNTIL_SETTLED: "a sale until it has settled",
    Voids.NEVER: "no sale, an authorization only",
}
_REFUNDS: Final = {
    Refunds.ONE: "once, whole or a part",
    Refunds.MANY: "in parts, together at most the sale",
}

_ROWS: Final[tuple[tuple[str, Callable[[Traits], str]], ...]] = (
    ("Currencies", lambda traits: _currencies(traits.currencies)),
    ("Largest amount, in minor units", lambda traits: f"{traits.amount_minor_max:,}"),
    ("Authorize, capture later", lambda traits: _yes(traits.authorizes)),
    ("Void", lambda traits: _VOIDS[traits.voids]),
    ("A void after a refund", lambda traits: "undoes the refund" if traits.void_undoes_latest else "is refused"),
    ("Refund", lambda traits: _REFUNDS[traits.refunds]),
    ("Refund within", lambda traits: _span(traits.refund_within) if traits.refund_within else "no limit named"),
    ("Stored cards (C4)", lambda traits: _yes(traits.keeps_cards)),
    ("Absence proves something after", lambda traits: _span(traits.appears_within)),
    ("The same reference is sent again for", lambda traits: _span(traits.replay_window)),
)


def document() -> str:
    """The whole page: the traits of all gateways beside each other, then what each one's own page says of proofs."""
    kinds = {name: kind.title for name, kind in KINDS.items() if (PAGES / f"{name}.md").exists()}
    traits = {name: import_module(f"gateways.{name}").GATEWAY.traits for name in kinds}
    heads = [f"[{title}]({name}.md)" for name, title in kinds.items()]
    table = [["", *heads], ["---"] * (len(heads) + 1)]
    table += [[label, *(value(traits[name]) for name in kinds)] for label, value in _ROWS]
    lines = "\n".join(f"| {' | '.join(row)} |" for row in table)
    parts = [
        "# Gateways\n\nMade from the gateways' traits and pages by `python -m docs.gateways`. What is not proven is"
        " `unknown`: it is\nlooked up, never guessed (E3, E4). Another one:"
        " [adding-a-gateway.md](../adding-a-gateway.md).\n",
        lines + "\n",
    ]
    for section in _SECTIONS:
        parts.append(f"## {section}\n")
        parts += [f"### {title}\n\n{text}\n" for name, title in kinds.items() if (text := _section(name, section))]
    return "\n".join(parts)


def _section(name: str, title: str) -> str:
    page = (PAGES / f"{name}.md").read_text()
    found = re.search(rf"^## {title}\n(.+?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    return found[1].strip() if found else ""


def _currencies(codes: frozenset[str]) -> str:
    if codes == TWO_DECIMALS:
        return f"the {len(codes)} with two decimals"
    return ", ".join(sorted(codes)) if len(codes) <= 30 else f"{len(codes)} of them"


def _yes(can: bool) -> str:
    return "yes" if can else "no"


def _span(time: timedelta) -> str:
    for unit, length in (("days", timedelta(days=1)), ("hours", timedelta(hours=1)), ("minutes", timedelta(minutes=1))):
        if time > length and not time % length:
            return f"{time // length} {unit}"
    return f"{time.total_seconds():g} seconds"


if __name__ == "__main__":
    print(document(), end="")  # noqa: T201 - printing is what it is for
