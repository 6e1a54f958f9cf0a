"""What is ordered: every message valid by its schema, every payment in it as it was given."""

import unittest
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal

from lxml import etree

from odoo.addons.g2p_bridge.connectors.dto import (
    BANK_ACCOUNT,
    FinancialAddress,
    Payment,
)

from ..messages import identification, pain001, schema

IBAN = "NL91ABNA0417164300"
NAIROBI = timezone(timedelta(hours=3))


def an_account(**values):
    return FinancialAddress(**{"fa_type": BANK_ACCOUNT, "account_number": IBAN, **values})


def a_payment(number=1, **values):
    return Payment(
        **{
            "end_to_end_id": f"TEST{number:012d}",
            "amount": Decimal("100.00"),
            "currency": "EUR",
            "creditor_id": f"ID{number}",
            "creditor_name": f"Person {number}",
            "creditor_account": an_account(),
            **values,
        }
    )


def an_order(*payments, **values):
    return pain001.PaymentOrder(
        **{
            "message_id": "G2PTEST1",
            "created_at": datetime(2026, 11, 26, 9, 30, tzinfo=NAIROBI),
            "requested_date": date(2026, 12, 1),
            "initiating_party_name": "Ministry of Social Affairs",
            "debtor_name": "Treasury",
            "debtor_account": "7000000001",
            "debtor_currency": "EUR",
            "payments": payments or (a_payment(),),
            **values,
        }
    )


def written(order):
    """Return the message of an order as lxml element without namespaces, and valid by its schema."""
    content = pain001.write(order)
    schema.validate(content, order.version)
    root = etree.fromstring(content)
    for element in root.iter():
        element.tag = etree.QName(element).localname
    return root


def texts(root, path):
    return [element.text for element in root.iterfind(f".//{path}")]


class TestOrder(unittest.TestCase):
    def test_both_versions_say_the_same_in_their_own_words(self):
        for version, day, bic in (
            (identification.PAIN_09, "ReqdExctnDt/Dt", "BICFI"),
            (identification.PAIN_03, "ReqdExctnDt", "BIC"),
        ):
            payment = a_payment(creditor_account=an_account(bank_code="ABNANL2A"))
            root = written(an_order(payment, version=version, debtor_agent_bic="DEUTDEFF500"))
            with self.subTest(version):
                self.assertEqual(texts(root, day), ["2026-12-01"])
                self.assertEqual(texts(root, f"DbtrAgt/FinInstnId/{bic}"), ["DEUTDEFF500"])
                self.assertEqual(texts(root, f"CdtrAgt/FinInstnId/{bic}"), ["ABNANL2A"])
                self.assertEqual(texts(root, "GrpHdr/CreDtTm"), ["2026-11-26T09:30:00+03:00"])
                self.assertEqual(texts(root, "CdtrAcct/Id/IBAN"), [IBAN])
                self.assertEqual(texts(root, "DbtrAcct/Id/Othr/Id"), ["7000000001"])
