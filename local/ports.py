"""Ports on loopback."""

import random
import socket

LOOPBACK = "127.0.0.1"
# Below the ephemeral ranges of Linux and macOS, so that no outgoing connection takes a remembered port.
_OFFERED = range(15_000, 32_000)


def is_free(port: int) -> bool:
    """Say whether a server could listen on this loopback port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def free_port(preferred: int | None = None) -> int:
    """Return `preferred` where it is free, else some other free port.

    Raises OSError where none of many tries is free.
    """
    if preferred is not None and is_free(preferred):
        return preferred
    for port in random.sample(_OFFERED, 200):
        if is_free(port):
            return port
    raise OSError(f"no free port among 200 tried on {LOOPBACK} from {_OFFERED.start} to {_OFFERED.stop - 1}")


def answers(port: int) -> bool:
    """Say whether something accepts connections on this loopback port."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=1):
            return True
    except OSError:
        return False
