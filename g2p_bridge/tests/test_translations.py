import io
import re

import polib
from lxml import etree

from odoo.modules import get_module_path
from odoo.tests import TransactionCase, tagged
from odoo.tools.translate import trans_export

ADDONS = ("g2p_bridge", "g2p_bridge_bank_example", "g2p_bridge_bank_iso20022")
LANGUAGES = ("ar", "es", "fr")
#: what a translation has to hand through: %s, %(name)s, %d, %%
_PLACEHOLDER = re.compile(r"%(?:\([a-z_]+\))?[sdf%]|\{\w*\}")


@tagged("post_install", "-at_install")
class TestTranslations(TransactionCase):
    """Arabic, Spanish and French say all that English says."""

    def files(self):
        """Yield (addon, language, its file) of each translation."""
        for addon in ADDONS:
            for language in LANGUAGES:
                path = f"{get_module_path(addon)}/i18n/{language}.po"
                yield addon, language, polib.pofile(path)

    def test_the_template_has_the_texts_of_today(self):
        for addon in ADDONS:
            buffer = io.BytesIO()
            trans_export(None, [addon], buffer, "po", self.env)
            today = {entry.msgid for entry in polib.pofile(buffer.getvalue().decode())}
            kept = polib.pofile(f"{get_module_path(addon)}/i18n/{addon}.pot")
            with self.subTest(addon=addon):
                self.assertEqual({entry.msgid for entry in kept} ^ today, set(), "bin/translate")

    def test_every_text_is_translated(self):
        for addon, language, file in self.files():
            template = polib.pofile(f"{get_module_path(addon)}/i18n/{addon}.pot")
            missing = {entry.msgid for entry in template} - {
                entry.msgid for entry in file.translated_entries() if not entry.fuzzy
            }
            with self.subTest(addon=addon, language=language):
                self.assertEqual(missing, set())

    def test_placeholders_survive(self):
        for addon, language, file in self.files():
            for entry in file:
                with self.subTest(addon=addon, language=language, text=entry.msgid):
                    self.assertEqual(
                        sorted(_PLACEHOLDER.findall(entry.msgid)),
                        sorted(_PLACEHOLDER.findall(entry.msgstr)),
                    )

    def test_markup_survives(self):
        for addon, language, file in self.files():
            for entry in file:
                if "<" in entry.msgid:
                    with self.subTest(addon=addon, language=language, text=entry.msgid):
                        self.assertEqual(self.tags(entry.msgid), self.tags(entry.msgstr))

    def test_a_language_that_is_activated_is_spoken(self):
        for code, words in (("fr_FR", "Enveloppe"), ("es_419", "Sobre"), ("ar_001", "مظروف")):
            self.env["res.lang"]._activate_lang(code)
            self.env.ref("base.module_g2p_bridge")._update_translations([code])
            field = self.env["g2p.disbursement.batch"]._fields["envelope_id"]
            said = field._description_string(self.env(context={"lang": code}))
            with self.subTest(code):
                self.assertIn(words, said)

    def tags(self, text):
        """Return the elements of a text with all but their words, sorted."""
        try:
            root = etree.fromstring(f"<t>{text}</t>")
        except etree.XMLSyntaxError:  # a plain text that has a "<" in it
            return []
        ours = ("title", "aria-label", "placeholder", "alt", "string")  # words, translated
        return sorted(
            (node.tag, sorted((k, v) for k, v in node.attrib.items() if k not in ours))
            for node in root.iter()
        )
