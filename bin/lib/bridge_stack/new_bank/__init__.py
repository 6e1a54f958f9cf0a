"""bin/new-bank: make an addon for a bank, which installs and whose tests run at once.

The addon speaks the simple JSON of a made-up bank, and its tests have that bank. Its texts are the
files of ``template/``: ``@CODE@``, ``@NAME@`` and ``@CLASS@`` in them stand for the bank's.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from bridge_stack.common import (
    BridgeError,
    child_env,
    complain,
    home,
    project,
    say,
    venv_python,
)

TEMPLATE = Path(__file__).resolve().parent / "template"
PREFIX = "g2p_bridge_bank_"
ICON = Path("static", "description", "icon.png")
MAX_CODE, MAX_NAME = 20, 40

_CODE = re.compile(r"[a-z][a-z0-9_]*", re.ASCII)
_PLACEHOLDER = re.compile(r"@(CODE|NAME|CLASS)@")
#: what would end a text of Python or XML, or a line
_NOT_IN_NAMES = re.compile(r"[\"\\<>{}@`]|[^\S ]")


def check_code(code):
    """Raise a :class:`BridgeError` if the code cannot name an addon, a model and fields."""
    if not _CODE.fullmatch(code):
        raise BridgeError(
            f"The code {code!r} must be small letters, digits and underscores, and begin with"
            " a letter: acme, first_bank."
        )
    if len(code) > MAX_CODE:
        raise BridgeError(f"The code {code!r} is longer than {MAX_CODE} characters.")


def check_name(name):
    """Raise a :class:`BridgeError` if the name does not fit on a line of each file."""
    if not name.strip() or not name.isprintable() or _NOT_IN_NAMES.search(name):
        raise BridgeError(
            'The name must be one line as people read it, without quotation marks ",'
            " backslashes and < > { } @ `."
        )
    if len(name) > MAX_NAME:
        raise BridgeError(f"The name is longer than {MAX_NAME} characters.")


def taken_codes(folders):
    """Return connector code -> addon (path) of all bank addons in some folders."""
    found = {}
    for folder in folders:
        for model in folder.glob(f"{PREFIX}*/models/*.py"):
            text = model.read_text(encoding="utf-8")
            for code in re.findall(r"_name = \"g2p\.bank\.connector\.(\w+)\"", text):
                found[code] = model.parents[1]
        for addon in folder.glob(f"{PREFIX}*/"):
            found.setdefault(addon.name.removeprefix(PREFIX), addon)
    return found


def target_of(code, into):
    """Return the folder (path) of the addon to make.

    :raise BridgeError: there is one already, or a connector of that code
    """
    if not into.is_dir():
        raise BridgeError(f"There is no folder {into}: make it, or choose another with --into.")
    target = into / f"{PREFIX}{code}"
    if target.exists() or target.is_symlink():
        raise BridgeError(f"{target} is there already; nothing was changed.")
    if addon := taken_codes({project(), into}).get(code):
        raise BridgeError(f"The code {code} is taken by {addon}; nothing was changed.")
    return target


def render(text, values):
    """Return a text of the template with the bank's values; each is put in once, as it is."""
    return _PLACEHOLDER.sub(lambda match: values[match[1]], text)


def values_of(code, name):
    """Return placeholder -> value."""
    words = "".join(part.capitalize() for part in code.split("_"))
    return {"CODE": code, "NAME": name, "CLASS": words}


def write_addon(target, values):
    """Write the addon; all of it is there, or nothing."""
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".new-bank-") as folder:
        made = Path(folder) / target.name
        for source in sorted(path for path in TEMPLATE.rglob("*") if path.is_file()):
            name = render(str(source.relative_to(TEMPLATE)), values).removesuffix(".tmpl")
            path = made / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(_render_file(source, path.suffix, values), encoding="utf-8")
        (made / ICON).parent.mkdir(parents=True)
        shutil.copyfile(project() / "g2p_bridge" / ICON, made / ICON)
        _format(made)
        made.rename(target)


def _render_file(source, suffix, values):
    name = values["NAME"]
    if suffix == ".xml":
        name = name.replace("&", "&amp;")
    return render(source.read_text(encoding="utf-8"), {**values, "NAME": name})


def _format(folder):
    """Break lines where the bank's name made them too long, as bin/lint wants them."""
    options = ["--quiet", "--config", str(project() / "ruff.toml"), str(folder)]
    for command in (["check", "--select=I", "--fix"], ["format"]):
        done = subprocess.run(
            [str(venv_python()), "-m", "ruff", *command, *options],
            env=child_env(RUFF_CACHE_DIR=home() / "ruff"),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise BridgeError(f"ruff could not format the addon:\n{done.stdout}{done.stderr}")


def next_steps(target, code):
    """Return what to tell whoever made the addon."""
    shown = target.relative_to(project()) if target.is_relative_to(project()) else target
    return (
        f"new-bank  made {shown}",
        f"new-bank  run its tests now:      bin/test {shown}",
        f"new-bank  what to change, marked: grep -rn CHANGE: {shown}",
        f"new-bank  its bank, as a double:  {shown}/tests/{code}_bank.py",
        "new-bank  the guide:              docs/bank-connector.md",
    )


def main(arguments):
    """Make the addon; return 0, or 3 for what a person has to mend."""
    parser = argparse.ArgumentParser(prog="bin/new-bank", description=__doc__.split("\n\n")[0])
    parser.add_argument("code", metavar="CODE", help="short name for code: acme, first_bank")
    parser.add_argument("name", metavar="NAME", help='name for people: "ACME Bank"')
    parser.add_argument(
        "--into", metavar="DIR", type=Path, default=project(), help="folder of addons; this project"
    )
    options = parser.parse_args(arguments)
    try:
        check_code(options.code)
        check_name(options.name)
        target = target_of(options.code, options.into.absolute())
        write_addon(target, values_of(options.code, options.name.strip()))
    except (BridgeError, OSError) as error:
        complain(f"new-bank: {error}")
        return 3
    for line in next_steps(target, options.code):
        say(line)
    return 0
