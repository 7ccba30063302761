"""`python -m sandbox`: start the gateways' stand-ins and serve until SIGTERM or SIGINT."""

import argparse
import asyncio
import gc
import resource
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from sandbox import payflow, plugnpay
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
        payflow=payflow.Credentials(
            options.payflow_user, options.payflow_vendor, options.payflow_partner, options.payflow_password
        ),
        plugnpay=plugnpay.Credentials(options.plugnpay_publisher, options.plugnpay_password),
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
        sys.stdout.write(
            f"sandbox: payflow {base}/ plugnpay {base}{plugnpay.PATH} control {base}/sandbox/ "
            f"decoy http://{sandbox.options.host}:{sandbox.decoy_port}/\n"
        )
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


def _parser() -> argparse.ArgumentParser:
    defaults, flow, pnp = Options(), payflow.Credentials(), plugnpay.Credentials()
    parser = argparse.ArgumentParser(
        prog="sandbox",
        description="Stand-ins for the Payflow Pro and Plug'n Pay gateways with books of their own.",
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
    add("--payflow-user", default=flow.user, help="USER")
    add("--payflow-vendor", default=flow.vendor, help="VENDOR")
    add("--payflow-partner", default=flow.partner, help="PARTNER")
    add("--payflow-password", default=flow.password, help="PWD")
    add("--plugnpay-publisher", default=pnp.publisher, help="publisher-name")
    add("--plugnpay-password", default=pnp.password, help="publisher-password")
    add("--quiet", action="store_true", help="print nothing")
    return parser


if __name__ == "__main__":
    sys.exit(main())
