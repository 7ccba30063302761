"""`python -m sandbox`: start the gateways' stand-ins and serve until SIGTERM or SIGINT."""

import argparse
import asyncio
import gc
import resource
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from sandbox.protocols import PROTOCOLS
from sandbox.server import Options, Sandbox

CONNECTIONS = 16_384


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a sandbox from command line arguments; returns the exit code."""
    options = _parser().parse_args(arguments)
    wanted = Options(
        host=options.host,
        port=options.port,
        decoy_port=options.decoy_port,
        state=options.state,
        latency_ms=options.latency_ms,
        tail_ms=options.tail_ms,
        tail_percent=options.tail_percent,
        any_amount=options.any_amount,
        cutoff=options.cutoff,
        settling_seconds=options.settling_seconds,
        returns_pending=options.returns_pending,
        keep_requests=options.keep_requests,
        credentials=_by_gateway(options.credential),
    )
    _allow_connections()
    # The books only grow and hold no cycles; frequent full collections would walk through all of them.
    gc.set_threshold(50_000, 50, 100)
    try:
        asyncio.run(_serve(Sandbox(wanted), options.quiet))
    except OSError as error:
        sys.stderr.write(f"sandbox: can't listen on {wanted.host}:{wanted.port}: {error}; give another --port\n")
        return 1
    return 0


async def _serve(sandbox: Sandbox, quiet: bool) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    await sandbox.start()
    if not quiet:
        base = f"http://{sandbox.options.host}:{sandbox.port}"
        gateways = " ".join(f"{name} {base}{one.paths[0]}" for name, one in sandbox.gateways.items())
        decoy = f"http://{sandbox.options.host}:{sandbox.decoy_port}/"
        sys.stdout.write(f"sandbox: {gateways} control {base}/sandbox/ decoy {decoy}\n")
        sys.stdout.flush()
    await stopped.wait()
    await sandbox.stop()


def _allow_connections() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS if hard == resource.RLIM_INFINITY else min(CONNECTIONS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _time_of_day(text: str) -> tuple[int, int]:
    hour, _, minute = text.partition(":")
    if not (hour.isdigit() and minute.isdigit() and int(hour) < 24 and int(minute) < 60):
        raise argparse.ArgumentTypeError(f"{text!r} is not a time of day such as 02:00")
    return int(hour), int(minute)


def _credential(text: str) -> tuple[str, str, str]:
    place, _, value = text.partition("=")
    gateway, _, name = place.partition(".")
    if not any(kind.name == gateway and name in kind.credentials for kind in PROTOCOLS) or not value:
        raise argparse.ArgumentTypeError(f"{text!r} is not GATEWAY.NAME=VALUE with a known gateway and name")
    return gateway, name, value


def _by_gateway(given: Sequence[tuple[str, str, str]]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for gateway, name, value in given:
        found.setdefault(gateway, {})[name] = value
    return found


def _parser() -> argparse.ArgumentParser:
    defaults = Options()
    parser = argparse.ArgumentParser(
        prog="sandbox",
        description="Stand-ins for card gateways with books of their own.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--host", default=defaults.host, help="address to listen on")
    add("--port", type=int, default=defaults.port, help="port of gateways and control API; 0 takes a free one")
    add("--decoy-port", type=int, default=0, help="port that only counts what follows a redirect; 0: a free one")
    add("--state", type=Path, metavar="FILE", help="keep the books in this SQLite file; without it in memory only")
    add("--latency-ms", type=float, default=0.0, help="milliseconds before every answer")
    add("--tail-ms", type=float, default=0.0, help="milliseconds before some answers instead")
    add("--tail-percent", type=float, default=0.0, help="how many percent of the answers take --tail-ms")
    add("--any-amount", action="store_true", help="approve all amounts: no amount is a test trigger")
    add("--cutoff", type=_time_of_day, default="02:00", metavar="HH:MM", help="daily settlement, UTC")
    add("--settling-seconds", type=float, default=0.0, help="how long a batch stays in settlement")
    add("--returns-pending", action="store_true", help="Plug'n Pay answers returns with pending, not success")
    add("--keep-requests", type=int, default=defaults.keep_requests, help="requests to keep for looking at")
    add(
        "--credential",
        action="append",
        default=[],
        type=_credential,
        metavar="GATEWAY.NAME=VALUE",
        help="what a gateway's clients must say; known are "
        + ", ".join(f"{kind.name}.{name}" for kind in PROTOCOLS for name in kind.credentials),
    )
    add("--quiet", action="store_true", help="print nothing")
    return parser


if __name__ == "__main__":
    sys.exit(main())
