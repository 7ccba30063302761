"""Flower's settings, read by Flower itself (`--conf`): never without a password.

The password comes from the file that FLOWER_PASSWORD_FILE names, so that it is in no argument and no
environment that others can read.
"""

import os
import sys
from pathlib import Path

FLOWER_USER = "defray"

_file = os.environ.get("FLOWER_PASSWORD_FILE", "")
try:
    _password = Path(_file).read_text().strip()
except OSError as reason:
    sys.exit(
        f"Flower needs a password: FLOWER_PASSWORD_FILE={_file} names no file that can be read "
        f"({reason.strerror}). Write a password of your choice into a file of mode 0600 and name it there"
    )
if not _password:
    sys.exit(f"Flower needs a password: the file FLOWER_PASSWORD_FILE={_file} is empty")

basic_auth = [f"{FLOWER_USER}:{_password}"]
