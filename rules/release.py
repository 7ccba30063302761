"""Which release this is; pyproject.toml, CHANGELOG.md and the API's document say the same (a test compares)."""

from __future__ import annotations

from typing import Final

VERSION: Final = "0.1.0"
