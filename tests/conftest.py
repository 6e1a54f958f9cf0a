"""Fixtures of the whole-system tests: the real system, started once for all of them."""

import resource
from pathlib import Path

import pytest

from bridge_stack.browser import find_chromium
from bridge_stack.client_tools import missing_tools
from bridge_stack.stack import Stack
from bridge_stack.world import PBMS_GROUP, World

HERE = Path(__file__).resolve().parent


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """Put the whole-system tests last; skip tests whose browser or programs are not there.

    At the end of each test class Odoo terminates all child processes of its own, which the system
    that these tests share would be. Apart from that the order stays random.
    """
    items.sort(key=lambda item: HERE in item.path.parents)
    if not find_chromium():
        _skip(items, "browser", "no Chromium: install it, or set CHROMIUM=/path/to/chromium")
    if missing := missing_tools():
        _skip(items, "client_tools", f"not installed: {', '.join(missing)}")


def _skip(items, keyword, reason):
    for item in items:
        if keyword in item.keywords:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def stack(request):
    """Yield the system on a fresh database: server with workers, job runner, bank, mapper.

    Tests share it, so each makes a program, an envelope and an account of its own. Tests that kill
    a process bring it back (``stack.restart``). The mapper knows BEN000001 to BEN000150.
    """
    with Stack(workers=4, mapper=True, mapper_options=("--count", "150")) as running:
        yield running
        running.keep_logs = bool(request.session.testsfailed)


@pytest.fixture(scope="session")
def new_world(stack):
    """Yield a function that makes a :class:`World` on the shared stack, with its arguments.

    All have one program system's user, for another takes three seconds to make. When all tests are
    done, the bridge's own check of its books has to find nothing to say of any of these worlds.
    """
    user = "pbms", stack.create_user("pbms", [PBMS_GROUP])
    worlds = []

    def make(*arguments, **values):
        worlds.append(World(stack, *arguments, **{"user": user, **values}))
        return worlds[-1]

    yield make
    differences = {world.mnemonic: found for world in worlds if (found := world.differences())}
    assert differences == {}


@pytest.fixture(scope="session")
def chromium():
    """Return the path of the browser for ``playwright.chromium.launch(executable_path=...)``."""
    return find_chromium()


@pytest.fixture(scope="module")
def room():
    """Lift Odoo's limit of this process's memory, which Chromium and Node would inherit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
