"""bin/lint: ruff check, ruff format --check, pylint-odoo over the addons, mypy over the client."""

import subprocess
import sys
from pathlib import Path

from bridge_stack.common import child_env, complain, home, project, say, venv_python


def checks(paths=()):
    """Return the command lines (list of lists) of all checks; all of them run, come what may.

    :param paths: files and folders, addons outside of this project too; none: all that is here
    """
    ruff = [str(venv_python()), "-m", "ruff"]
    where = list(map(str, paths)) or ["."]
    rules = ["--config", str(project() / "ruff.toml")]  # outside of this project too
    # C8101 wants the Odoo Community Association among the authors, which it is not
    # R8180 wants one class per model: ours has a room for each step of the pipeline
    silenced = "--disable=C8101,R8180"
    pylint = [str(venv_python()), "-m", "pylint", "--rcfile=.pylintrc", silenced]
    addons = [str(path) for path in _addons(paths)]
    found = [[*ruff, "check", *rules, *where], [*ruff, "format", "--check", *rules, *where]]
    if addons:
        found.append([*pylint, *addons])
    return found if paths else [*found, _types()]


def _addons(paths):
    """Return the addons (list of paths) among some paths, or all of this project."""
    if not paths:
        return sorted(Path(path.parent.name) for path in project().glob("*/__manifest__.py"))
    return [path for path in map(Path, paths) if (project() / path / "__manifest__.py").is_file()]


def _types():
    """Return the command that checks the types of the Python client and of its example."""
    client = project() / "clients" / "python"
    return [
        *(str(venv_python()), "-m", "mypy"),
        *("--config-file", client / "pyproject.toml", "--cache-dir", home() / "mypy"),
        *(client / "src", project() / "docs" / "examples" / "python_client.py"),
    ]


def main(arguments):
    """Run every check; return 1 if any of them failed."""
    failed = []
    # from where the command was given, if that is where they are
    paths = [Path(each).absolute() if Path(each).exists() else each for each in arguments]
    for command in checks(paths):
        name = " ".join(map(str, command[2:5]))
        say(f"lint      {name}")
        env = child_env(RUFF_CACHE_DIR=home() / "ruff")
        if subprocess.run(command, cwd=project(), env=env, check=False).returncode:
            failed.append(name)
    if failed:
        complain(f"lint: failed: {'; '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
