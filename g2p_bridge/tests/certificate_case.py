import base64
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from odoo.addons.g2p_bridge.models.g2p_certificate_key import CertificateKey

from .pipeline_case import PipelineCase
from .statement_case import entry, statement_text

VERIFIER = Path(__file__).parents[2] / "bin" / "lib" / "verify_certificate.py"


class CertificateCase(PipelineCase):
    """Envelopes that went the whole way, and the verifier in a process of its own."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.viewer = cls.create_user("test_viewer", "g2p_bridge.group_viewer")
        cls.link(*(f"BEN{number}" for number in range(4, 8)))
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = Path(folder.name)
        # the key of the database stays as it is
        cls.classPatch(CertificateKey, "_path", lambda _self: cls.folder / "key" / "key.pem")
        cls.balance = 1000

    def setUp(self):
        super().setUp()
        self.statement_number = 0
        self.balance = 1000

    # -- the way --------------------------------------------------------------------------------

    def sent_envelope(self, count=3, **values):
        """Return an envelope whose payments of 100.00 are with the bank."""
        envelope = self.ready_envelope(count, **values)
        self.run_envelope(envelope)
        self.assertEqual(envelope.state, "disbursed")
        return envelope

    def settled_envelope(self, count=3, returned=0):
        """Return an envelope that the bank's statements settled; some payments came back."""
        envelope = self.sent_envelope(count)
        self.book([("D", payment) for payment in self.disbursements(envelope)])
        if returned:
            self.give_back(self.disbursements(envelope)[:returned])
        self.assertEqual(envelope.state, "settled")
        self.assertTrue(envelope.funds_released_at)
        return envelope

    def give_back(self, payments):
        return self.book([("RD", payment) for payment in payments])

    def book(self, moves, **values):
        """Have the bank's next statement come in with these entries: [(mark, payment)]."""
        self.statement_number += 1
        entries = [
            entry(mark, f"{payment.amount:.2f}".replace(".", ","), payment.disbursement_id)
            for mark, payment in moves
        ]
        values = {"number": f"{self.statement_number}/1", "opening": f"{self.balance},00", **values}
        self.balance += sum(
            -payment.amount if mark == "D" else payment.amount for mark, payment in moves
        )
        self.balance = int(self.balance)
        text = statement_text("TEST0001", entries, **values)
        answers = []
        self.run_jobs(lambda: answers.append(self.bank_api.upload_mt940(text, "s.mt940")))
        statements = self.env["g2p.account.statement"]
        return statements.search([("name", "=", answers[0]["statement_id"])])

    # -- the certificate ------------------------------------------------------------------------

    def issue(self, envelope, user=None):
        """Return the certificate of an envelope, issued by an officer."""
        action = envelope.with_user(user or self.officer).action_issue_certificate()
        return self.env["g2p.certificate"].browse(action["res_id"])

    def document(self, certificate):
        return json.loads(base64.b64decode(certificate.document))

    def register(self, certificate):
        return b"".join(certificate._register_parts())

    def files(self, certificate):
        """Write the files of a certificate; return their paths as (document, register, key)."""
        paths = [self.folder / name for name in ("c.json", "r.csv.gz", "k.pem")]
        paths[0].write_bytes(base64.b64decode(certificate.document))
        paths[1].write_bytes(self.register(certificate))
        paths[2].write_text(certificate.key_id.public_key)
        return paths

    def verify(self, document, *options):
        """Run the verifier without Odoo; return (exit code, what it says)."""
        # -S: no package is there, as on the machine of an auditor
        plain_python = [sys.executable, "-I", "-S", str(VERIFIER)]
        command = [*plain_python, str(document), *map(str, options)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        return done.returncode, done.stdout + done.stderr
