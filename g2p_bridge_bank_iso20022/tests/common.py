"""A file bank with real files: a folder below one that is made for the test."""

import os
import shutil
import tempfile
from pathlib import Path
from unittest import mock

from odoo.addons.g2p_bridge.tests.pipeline_case import PipelineCase

from ..transport.folder import ROOT

DEBTOR = "NL41MOCK0000000001"
CREDITORS = ("NL30MOCK0000000005", "DE89370400440532013000", "FR1420041010050500013M02606")

REPORT = """<?xml version="1.0" encoding="UTF-8"?>
<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.002.001.10"><CstmrPmtStsRpt>
<GrpHdr><MsgId>{own_id}</MsgId><CreDtTm>2026-11-26T10:00:00</CreDtTm></GrpHdr>
<OrgnlGrpInfAndSts><OrgnlMsgId>{message_id}</OrgnlMsgId><OrgnlMsgNmId>pain.001.001.09</OrgnlMsgNmId>
{group}</OrgnlGrpInfAndSts>{items}</CstmrPmtStsRpt></Document>"""
ITEMS = "<OrgnlPmtInfAndSts><OrgnlPmtInfId>{message_id}</OrgnlPmtInfId>{items}</OrgnlPmtInfAndSts>"


def reason(code, words=""):
    text = f"<AddtlInf>{words}</AddtlInf>" if words else ""
    return f"<StsRsnInf><Rsn><Cd>{code}</Cd></Rsn>{text}</StsRsnInf>" if code else ""


def item(end_to_end_id, status, code="", words=""):
    return (
        f"<TxInfAndSts><OrgnlEndToEndId>{end_to_end_id}</OrgnlEndToEndId>"
        f"<TxSts>{status}</TxSts>{reason(code, words)}</TxInfAndSts>"
    )


def report(message_id, *items, status="", code="", own_id="R1"):
    """Return a pain.002 as bytes."""
    group = f"<GrpSts>{status}</GrpSts>{reason(code)}" if status else ""
    inner = ITEMS.format(message_id=message_id, items="".join(items)) if items else ""
    return REPORT.format(own_id=own_id, message_id=message_id, group=group, items=inner).encode()


class FileBankCase(PipelineCase):
    """A bank that takes files, in a folder that the test sees."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        place = tempfile.TemporaryDirectory(prefix="g2p-files-")
        cls.addClassCleanup(place.cleanup)
        cls.root = Path(place.name)
        cls.enterClassContext(mock.patch.dict(os.environ, {ROOT: place.name}))
        cls.currency = cls.env.ref("base.EUR")
        cls.currency.active = True
        cls.account.write({"account_number": DEBTOR, "currency_id": cls.currency.id})
        cls.bank.write(
            {
                "connector": "iso20022",
                "code": "FILES",
                "max_batch_size": 100,
                "iso20022_transport": "folder",
                "iso20022_out_path": "in",
                "iso20022_taken_path": "in/taken",
                "iso20022_in_path": "out",
                "iso20022_initiating_party_name": "Ministry",
                "iso20022_agent_bic": "MOCKNL2A",
                "iso20022_funds_policy": "execution",
            }
        )
        links = cls.env["g2p.account.link"].search([("mapper_id", "=", cls.mapper.id)], order="id")
        for link, number in zip(links, CREDITORS, strict=True):
            link.write({"account_number": number, "bank_code": False})

    def setUp(self):
        super().setUp()
        self.empty_folders()

    def empty_folders(self):
        for name in ("in", "out"):
            shutil.rmtree(self.root / name, ignore_errors=True)
        for name in ("in/taken", "out/archive", "out/error"):
            (self.root / name).mkdir(parents=True)

    def envelope_request(self, **values):
        return super().envelope_request(**{"disbursement_currency_code": "EUR", **values})

    def sent_envelope(self, count=3):
        """Return an envelope whose payments lie in one file for the bank."""
        envelope = self.ready_envelope(count)
        self.run_envelope(envelope)
        self.assertStates(envelope, *["sent"] * count)
        return envelope

    def laid_down(self):
        """Return name -> content of what the bank would take."""
        folder = self.root / "in"
        return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}

    def bank_lays_down(self, name, content):
        (self.root / "out" / name).write_bytes(content)

    def fetch(self):
        """Have the cron fetch what the bank laid down, and read it."""
        postponed = self.run_jobs(self.env["g2p.sponsor.bank"]._cron_fetch_bank_files)
        self.assertEqual(postponed, [])

    def files(self, **values):
        domain = [("bank_id", "=", self.bank.id), *((name, "=", v) for name, v in values.items())]
        return self.env["g2p.bank.file"].search(domain, order="id")
