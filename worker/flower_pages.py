"""Flower's pages in words: what a task is and works on, with links to its batch or payment in the console."""

from __future__ import annotations

from ast import literal_eval
from html import escape
from pathlib import Path
from typing import Any, Final

import flower
from tornado.template import DictLoader

from worker import words

_TEMPLATES: Final = Path(flower.__file__).with_name("templates")
_SCRIPT: Final = Path(__file__).with_name("flower.js")
_SHEET: Final = Path(__file__).with_name("flower.css")


def in_words(task: Any) -> Any:
    """A task as it is shown: the step as its name, what it works on as its arguments, its sentence without quotes."""
    step = (task.name or "").removeprefix("defray.")
    task.name, task.args = words.parts(task.args) or (words.title(step), "" if task.args == "()" else task.args)
    task.result = _unquoted(task.result)
    return task


def pages(console: str) -> DictLoader:
    """Flower's own templates, each with a script that leads from a batch or a payment to the console, where one is."""
    sources = {template.name: template.read_text(encoding="utf-8") for template in _TEMPLATES.iterdir()}
    address = escape(console.rstrip("/"))
    sheet, script = (file.read_text(encoding="utf-8") for file in (_SHEET, _SCRIPT))
    base = sources["base.html"].replace("</head>", f"<style>{sheet}</style></head>")
    sources["base.html"] = base.replace("</body>", f'<script data-console="{address}">{script}</script></body>')
    return DictLoader(sources)


def _unquoted(result: Any) -> Any:
    """A text as it is: what a task returns comes as Python writes it."""
    try:
        said = literal_eval(result) if isinstance(result, str) else result
    except (ValueError, SyntaxError):  # no Python, or cut off
        return result
    return said if isinstance(said, str) else result
