"""bin/lint: ruff check, ruff format --check, and pylint-odoo over the addons."""

import subprocess
import sys

from bridge_stack.common import child_env, complain, home, project, say, venv_python


def checks(paths=()):
    """Return the command lines (list of lists) of all checks; all of them run, come what may."""
    ruff = [str(venv_python()), "-m", "ruff"]
    where = list(paths) or ["."]
    addons = sorted(path.parent.name for path in project().glob("*/__manifest__.py"))
    # C8101 wants the Odoo Community Association among the authors, which it is not
    # R8180 wants one class per model: ours has a room for each step of the pipeline
    silenced = "--disable=C8101,R8180"
    pylint = [str(venv_python()), "-m", "pylint", "--rcfile=.pylintrc", silenced]
    found = [[*ruff, "check", *where], [*ruff, "format", "--check", *where]]
    return found + ([[*pylint, *addons]] if addons and not paths else [])


def main(arguments):
    """Run every check; return 1 if any of them failed."""
    failed = []
    for command in checks(arguments):
        name = " ".join(command[2:5])
        say(f"lint      {name}")
        env = child_env(RUFF_CACHE_DIR=home() / "ruff")
        if subprocess.run(command, cwd=project(), env=env, check=False).returncode:
            failed.append(name)
    if failed:
        complain(f"lint: failed: {'; '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
