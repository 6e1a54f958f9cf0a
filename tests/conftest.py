"""Fixtures of the whole-system tests: the real system, started once for all of them."""

import pytest

from bridge_stack.browser import find_chromium
from bridge_stack.stack import Stack


def pytest_collection_modifyitems(items):
    """Skip browser tests, with the reason, where there is no browser."""
    if find_chromium():
        return
    skip = pytest.mark.skip(reason="no Chromium: install it, or set CHROMIUM=/path/to/chromium")
    for item in items:
        if "browser" in item.keywords:
            item.add_marker(skip)


@pytest.fixture(scope="session")
def stack(request):
    """Yield the system on a fresh database: server with workers, job runner, bank, mapper.

    Tests share it, so each makes a program, an envelope and an account of its own. Tests that kill
    a process bring it back (``stack.restart``).
    """
    with Stack(mapper=True) as running:
        yield running
        running.keep_logs = bool(request.session.testsfailed)


@pytest.fixture(scope="session")
def chromium():
    """Return the path of the browser for ``playwright.chromium.launch(executable_path=...)``."""
    return find_chromium()
