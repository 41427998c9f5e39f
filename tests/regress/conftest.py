"""Regressions use the harness of the stories: one file a bug, named after what went wrong."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "story"))

import importlib.util  # noqa: E402

_path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "story", "conftest.py")
_spec = importlib.util.spec_from_file_location("story_conftest", _path)
_story = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_story)

start = _story.start
pytest_runtest_makereport = _story.pytest_runtest_makereport
pytest_sessionstart = _story.pytest_sessionstart
