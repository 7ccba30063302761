"""Flower's settings, read by Flower itself (`--conf`): never without a password, and that in no argument."""

import os
import sys

import settings

FLOWER_USER = "defray"

_password = settings.load(os.environ).flower_password
if not _password:
    sys.exit(
        "Flower needs a password: write one into a file of mode 0600, and name that in DEFRAY_FLOWER_PASSWORD_FILE"
    )

basic_auth = [f"{FLOWER_USER}:{_password}"]

# What an operator asks: which work, of which batch or payment, what came of it.
tasks_columns = "name,kwargs,result,state,received,runtime,worker"
