"""bin/odoo: the prepared Odoo with any arguments."""

import signal
import subprocess
import sys

from bridge_stack.common import BridgeError, child_env, complain, odoo_command, speak_on_stderr
from bridge_stack.postgres import Postgres


def main(arguments):
    """Run Odoo until it ends; return its exit code."""
    speak_on_stderr()
    try:
        with Postgres().running():
            child = subprocess.Popen(odoo_command(*arguments), env=child_env())
            # a terminal sends Ctrl-C to Odoo as well: it ends itself, and we wait for that
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, lambda *_: child.terminate())
            code = child.wait()
    except BridgeError as error:
        complain(f"odoo: {error}")
        return 3
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
