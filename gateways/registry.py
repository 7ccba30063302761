"""Building a gateway from its configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from gateways.catalog import KINDS
from gateways.contract import Gateway
from rules.errors import SettingsError


def faults(name: str, config: Mapping[str, str]) -> list[str]:
    """Everything that is wrong with a gateway's configuration, in words; values of secrets are not repeated."""
    kind = KINDS.get(name)
    if kind is None:
        return [f"There is no gateway {name!r}: choose one of {', '.join(KINDS)}."]
    missing = [f"The gateway {name} needs {key!r}." for key in kind.keys if not config.get(key)]
    strange = [
        f"The gateway {name} knows no {key!r}: it takes {', '.join([*kind.keys, *kind.optional])}."
        for key in config
        if key not in kind.keys and key not in kind.optional
    ]
    unsendable = [
        f"{key!r} of the gateway {name} must be printable ASCII without double quotes."
        for key in (*kind.keys, *kind.optional)
        if any(not " " <= c <= "~" or c == '"' for c in config.get(key, ""))
    ]
    return missing + strange + unsendable


def build(name: str, config: Mapping[str, str], pool_size: int, connect_timeout: float, read_timeout: float) -> Gateway:
    """The gateway `name` with as many connections as calls are to run at once; time-outs in seconds.

    To be built once a process, after it was forked. Raises SettingsError naming everything that is wrong.
    """
    if wrong := faults(name, config):
        raise SettingsError(" ".join(wrong))
    make: Callable[..., Gateway] = import_module(f"gateways.{name}").GATEWAY
    values: dict[str, Any] = {key: value for key, value in config.items() if key in KINDS[name].keys}
    return make(**values, pool_size=pool_size, connect_timeout=connect_timeout, read_timeout=read_timeout)
