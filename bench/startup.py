"""What starting costs: `startup.py`: the command line's help, what worker and web process import, their memory idle.

Times are of whole processes beside `python -c pass`, files in the page cache; memory is PSS, which counts once what
processes share.
"""

import contextlib
import os
import socket
import statistics
import subprocess
import time

import api
import common
import defray
import psutil

REPEAT = 7
PROCESSES = {
    "python, nothing imported": ["-c", "pass"],
    "defray --help": ["-m", "cli", "--help"],
    "defray --version": ["-m", "cli", "--version"],
    "import of the worker": ["-c", "import worker.app"],
    "import of the web process": ["-c", "import web.app"],
}
IDLE = 3
"""Seconds without work, after which memory is looked at."""


def once(arguments, environment):
    """Seconds and CPU seconds of a Python process with these arguments."""
    before, began = os.times(), time.perf_counter()
    subprocess.run(
        [common.PY, *arguments], cwd=common.HERE.parent, env=environment, stdout=subprocess.DEVNULL, check=True
    )
    seconds, after = time.perf_counter() - began, os.times()
    return seconds, after.children_user + after.children_system - before.children_user - before.children_system


def processes(environment):
    for name, arguments in PROCESSES.items():
        once(arguments, environment)  # compiled, and in the page cache
        took = [once(arguments, environment) for _ in range(REPEAT)]
        ms, cpu = (round(statistics.median(part) * 1000, 1) for part in zip(*took, strict=True))
        common.emit(bench="startup", what=name, ms=ms, cpu_ms=cpu)


def idle(name, process, began):
    """Emit what a process that listens since now took to get there, and the memory of its tree once it rests."""
    seconds = time.perf_counter() - began
    time.sleep(IDLE)
    told = common.memory(process.pid)
    common.emit(
        bench="startup", what=name, ms=round(seconds * 1000), cpu_ms=round(common.cpu(process.pid) * 1000),
        pss_mib=told.pss, processes=len(common.tree(process.pid)),
    )  # fmt: skip


def worker(house, children):
    began = time.perf_counter()
    process = defray.worker(children, house)
    try:
        until = time.monotonic() + 60
        while len(listening(process.pid)) < 1 or len(common.tree(process.pid)) < children + 1:
            if process.poll() is not None or time.monotonic() > until:
                raise SystemExit((common.HOME / "worker.log").read_text()[-3000:])
            time.sleep(0.02)
        idle(f"idle worker, {children} process{'' if children == 1 else 'es'}", process, began)
    finally:
        common.stop(process)


def listening(pid):
    """Connections to the broker of a worker's parent process."""
    port = int(common.REDIS.rpartition(":")[2])
    with contextlib.suppress(psutil.NoSuchProcess):
        return [one for one in psutil.Process(pid).net_connections("tcp") if one.raddr and one.raddr.port == port]
    return []


def web(house):
    port = api.free_port()
    began = time.perf_counter()
    command, log = [common.PY, "-m", "web"], f"serving-{port}.log"
    process = common.spawn(command, common.HERE.parent, log, **house.environment, DEFRAY_WEB_PORT=str(port))
    try:
        until = time.monotonic() + 60
        while True:
            with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
                break
            if process.poll() is not None or time.monotonic() > until:
                raise SystemExit((common.HOME / log).read_text()[-3000:])
            time.sleep(0.02)
        idle("idle web process", process, began)
    finally:
        common.stop(process)


def main():
    house = defray.House("bench_startup", "check", 0, 10, "0", 100, "payflow")
    processes({**os.environ, **house.environment})
    for children in (1, 2):
        worker(house, children)
    web(house)
    house.close()


if __name__ == "__main__":
    main()
