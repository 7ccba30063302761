"""Delete the embedded servers' data of a home: `python -m local.clean`.

Under root they lie outside the home (see `local.account`), where deleting the home would leave them.
"""

import os
import sys
from pathlib import Path

from local.errors import LocalError
from local.postgres import Postgres
from local.valkey import Valkey


def remove_servers(home: Path) -> None:
    """Delete the data of servers that are not in use; raises AlreadyInUse where one is."""
    if home.exists():
        Postgres(home).remove()
        Valkey(home).remove()


if __name__ == "__main__":
    try:
        remove_servers(Path(os.environ.get("DEFRAY_HOME") or ".defray"))
    except LocalError as error:
        sys.exit(str(error))
