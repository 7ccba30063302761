"""What a gateway of the catalog still lacks, so that a test can say it in words."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path


def missing(name: str, root: Path) -> list[str]:
    """What there is not yet of the gateway `name` in the project at `root`."""

    def holds(path: str, pattern: str) -> bool:
        file = root / path
        return file.exists() and re.search(pattern, file.read_text()) is not None

    contracts = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    strangers = next(one for one in contracts if one["name"] == "The gateways do not know each other")
    there = {
        "its entry in gateways/catalog.py": holds("gateways/catalog.py", rf'"{name}": Kind\('),
        f"gateways/{name}.py with its class as GATEWAY": holds(f"gateways/{name}.py", r"(?m)^GATEWAY: Final"),
        "its module among the strangers in pyproject.toml": f"gateways.{name}" in strangers["modules"],
        f"sandbox/{name}.py, listed in sandbox/protocols.py": holds("sandbox/protocols.py", rf"sandbox\.{name} import"),
        "its entry in CONFIGS of tests/gateways/builders.py": holds("tests/gateways/builders.py", rf'"{name}": \{{'),
        f"its Story in tests/gateways/test_{name}.py": holds(f"tests/gateways/test_{name}.py", r"class \w+\(Story\)"),
        f"docs/gateways/{name}.md": (root / "docs" / "gateways" / f"{name}.md").exists(),
    }
    return [what for what, done in there.items() if not done]
