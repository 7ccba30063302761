"""Every input that fuzzing found worth keeping, given to its parser again (`make fuzz` looks for more)."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

from tests.fuzz.parsers import NAMES, corpus_of


@pytest.mark.parametrize("name", NAMES)
def test_what_was_found_before(name: str) -> None:
    """B17 to B19: no input breaks the parser, makes an approval of nothing, or lets card data through."""
    inputs = sorted(corpus_of(name).iterdir())
    assert inputs
    check = import_module(f"tests.fuzz.{name}").check
    for path in inputs:
        try:
            check(path.read_bytes())
        except Exception as error:
            error.add_note(f"by {path.name}")
            raise


def test_every_parser_is_named() -> None:
    """A module here with a `check` is fuzzed by `make fuzz`."""
    modules = [path for path in Path(__file__).parent.glob("*.py") if "\ndef check(data: bytes)" in path.read_text()]
    assert {path.stem for path in modules} == set(NAMES)
