"""Flower's settings, read by Flower itself (`--conf`), which has defined its options by then."""

import os
import sys

import flower.urls
from tornado.options import options

import settings
from rules.errors import SettingsError
from worker import flower_options, flower_pages

_settings = settings.load(os.environ)
try:
    globals().update(flower_options.chosen(_settings, options.address))
except SettingsError as refusal:
    sys.exit(str(refusal))
flower.urls.settings["template_loader"] = flower_pages.pages(_settings.web_url)
