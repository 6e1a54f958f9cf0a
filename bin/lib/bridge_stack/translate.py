"""bin/translate: bring the translation files up to date with the texts of the addons.

Odoo's own export gives the texts. Each language keeps what it has; new texts come in empty, and
what is no longer used goes.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import polib

from bridge_stack import template
from bridge_stack.common import BridgeError, child_env, complain, odoo_command, project, say
from bridge_stack.postgres import Postgres

ADDONS = ("g2p_bridge", "g2p_bridge_bank_example", "g2p_bridge_bank_iso20022")
LANGUAGES = ("ar", "es", "fr")
#: lines of a header that say when and by whom, and so change with each export
_PASSING = ("POT-Creation-Date", "PO-Revision-Date", "Last-Translator", "Language-Team")


def export(addon, database, folder):
    """Return the texts of an addon as Odoo exports them (:class:`polib.POFile`)."""
    path = Path(folder) / f"{addon}.pot"
    done = subprocess.run(
        odoo_command("i18n", "export", "-d", database, "-o", str(path), addon),
        env=child_env(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode or not path.is_file():
        raise BridgeError(f"Odoo could not export the texts of {addon}:\n{done.stderr[-2000:]}")
    texts = polib.pofile(str(path), wrapwidth=78)
    for name in _PASSING:
        texts.metadata.pop(name, None)
    return texts


def merge(texts, path, language):
    """Bring one language's file up to date; return how many texts it lacks.

    :param texts: what :func:`export` gave
    :param path: of the file, which need not be there yet
    """
    if path.is_file():
        known = polib.pofile(str(path), wrapwidth=78)
    else:
        known = polib.POFile(wrapwidth=78)
        known.metadata = dict(texts.metadata, Language=language)
    known.merge(texts)
    for entry in known.obsolete_entries():
        known.remove(entry)
    known.save(str(path))
    return len(known.untranslated_entries()) + len(known.fuzzy_entries())


def _update(database):
    with tempfile.TemporaryDirectory() as folder:
        for addon in ADDONS:
            texts = export(addon, database, folder)
            target = project() / addon / "i18n"
            target.mkdir(exist_ok=True)
            texts.save(str(target / f"{addon}.pot"))
            for language in LANGUAGES:
                lacking = merge(texts, target / f"{language}.po", language)
                say(f"translate {addon} {language}: {len(texts)} texts, {lacking} to translate")


def main(arguments):
    """Write the files; return 0, or 3 for what a person has to mend."""
    argparse.ArgumentParser(prog="bin/translate", description=__doc__).parse_args(arguments)
    database = template.temporary_name("texts")
    try:
        with Postgres().running() as postgres:
            try:
                template.make_database(postgres, template.MODULES, database)
                _update(database)
            finally:
                template.drop_database(postgres, database)
    except BridgeError as error:
        complain(f"translate: {error}")
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
