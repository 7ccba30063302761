"""Issue 9, item 9: the pages become a site, strictly and without a network, and none of them is lost."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from mkdocs.commands.build import build
from mkdocs.config import load_config
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from docs import errors, site_hooks

PROJECT = Path(__file__).parents[2]


@contextmanager
def handlers_put_back() -> Iterator[None]:
    """MkDocs listens to its own log for as long as the process lives; tests after this one should not."""
    log = logging.getLogger("mkdocs")
    before = list(log.handlers)
    try:
        yield
    finally:
        log.handlers[:] = before


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site. A warning, such as a link to nowhere, raises; so does a look beyond loopback."""
    folder = tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as patch, handlers_put_back():
        patch.setenv("NO_MKDOCS_2_WARNING", "1")
        build(load_config(str(PROJECT / "mkdocs.yml"), strict=True, site_dir=str(folder)))
    return folder


def test_every_page_is_in_the_site(site: Path) -> None:
    """Each page of docs/ is built, and the front page's menu leads to it."""
    menu = (site / "index.html").read_text()
    pages = [path.relative_to(PROJECT / "docs") for path in (PROJECT / "docs").rglob("*.md")]
    assert len(pages) > 40
    for page in [*pages, *map(Path, site_hooks.FROM_OUTSIDE.values())]:
        address = page.with_suffix(".html").as_posix().replace("README", "index")
        assert (site / address).is_file(), page
        assert f'href="{address}"' in menu or address == "index.html", f"{page} is not in the menu"


def test_no_page_is_named_twice() -> None:
    """Each page has one place in the menu."""
    named = re.findall(r"[\w/.-]+\.md$", (PROJECT / "mkdocs.yml").read_text(), re.MULTILINE)
    assert [name for name in named if named.count(name) > 1] == []


def test_nothing_comes_from_elsewhere(site: Path) -> None:
    """No page asks another server for a script, a style, a font or a picture."""
    foreign = {
        path.name: found
        for path in site.rglob("*.html")
        if (
            found := re.findall(
                r"<(?:script|link|img|iframe)\b[^>]*?(?:src|href)=\"?(?:https?:)?//[^\">]+", path.read_text()
            )
        )
    }
    assert foreign == {}
    assert not re.search(r"url\(\"?(?:https?:)?//", "".join(path.read_text() for path in site.rglob("*.css")))


def led(markdown: str, page: str) -> str:
    """What becomes of the links of a page."""
    config = load_config(str(PROJECT / "mkdocs.yml"))
    file = File(page, config.docs_dir, config.site_dir, config.use_directory_urls)
    return site_hooks.on_page_markdown(markdown, Page(None, file, config), config, Files([file]))


def test_links_that_leave_the_pages() -> None:
    """A link to a page leads to its place on the site, one to another file becomes a name, one to nowhere raises."""
    assert (
        led("[the sandbox](../../sandbox/README.md#cards)", "gateways/stripe.md")
        == "[the sandbox](../sandbox.md#cards)"
    )
    assert led("[`stripe.py`](../../gateways/stripe.py)", "gateways/stripe.md") == "`stripe.py`"
    assert led("[settings](../docs/settings.md)", "sandbox.md") == "[settings](settings.md)"
    assert led("[uv](https://docs.astral.sh/uv/)", "package.md") == "[uv](https://docs.astral.sh/uv/)"
    with pytest.raises(PluginError, match=r"docs/api\.md: \.\./gone\.py leads nowhere"):
        led("[gone](../gone.py)", "api.md")


def test_a_page_that_nobody_named() -> None:
    """A page that mkdocs.yml does not name stands at the end of the guides."""
    config = load_config(str(PROJECT / "mkdocs.yml"))
    assert config.nav
    guides = next(part["How-to guides"] for part in config.nav if "How-to guides" in part)
    (forgotten,) = guides.pop(0).values()
    site_hooks.on_config(config)
    assert forgotten in guides


def test_the_page_of_errors_is_up_to_date() -> None:
    """docs/errors.md is what `python -m docs.errors` prints today."""
    assert (PROJECT / "docs/errors.md").read_text() == errors.document()


def test_make_docs_is_strict() -> None:
    """`make docs` builds as the test does."""
    told = subprocess.run(["make", "--dry-run", "docs"], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert "mkdocs build --strict" in told.stdout
    assert Path(sys.executable).with_name("mkdocs").exists()
