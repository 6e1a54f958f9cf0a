"""bin/test: one pytest run over everything, in a database of its own."""

import configparser
import re
import signal
import subprocess
import sys
from pathlib import Path

from bridge_stack import template
from bridge_stack.browser import ensure_chromium
from bridge_stack.client_tools import ensure_tools
from bridge_stack.common import (
    BridgeError,
    child_env,
    complain,
    home,
    odoo_config,
    project,
    say,
    venv_python,
)
from bridge_stack.postgres import Postgres

#: What only tests with a browser contain.
_BROWSER = re.compile(r"mark\.browser|\.start_tour\(|\.browser_js\(")
#: What only tests with the examples' programs contain.
_TOOLS = re.compile(r"mark\.client_tools")


def test_files(arguments):
    """Return the test modules (list) that pytest would look at with these arguments."""
    paths = [Path(each.split("::")[0]) for each in arguments if not each.startswith("-")]
    chosen = [path for path in paths if path.exists()] or [project()]
    folders = [path for path in chosen if path.is_dir()]
    found = [path for path in chosen if path.is_file()]
    for folder in folders:
        found += [path for path in folder.rglob("test_*.py") if ".cache" not in path.parts]
    return found


def needs_browser(arguments):
    """Say whether the chosen tests drive a browser."""
    return "not browser" not in arguments and _is_in_tests(_BROWSER, arguments)


def needs_tools(arguments):
    """Say whether the chosen tests run the examples of docs/examples."""
    return "not client_tools" not in arguments and _is_in_tests(_TOOLS, arguments)


def _is_in_tests(pattern, arguments):
    return any(pattern.search(path.read_text(encoding="utf-8")) for path in test_files(arguments))


def addons_outside(arguments):
    """Return the addons (list of paths) to be tested that do not stand in this project."""
    given = [Path(each.split("::")[0]).absolute() for each in arguments if each[:1] != "-"]
    found = [
        folder
        for path in given
        if path.exists() and not path.is_relative_to(project())
        for folder in (path, *path.parents)
        if (folder / "__manifest__.py").is_file()
    ]
    return list(dict.fromkeys(found))


def addons_path(addons):
    """Return Odoo's option for the folders of its addons, with those of some addons besides."""
    config = configparser.ConfigParser(interpolation=None)
    config.read(odoo_config(), encoding="utf-8")
    folders = [config["options"]["addons_path"], *(str(addon.parent) for addon in addons)]
    return ",".join(dict.fromkeys(folders))


def pytest_command(database, arguments, addons=()):
    """Return pytest's command line.

    :param addons: paths of addons outside of the project, which the database has
    """
    outside = []
    if addons:
        # pytest looks for its settings beside what it is to test
        outside = [f"--rootdir={project()}", "-c", str(project() / "setup.cfg")]
        outside.append(f"--odoo-addons-path={addons_path(addons)}")
        arguments = [
            str(Path(each).absolute()) if each[:1] != "-" and Path(each).exists() else each
            for each in arguments
        ]
    return [
        str(venv_python()),
        "-m",
        "pytest",
        f"--odoo-database={database}",
        f"--odoo-config={odoo_config()}",
        "--odoo-http",
        "--odoo-log-level=error",
        *outside,
        *arguments,
    ]


def install_outside(database, addons):
    """Install addons from outside of the project in a database that has the bridge."""
    if not addons:
        return
    names = [addon.name for addon in addons]
    say(f"test      installing {', '.join(names)}")
    log = home() / "log" / "install-outside.log"
    template.run_install(database, "--init", names, log, f"--addons-path={addons_path(addons)}")
    for line in template.warnings_in(log):
        say(f"test      {line}")


def run_pytest(database, arguments, addons=()):
    """Run pytest and return its exit code; on Ctrl-C let it end in its own order."""
    # importing queue_job patches the server that --odoo-http starts: root:0 keeps the runner asleep
    env = child_env(ODOO_QUEUE_JOB_CHANNELS="root:0")
    command = pytest_command(database, arguments, addons)
    child = subprocess.Popen(command, cwd=project(), env=env)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: child.send_signal(signal.SIGINT))
    return child.wait()


def main(arguments):
    """Run the tests; return pytest's exit code, or 3 for what a person has to mend."""
    try:
        if needs_browser(arguments):
            ensure_chromium()
        if needs_tools(arguments):
            ensure_tools()
        with Postgres().running() as postgres:
            template.drop_abandoned(postgres, "test")
            source = template.template_database(postgres)
            for line in template.install_warnings():
                say(f"template  {line}")
            database = template.temporary_name("test")
            try:
                template.clone_database(postgres, source, database)
                addons = addons_outside(arguments)
                install_outside(database, addons)
                code = run_pytest(database, arguments, addons)
            finally:
                template.drop_database(postgres, database)
    except BridgeError as error:
        complain(f"test: {error}")
        return 3
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
