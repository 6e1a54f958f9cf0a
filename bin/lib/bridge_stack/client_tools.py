"""The programs that run the examples of docs/examples beside Python: Node with npm, curl, jq."""

import os
import shutil

from bridge_stack import apt
from bridge_stack.common import BridgeError, complain

#: program -> Debian's package
TOOLS = {"curl": "curl", "jq": "jq", "node": "nodejs", "npm": "npm"}


def missing_tools():
    """Return the programs (list) that are not on ``PATH``."""
    return [tool for tool in TOOLS if not shutil.which(tool)]


def ensure_tools():
    """Install what is missing if run as root; return what is missing still.

    :raise BridgeError: something is missing and ``G2P_REQUIRE_CLIENT_TOOLS`` is 1
    """
    if missing_tools() and apt.can_install():
        apt.install("tools", *(TOOLS[tool] for tool in missing_tools()))
    missing = missing_tools()
    if not missing:
        return []
    how = (
        f"The examples of docs/examples need {', '.join(missing)}, and only root can install that: "
        f"apt-get install {' '.join(TOOLS[tool] for tool in missing)}, or leave their tests out "
        "with: bin/test -m 'not client_tools'"
    )
    if os.environ.get("G2P_REQUIRE_CLIENT_TOOLS") == "1":
        raise BridgeError(how)
    complain(f"tools     {how}. They are skipped now.")
    return missing
