"""Takes the pictures of the docs from a running `make run`: `python -m docs.shots [HOME [BATCH]]`, at best while that
batch is worked on. Needs Debian's chromium.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from local.topology import FLOWER_PORT
from web.flower import tasks_of_batch

_IMAGES = Path(__file__).parent / "img"
_CHROMIUM = (
    "chromium --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --hide-scrollbars --window-size=1500,820 --virtual-time-budget=8000"
).split()


def shoot(url: str, picture: Path) -> None:
    """Show a page in Chromium and keep what it looks like."""
    with tempfile.TemporaryDirectory() as profile:
        command = [*_CHROMIUM, f"--user-data-dir={profile}", f"--screenshot={picture}", url]
        subprocess.run(command, check=True, capture_output=True, timeout=60)


def main(home: str = ".defray", batch: str = "1") -> None:
    """The tasks of a batch in Flower."""
    password = (Path(home) / "flower.password").read_text().strip()
    flower = f"http://defray:{password}@127.0.0.1:{FLOWER_PORT}"
    shoot(tasks_of_batch(flower, int(batch)), _IMAGES / "flower.png")


if __name__ == "__main__":
    main(*sys.argv[1:])
