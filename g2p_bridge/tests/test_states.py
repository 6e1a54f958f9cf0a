import re
from pathlib import Path
from unittest import SkipTest

from odoo.tests import TransactionCase, tagged

from odoo.addons.g2p_bridge.const import ISO_STATUS

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "states.md"
MODELS = (
    "g2p.disbursement.envelope",
    "g2p.disbursement",
    "g2p.disbursement.batch",
    "g2p.account.statement",
    "g2p.envelope.import",
)

_ROW = re.compile(r"^\| `(\w+)` \| ([^|]+) \|", re.MULTILINE)
_STATE = re.compile(r"`(\w+)`")


def documented_sources(text, model):
    """Return state -> set of the states that it is reached from, out of the model's table."""
    section = text.split(f"(`{model}`)\n", 1)[1].split("\n## ", 1)[0]
    return {state: set(_STATE.findall(sources)) for state, sources in _ROW.findall(section)}


@tagged("post_install", "-at_install")
class TestStates(TransactionCase):
    """The tables that people read, against the maps that the code goes by."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if not DOCUMENT.parent.is_dir():
            raise SkipTest("the addon stands here without the project's documents")
        cls.text = DOCUMENT.read_text(encoding="utf-8")

    def test_every_transition_stands_in_its_table_and_no_other(self):
        for name in MODELS:
            model = self.env[name]
            states = dict(model._fields["state"]._description_selection(self.env))
            coded = {state: set(model._TRANSITIONS.get(state, ())) for state in states}
            with self.subTest(model=name):
                self.assertEqual(documented_sources(self.text, name), coded)

    def test_every_iso_status_stands_in_its_table(self):
        rows = re.findall(r"^\| (`[^|]+) \| ([A-Z]{4}) \|$", self.text, re.MULTILINE)
        documented = {state: status for states, status in rows for state in _STATE.findall(states)}
        self.assertEqual(documented, ISO_STATUS)
