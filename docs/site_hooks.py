"""What MkDocs is told beside mkdocs.yml: pages from outside `docs/`, links that leave it, pages that the nav forgot.

The pages are written to be read in the repository, too, so their links lead to files. On the site a link to a page
leads to that page; one to any other file of the repository becomes its name.
"""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath
from typing import Any, Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

PROJECT: Final = Path(__file__).resolve().parents[1]
FROM_OUTSIDE: Final = {
    "sandbox/README.md": "sandbox.md",
    "deploy/kubernetes/README.md": "kubernetes.md",
    "deploy/systemd/README.md": "systemd.md",
    "bench/README.md": "bench.md",
    "CHANGELOG.md": "changelog.md",
}
"""Pages that stand beside what they are about, and their names on the site."""
_SOURCES: Final = {name: source for source, name in FROM_OUTSIDE.items()}
_GUIDES: Final = "How-to guides"
_DRAWING: Final = re.compile(r"^```mermaid\n.*?^```\n", re.MULTILINE | re.DOTALL)
"""What draws it would be fetched from elsewhere; a table beside it says the same."""
_LINK: Final = re.compile(r"(?<!!)\[(?P<words>[^\]]*)\]\((?P<target>[^)#\s]+)(?P<anchor>#[^)\s]*)?\)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """A page that the nav does not name stands at the end of the guides, so that none is ever lost."""
    nav: list[Any] = config.nav or []
    named = set(_named(nav))
    folder = Path(config.docs_dir)
    found = (path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*.md")))
    guides = next(part[_GUIDES] for part in nav if isinstance(part, dict) and _GUIDES in part)
    guides += [name for name in found if name not in named]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Take the pages from outside in."""
    for source, name in FROM_OUTSIDE.items():
        files.append(File.generated(config, name, abs_src_path=str(PROJECT / source)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links that leave `docs/` lead to a page, or name a file. Raises PluginError for one to nowhere."""
    name = page.file.src_uri
    source = PurePosixPath(_SOURCES.get(name, f"docs/{name}"))

    def led(link: re.Match[str]) -> str:
        target = link["target"]
        if re.match(r"[a-z]+:", target):
            return link[0]
        place = os.path.normpath(source.parent / target)
        if place in FROM_OUTSIDE or (place.startswith("docs/") and (PROJECT / place).is_file()):
            on_site = FROM_OUTSIDE.get(place, place.removeprefix("docs/"))
            here = os.path.relpath(on_site, PurePosixPath(name).parent)
            return f"[{link['words']}]({here}{link['anchor'] or ''})"
        if not (PROJECT / place).exists():
            raise PluginError(f"{source}: {target} leads nowhere")
        return link["words"] if "`" in link["words"] else f"`{link['words']}`"

    return _LINK.sub(led, _DRAWING.sub("", markdown))


def _named(nav: Any) -> list[str]:
    """Every page that a part of the nav names."""
    if isinstance(nav, str):
        return [nav]
    parts = nav.values() if isinstance(nav, dict) else nav
    return [name for part in parts for name in _named(part)]
