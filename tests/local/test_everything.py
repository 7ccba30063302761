"""Issue 3, item 1: everything comes up with real parts, and Ctrl-C stops all that was started."""

import base64
import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from local import pids, topology, up
from local.ports import answers
from local.postgres import Postgres
from local.valkey import Valkey

EVERYTHING = [sys.executable, str(Path(__file__).with_name("everything.py"))]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    Postgres(tmp_path).remove()
    Valkey(tmp_path).remove()


def status_of(url: str, password: str = "") -> int:
    request = urllib.request.Request(url)
    if password:
        request.add_header("Authorization", "Basic " + base64.b64encode(f"defray:{password}".encode()).decode())
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_up_until_ctrl_c(home: Path, usual_ports: None) -> None:
    """All parts run, Flower asks for its password, a second `up` is refused; after Ctrl-C nothing is left."""
    with subprocess.Popen([*EVERYTHING, str(home)], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            first = process.stdout.readline()
            assert first == b"the job\n", process.stderr.read().decode()
            children = {entry["name"]: entry for entry in json.loads((home / "processes.json").read_text())}
            workers = {f"worker-{queue.name}" for queue in topology.QUEUES}
            assert set(children) == {"sandbox", "beat", "flower", "web"} | workers
            assert all(pids.birth(entry["pid"]) == entry["born"] for entry in children.values())

            while not (line := process.stderr.readline()).startswith(b"Console "):
                assert line
            assert status_of(f"{line.split()[1].decode()}readyz") == 200
            while not (line := process.stderr.readline()).startswith(b"Flower "):
                assert line
            flower = line.split()[1].decode()
            password = (home / "flower.password").read_text()
            assert status_of(f"{flower}/workers") == 401
            assert status_of(f"{flower}/workers", password) == 200
            for entry in children.values():
                assert password not in pids.command_line(entry["pid"])

            again = subprocess.run([*EVERYTHING, str(home)], capture_output=True, text=True)
            assert again.returncode == 1
            assert f"is in use by process {process.pid}: stop that one first" in again.stderr

            known = up.environment_of(home)
            assert {"DEFRAY_DATABASE_URL", "DEFRAY_REDIS_URL", "DEFRAY_HOME"} <= set(known)
            ports = [urlsplit(known[name]).port for name in ("DEFRAY_DATABASE_URL", "DEFRAY_REDIS_URL")]
            ports.append(urlsplit(flower).port)
            assert all(port and answers(port) for port in ports)
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)
        assert process.returncode == 0
    assert not any(pids.birth(entry["pid"]) for entry in children.values())
    assert not any(port and answers(port) for port in ports)
    assert up.environment_of(home) == {}
    assert not (home / "processes.json").exists()
