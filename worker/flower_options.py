"""Flower's options as Defray's settings say: who may look, what is kept, and how it is shown."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlsplit

from rules.errors import SettingsError
from settings import Settings
from worker.flower_pages import in_words

USER: Final = "defray"
"""Whom Flower's password is of."""
TASKS_MAX: Final = 20_000
"""So many tasks are kept; the oldest go first."""
SAVED_EVERY_MS: Final = 60_000
FORGOTTEN_AFTER_SECONDS: Final = 3_600
"""A worker that has been away for so long is no longer shown: each start of a container is one of another name."""

_PROVIDERS: Final = {
    "google": "GoogleAuth2LoginHandler",
    "github": "GithubLoginHandler",
    "gitlab": "GitLabLoginHandler",
    "okta": "OktaLoginHandler",
}


def chosen(settings: Settings, address: str) -> dict[str, Any]:
    """Everything that Flower is told; makes the folder of its state.

    Raises SettingsError where nobody would have to log in: not even on loopback, where every page of a browser could
    ask it.
    """
    folder = settings.flower_folder
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return {
        **_login(settings),
        "address": address or "127.0.0.1",
        "persistent": True,
        "db": str(folder / "flower"),
        "state_save_interval": SAVED_EVERY_MS,
        "max_tasks": TASKS_MAX,
        "purge_offline_workers": FORGOTTEN_AFTER_SECONDS,
        "tasks_columns": "name,args,result,state,uuid,received,runtime,worker",
        "format_task": in_words,
    }


def environment(settings: Settings) -> dict[str, str]:
    """What Flower's providers read from the environment when they are imported: where they are, if not at home."""
    url = settings.flower_oauth_url
    if not url:
        return {}
    return {
        "FLOWER_GITHUB_OAUTH_DOMAIN": urlsplit(url).netloc,
        "FLOWER_GITLAB_OAUTH_DOMAIN": urlsplit(url).netloc,
        "FLOWER_OAUTH2_OKTA_BASE_URL": url.rstrip("/"),
    }


def _login(settings: Settings) -> dict[str, Any]:
    if settings.flower_login != "password":
        return {
            "auth_provider": f"flower.views.auth.{_PROVIDERS[settings.flower_login]}",
            "auth": "|".join(settings.flower_people).replace("*", ".*"),
            "oauth2_key": settings.flower_oauth_key,
            "oauth2_secret": settings.flower_oauth_secret,
            "oauth2_redirect_uri": f"{settings.web_flower_url.rstrip('/')}/login",
        }
    if not settings.flower_password:
        raise SettingsError(
            "Flower needs a password, or a provider by which people log in: nobody may look without.",
            "Write one into a file of mode 0600 that DEFRAY_FLOWER_PASSWORD_FILE names, or set DEFRAY_FLOWER_LOGIN.",
        )
    return {"basic_auth": [f"{USER}:{settings.flower_password}"]}
