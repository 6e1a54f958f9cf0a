"""Debian's packages for programs that no Python package brings."""

import os
import shutil
import subprocess

from bridge_stack.common import complain, home, say, tail


def can_install():
    """Say whether this machine lets us install packages: Debian or the like, and root."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def install(step, *packages):
    """Install Debian packages; where that fails, say so and go on.

    :param step: name for the line that is shown, and for the log
    """
    say(f"{step:<9} installing Debian's {', '.join(packages)} (apt-get install)")
    log = home() / "log" / f"setup-{step}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    env = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages]
    with log.open("w", encoding="utf-8") as file:
        # the lists of packages may be missing (container images) or too old to download from
        for each in (command, ["apt-get", "update", "-qq"], command):
            done = subprocess.run(
                each, env=env, stdin=subprocess.DEVNULL, stdout=file, stderr=file, check=False
            )
            if done.returncode == 0 and each is command:
                return
    complain(f"{step:<9} apt-get could not install {packages}, see {log}:\n{tail(log, 5)}")
