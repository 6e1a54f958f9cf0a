"""Odoo 19.0 from Debian's package odoo-19: downloaded and unpacked, not installed.

The machine's own package lists, keys and packages stay as they are: apt runs with a private state
whose one source is the machine's Debian archive in suite ``sid``. Standard library alone.
"""

import os
import re
import shutil
from pathlib import Path

from bridge_stack.common import BridgeError

SUITE = "sid"
PACKAGE = "odoo-19"
#: What the package has links to, instead of copies.
COMPANIONS = (
    "libjs-jquery",
    "libjs-jquery-form",
    "libjs-underscore",
    "fonts-font-awesome",
    "fonts-roboto-unhinted",
    "fonts-inconsolata",
    "fonts-ocr-b",
    "fonts-glyphicons-halflings",
    "fonts-montserrat",
)
SELFIE_PACKAGE = "@mediapipe/selfie_segmentation@0.1.1675465747"
_SELFIE_FOLDER = "usr/lib/python3/dist-packages/odoo/addons/mail/static/lib/selfie_segmentation"
#: Only virtual backgrounds in video calls need the real one; the asset bundle needs the class.
_INERT_SELFIE = (
    "window.SelfieSegmentation = class { setOptions() {} onResults() {} async initialize() {} "
    "async send() {} reset() {} };\n"
)
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
#: Files that newer font packages renamed.
_RENAMED = {
    "inconsolata.otf": "inconsolata-regular.otf",
    "fontawesome.otf": "fontawesome-webfont.woff2",
    "fontawesome-webfont.ttf": "fontawesome-webfont.woff2",
    "fontawesome-webfont.eot": "fontawesome-webfont.woff2",
}


def find_archive(etc=Path("/etc/apt")):
    """Return (URI, keyring or key block) of the first Debian main archive among apt's sources.

    :raise BridgeError: this machine knows no Debian archive
    """
    for uri, key in [*_deb822_sources(etc), *_one_line_sources(etc)]:
        if re.search(r"/debian/?$", uri):
            return uri, key or _KEYRING
    raise BridgeError(
        "No Debian archive is among this machine's apt sources, so Odoo cannot be fetched from "
        "there. Check out Odoo 19.0 yourself and set ODOO_SOURCE=/path/to/odoo."
    )


def _deb822_sources(etc):
    for path in sorted((etc / "sources.list.d").glob("*.sources")):
        for stanza in re.split(r"\n\s*\n", path.read_text(encoding="utf-8")):
            fields = _stanza_fields(stanza)
            for uri in fields.get("uris", "").split():
                yield uri, fields.get("signed-by", "")


def _stanza_fields(stanza):
    fields, last = {}, None
    for line in stanza.splitlines():
        named = re.match(r"([A-Za-z-]+):\s*(.*)", line)
        if line.startswith("#"):
            continue
        if named:
            last = named[1].lower()
            fields[last] = named[2]
        elif last:
            fields[last] += "\n" + line
    return fields


def _one_line_sources(etc):
    for path in [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*.list"))]:
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        for options, uri in re.findall(r"^deb\s+(\[[^]]*\])?\s*(\S+)\s", text, re.MULTILINE):
            key = re.search(r"signed-by=([^\s\]]+)", options)
            yield uri, key[1] if key else ""


def require_tools():
    """Raise a :class:`BridgeError` that names what is missing to fetch and unpack packages."""
    missing = [tool for tool in ("apt-get", "dpkg-deb") if not shutil.which(tool)]
    if missing:
        raise BridgeError(
            f"{' and '.join(missing)} not found: Odoo is taken from a Debian package. On another "
            "system check out Odoo 19.0 yourself and set ODOO_SOURCE=/path/to/odoo."
        )


def write_private_apt(folder):
    """Make a private apt state in ``folder`` and return the options (list) that select it."""
    uri, key = find_archive()
    (folder / "lists" / "partial").mkdir(parents=True, exist_ok=True)
    (folder / "cache" / "archives" / "partial").mkdir(parents=True, exist_ok=True)
    (folder / "status").write_text("", encoding="utf-8")
    source = f"Types: deb\nURIs: {uri}\nSuites: {SUITE}\nComponents: main\nSigned-By: {key}\n"
    (folder / "private.sources").write_text(source, encoding="utf-8")
    settings = {
        "Dir::State": folder,
        "Dir::State::lists": folder / "lists",
        "Dir::State::status": folder / "status",
        "Dir::Cache": folder / "cache",
        "Dir::Etc::sourcelist": folder / "private.sources",
        "Dir::Etc::sourceparts": "-",
        # apt would drop to its own account, which may not enter our folder
        "APT::Sandbox::User": "root",
        "Acquire::Languages": "none",
        "Acquire::Retries": "3",
        "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled": "false",
        "Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled": "false",
        "Debug::NoLocking": "1",
    }
    return [part for name, value in settings.items() for part in ("-o", f"{name}={value}")]


def fetch_and_unpack(run, folder, target):
    """Download the packages to ``folder`` and unpack them to ``target``.

    :param run: ``run(command, cwd=None, progress=None, needed=True)`` -> exit code; runs one
        command with its output in the step's log
    """
    require_tools()
    debs = folder / "debs"
    debs.mkdir(parents=True, exist_ok=True)
    apt = ["apt-get", "-qq", *write_private_apt(folder / "apt")]
    run([*apt, "update"])
    # apt keeps what was downloaded whole before, and completes what was not
    partial = folder / "apt" / "cache" / "archives" / "partial"
    run(
        [*apt, "download", PACKAGE, *COMPANIONS],
        cwd=debs,
        progress=lambda: f"downloaded {_megabytes(debs) + _megabytes(partial)} of about 127 MB",
    )
    for deb in sorted(debs.glob("*.deb")):
        run(
            ["dpkg-deb", "-x", deb, target],
            progress=lambda: "unpacking, about 1.3 GB",
        )
    mend_links(target)
    add_selfie_segmentation(run, folder / "npm", target / _SELFIE_FOLDER)
    shutil.rmtree(debs)


def _megabytes(folder):
    return sum(path.stat().st_size for path in folder.glob("*") if path.is_file()) // 1_000_000


def mend_links(root):
    """Make absolute links inside unpacked packages resolve below ``root``; return the dead ones."""
    links = [path for path in _walk(root) if path.is_symlink()]
    for path in links:
        destination = os.readlink(path)
        if destination.startswith("/"):
            _relink(path, Path(f"{root}{destination}"))
    files = {path.name.lower(): path for path in _walk(root) if path.is_file()}
    dead = []
    for path in (link for link in links if not link.exists()):
        name = path.name.lower()
        found = files.get(_RENAMED.get(name, name)) or files.get(name.replace(".ttf", ".otf"))
        if found:
            _relink(path, found)
        else:
            dead.append(path)
    return dead


def _walk(root):
    for base, folders, files in os.walk(root):
        for name in folders + files:
            yield Path(base, name)


def _relink(path, destination):
    path.unlink()
    path.symlink_to(os.path.relpath(destination, path.parent))


def add_selfie_segmentation(run, folder, target):
    """Put the JavaScript file in place that the package lacks: from npm, or an inert class."""
    target.mkdir(parents=True, exist_ok=True)
    script = target / "selfie_segmentation.js"
    script.unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if shutil.which("npm") and not run(
        ["npm", "pack", "--silent", f"--cache={folder / 'cache'}", SELFIE_PACKAGE],
        cwd=folder,
        needed=False,
    ):
        for archive in folder.glob("*.tgz"):
            run(["tar", "-xzf", archive], cwd=folder)
            shutil.copyfile(folder / "package" / script.name, script)
    if not script.exists():
        script.write_text(_INERT_SELFIE, encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
