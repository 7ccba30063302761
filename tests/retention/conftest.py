"""A house, a terminal and an app, for what leaves the database."""

from tests.api.conftest import client, new_app, settings, shop
from tests.cli.conftest import desk
from tests.flows.conftest import house, sandbox, sandbox_process, story
from tests.web.conftest import log

__all__ = ["client", "desk", "house", "log", "new_app", "sandbox", "sandbox_process", "settings", "shop", "story"]
