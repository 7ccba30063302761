"""What a process says that was installed without the packages which it alone needs."""

from __future__ import annotations

from importlib.util import find_spec


def lacking(extra: str, module: str) -> str | None:
    """One sentence where `module`, which the extra `extra` brings, is not installed; None where it is."""
    if find_spec(module):
        return None
    return f"{module} is not installed, which this process needs: pip install 'defray[{extra}]'"
