"""The gateways by name: what each needs to be configured, and how it is built from that."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateways import payflow, plugnpay
from gateways.contract import Gateway
from rules.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Kind:
    """A gateway that can be configured: the keys of its configuration, which of them are secret, its live address."""

    keys: tuple[str, ...]
    secrets: frozenset[str]
    live_url: str
    make: Callable[..., Gateway]


KINDS: Final[dict[str, Kind]] = {
    "payflow": Kind(
        ("url", "user", "vendor", "partner", "password"), frozenset({"password"}), payflow.LIVE_URL, payflow.Payflow
    ),
    "plugnpay": Kind(
        ("url", "publisher_name", "publisher_password"),
        frozenset({"publisher_password"}),
        plugnpay.LIVE_URL,
        plugnpay.PlugnPay,
    ),
}
"""Every gateway by its name."""


def faults(name: str, config: Mapping[str, str]) -> list[str]:
    """Everything that is wrong with a gateway's configuration, in words; values of secrets are not repeated."""
    kind = KINDS.get(name)
    if kind is None:
        return [f"There is no gateway {name!r}: choose one of {', '.join(KINDS)}."]
    missing = [f"The gateway {name} needs {key!r}." for key in kind.keys if not config.get(key)]
    strange = [
        f"The gateway {name} knows no {key!r}: it takes {', '.join(kind.keys)}."
        for key in config
        if key not in kind.keys
    ]
    unsendable = [
        f"{key!r} of the gateway {name} must be printable ASCII without double quotes."
        for key in kind.keys
        if any(not " " <= c <= "~" or c == '"' for c in config.get(key, ""))
    ]
    return missing + strange + unsendable


def build(name: str, config: Mapping[str, str], pool_size: int, connect_timeout: float, read_timeout: float) -> Gateway:
    """The gateway `name` with as many connections as calls are to run at once; time-outs in seconds.

    To be built once a process, after it was forked. Raises SettingsError naming everything that is wrong.
    """
    if wrong := faults(name, config):
        raise SettingsError(" ".join(wrong))
    values: dict[str, Any] = dict(config)
    return KINDS[name].make(**values, pool_size=pool_size, connect_timeout=connect_timeout, read_timeout=read_timeout)
