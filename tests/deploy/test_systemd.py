"""Issue 9: the units are what systemd takes, and run the processes of `defray up`."""

import configparser
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from local import topology

UNITS = Path(__file__).parents[2] / "deploy" / "systemd"
PLACE = topology.Place(Path("/var/lib/defray"))


def service(name: str) -> dict[str, str]:
    """What a unit says in [Service]; of names that come twice the last."""
    read = configparser.ConfigParser(strict=False, interpolation=None, delimiters=("=",))
    read.optionxform = str  # type: ignore[assignment,method-assign]
    read.read_string((UNITS / name).read_text())
    return dict(read["Service"])


def command(process: topology.Process) -> str:
    """A command as a unit has it: by the interpreter of /opt/defray, which looks into no folder of somebody's."""
    return " ".join(("/opt/defray/bin/python", "-P", *process.argv[1:]))


def test_same_commands() -> None:
    """Each unit runs the very command of `defray up`; the workers' is one, by queue."""
    units = {
        "defray-migrate": topology.migration(),
        "defray-web": topology.web(PLACE),
        "defray-beat": topology.beat(PLACE),
        "defray-flower": topology.flower(PLACE, Path("password")),
    }
    for unit, process in units.items():
        assert service(f"{unit}.service")["ExecStart"] == command(process)
    of_worker = service("defray-worker@.service")["ExecStart"]
    for queue in topology.QUEUES:
        said = of_worker.replace("%i", queue.name).replace("%%", "%").replace("$CONCURRENCY", str(queue.concurrency))
        assert said == command(topology.worker(queue))


def test_target_wants_all_of_it() -> None:
    """defray.target starts every queue's worker, and the rest."""
    wanted = (UNITS / "defray.target").read_text()
    for name in ("web", "beat", "flower", *(f"worker@{queue.name}" for queue in topology.QUEUES)):
        assert f"defray-{name}.service" in wanted


def test_units_log_as_json() -> None:
    """What the journal is given are objects, one a line, and no banner."""
    for unit in UNITS.glob("*.service"):
        assert " DEFRAY_LOG_FORMAT=json CELERY_QUIET=1 " in unit.read_text(), unit.name


def test_systemd_takes_them(tmp_path: Path) -> None:
    """systemd finds nothing to complain of; it does where a line is wrong."""
    verify = shutil.which("systemd-analyze")
    if verify is None:
        pytest.skip("systemd-analyze is not installed")
    for unit in UNITS.iterdir():
        text = unit.read_text().replace("/opt/defray/bin/python", sys.executable)
        (tmp_path / unit.name).write_text(text)

    def complaints() -> str:
        units = sorted(str(unit) for unit in tmp_path.iterdir() if unit.suffix in {".service", ".target"})
        said = subprocess.run([verify, "verify", "--man=no", *units], capture_output=True, text=True, check=False)
        return "\n".join(line for line in said.stderr.splitlines() if "defray" in line)

    assert complaints() == ""
    web = tmp_path / "defray-web.service"
    web.write_text(web.read_text().replace("NoNewPrivileges", "NoNewPrivilege"))
    assert "NoNewPrivilege" in complaints()
