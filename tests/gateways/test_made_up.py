"""A sixth gateway, made up: docs/adding-a-gateway.md is followed word by word in a copy of the project."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.gateways.missing import missing

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "adding-a-gateway.md").read_text()
BLOCKS = dict(re.findall(r"^```[a-z]+ (\S+)\n(.+?)^```$", PAGE, re.MULTILINE | re.DOTALL))


def _into_mapping(name: str, text: str, block: str) -> str:
    """The block as the last entries of the mapping `name`."""
    end = text.index("\n}\n", text.index(f"{name}: ")) + 1
    return text[:end] + block + text[end:]


def _into_protocols(text: str, block: str) -> str:
    listed = re.sub(r"(PROTOCOLS: Final.*?),?\s*\)\n", r"\1, Tinpay)\n", text, count=1, flags=re.DOTALL)
    return listed.replace("from sandbox.payflow", f"{block}from sandbox.payflow")


PLACES: dict[str, Callable[[str, str], str]] = {
    "gateways/catalog.py": lambda text, block: _into_mapping("KINDS", text, block),
    "pyproject.toml": lambda text, block: text.replace('"gateways.payflow",', f'"gateways.payflow", {block.strip()},'),
    "sandbox/protocols.py": _into_protocols,
    "tests/gateways/builders.py": lambda text, block: _into_mapping("CONFIGS", text, block),
}
"""How a block goes into a file that is there already."""


@dataclass(frozen=True, slots=True)
class Followed:
    """A copy of the project to which every block of the page went, and what was missing after each."""

    root: Path
    lacking: list[list[str]]


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Followed:
    """The parts of the project that a gateway touches, with Tinpay added as the page says."""
    root = tmp_path_factory.mktemp("project")
    for part in ("rules", "gateways", "sandbox", "tests/gateways", "docs/gateways"):
        shutil.copytree(ROOT / part, root / part, ignore=shutil.ignore_patterns("__pycache__", Path(__file__).name))
    shutil.copy(ROOT / "pyproject.toml", root)
    lacking = [missing("tinpay", root)]
    for path, block in BLOCKS.items():
        file = root / path
        file.write_text(PLACES[path](file.read_text(), block) if file.exists() else block)
        lacking.append(missing("tinpay", root))
    return Followed(root, lacking)


def test_what_is_missing(followed: Followed) -> None:
    """Block by block the list of what is missing gets shorter; only the sandbox takes two."""
    assert [len(names) for names in followed.lacking] == [7, 6, 5, 4, 4, 3, 2, 1, 0]


def test_the_page_is_enough(followed: Followed) -> None:
    """The suite passes for the gateway of the page: its Story, and what is tested for the whole catalog."""
    assert _pytest(followed.root, "-k", "tinpay", "tests/gateways") == ""
    assert "[Tinpay](tinpay.md)" in _run(followed.root, "-m", "docs.gateways").stdout


@pytest.mark.parametrize(
    ("right", "wrong", "found_by"),
    [
        ('if answer != "no":', 'if answer not in ("no", "maybe"):', "test_issuer_silent"),
        ('if at(said, "ref") not in ("", str(asked.reference)):', "if asked.reference < 0:", "test_another_sale"),
        ("if len(found) > 1:", "if len(found) > 2:", "test_inquiry_finds_two"),
    ],
)
def test_the_suite_finds(followed: Followed, right: str, wrong: str, found_by: str) -> None:
    """A gateway that reads a yes or a no where none is proven does not pass."""
    file = followed.root / "gateways" / "tinpay.py"
    good = file.read_text()
    assert good.count(right) == 1
    file.write_text(good.replace(right, wrong))
    told = _pytest(followed.root, "-k", found_by, "tests/gateways/test_tinpay.py")
    file.write_text(good)
    assert f"{found_by}" in told
    assert "1 failed" in told or "AssertionError" in told


def _pytest(root: Path, *what: str) -> str:
    """Nothing if all tests passed, else what failed."""
    ran = _run(root, "-m", "pytest", "-p", "no:cacheprovider", "-x", *what)
    return "" if ran.returncode == 0 else ran.stdout + ran.stderr


def _run(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=root, capture_output=True, text=True, check=False)
