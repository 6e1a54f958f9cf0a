"""The browser of the browser tests: Chromium, found or installed."""

import os
import shutil
from pathlib import Path

from bridge_stack import apt
from bridge_stack.common import BridgeError, complain, home, write_atomically

#: In the order in which Odoo's own HttpCase looks for them.
_NAMES = ("google-chrome", "chromium", "chromium-browser", "google-chrome-stable")

_HOW = (
    "Browser tests need Chromium, and only root can install it: apt-get install chromium "
    "(Debian; elsewhere the package may be called chromium-browser), or "
    "CHROMIUM=/path/to/chromium, or leave them out with: bin/test -m 'not browser'"
)


def find_chromium():
    """Return the path of the browser as a string: ``CHROMIUM``, or the first on ``PATH``, or None.

    :raise BridgeError: ``CHROMIUM`` is set and is no program
    """
    chosen = os.environ.get("CHROMIUM")
    if not chosen:
        return next(filter(None, map(shutil.which, _NAMES)), None)
    if not shutil.which(chosen):
        raise BridgeError(f"CHROMIUM={chosen} is not a program that can be run.")
    return shutil.which(chosen)


def ensure_chromium():
    """Return the path of the browser, installing Debian's package if run as root; None without.

    :raise BridgeError: there is none and ``G2P_REQUIRE_BROWSER`` is 1
    """
    found = find_chromium()
    if not found and apt.can_install():
        apt.install("browser", "chromium")
        found = find_chromium()
    _point_odoo_to(found)
    if found:
        return found
    if os.environ.get("G2P_REQUIRE_BROWSER") == "1":
        raise BridgeError(_HOW)
    complain(f"browser   {_HOW}. They are skipped now.")
    return None


def _point_odoo_to(found):
    """Let Odoo's HttpCase find a browser that was named by ``CHROMIUM``: it asks ``PATH`` only."""
    wrapper = Path(home() / "bin" / _NAMES[0])
    if found and os.environ.get("CHROMIUM"):
        quoted = found.replace("'", "'\\''")
        write_atomically(wrapper, f"#!/bin/sh\nexec '{quoted}' \"$@\"\n")
        wrapper.chmod(0o755)
    else:
        wrapper.unlink(missing_ok=True)
