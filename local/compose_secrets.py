"""Draw what docker-compose.yml reads from secrets/: `python -m local.compose_secrets`. What is there stays."""

import os
import secrets
from pathlib import Path

from local.postgres import say_on_stderr

FOLDER = Path(__file__).parents[1] / "secrets"


def draw(folder: Path) -> list[str]:
    """Write every secret that is missing; return the names of those written.

    The folder is the owner's alone. The files in it are readable: Compose mounts each with its mode, and
    the containers' users are others.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    written = [
        _write(folder / "superuser_password", secrets.token_urlsafe(24)),
        _write(folder / "database_password", secrets.token_urlsafe(24)),
        _write(folder / "flower_password", secrets.token_urlsafe(16)),
        _write(folder / "valkey_conf", f"requirepass {secrets.token_urlsafe(24)}\n"),
    ]
    # The sandbox's own, until the merchant's are put there.
    written += [_write(folder / f"{gateway}_password", "sandbox-secret") for gateway in ("payflow", "plugnpay")]
    database = (folder / "database_password").read_text()
    valkey = (folder / "valkey_conf").read_text().split()[1]
    written += [
        _write(folder / "database_url", f"postgresql+psycopg://defray:{database}@postgres:5432/defray"),
        _write(folder / "redis_url", f"redis://:{valkey}@valkey:6379/0"),
    ]
    return [name for name in written if name]


def _write(path: Path, text: str) -> str:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o444)
    except FileExistsError:
        return ""
    with os.fdopen(handle, "w") as file:
        file.write(text)
    path.chmod(0o444)  # whatever the umask said
    return path.name


if __name__ == "__main__":
    say_on_stderr(f"Wrote into {FOLDER}: {', '.join(draw(FOLDER)) or 'nothing, all were there'}")
