"""pain.001, the order to a bank to make payments (ISO 20022 CustomerCreditTransferInitiation).

One message is one order on one account: a ``PmtInf`` whose id is the message's.
"""

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import localcontext
from io import BytesIO

from lxml import etree

from odoo.addons.g2p_bridge.connectors.dto import EMAIL_WALLET, MOBILE_WALLET
from odoo.addons.g2p_bridge.services.money import AmountError, format_amount

from . import charset, identification
from .errors import MessageError, PaymentError
from .nodes import element

VERSIONS = (identification.PAIN_09, identification.PAIN_03)
NAMESPACE = "urn:iso:std:iso:20022:tech:xsd:{}"
CHARGE_BEARERS = ("SLEV", "SHAR", "DEBT", "CRED")
#: kind of wallet -> ExternalProxyAccountType1Code
PROXIES = {MOBILE_WALLET: "TELE", EMAIL_WALLET: "EMAL"}

MAX_ID = 35
MAX_NAME = 140
MAX_REMITTANCE = 140
MAX_SUM_DIGITS = 18  # of DecimalNumber, and of an amount
MAX_DECIMALS = 5

_CODE = re.compile(r"[A-Z0-9]{1,4}")
_CURRENCY = re.compile(r"[A-Z]{3}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentOrder:
    """Payments to be made from one account on one day, and how the bank wants that said.

    :raise MessageError: a setting that no bank would take; the sentence names it
    """

    message_id: str  # see :func:`message_id`
    created_at: datetime  # aware
    requested_date: date
    initiating_party_name: str
    initiating_party_id: str = ""  # the customer number at the bank
    debtor_name: str
    debtor_account: str = field(repr=False)  # IBAN, or the bank's own number
    debtor_currency: str  # ISO 4217; that of all payments
    debtor_agent_bic: str = ""
    debtor_agent_member_id: str = ""  # where there is no BIC
    payments: Sequence = field(repr=False)  # of dto.Payment

    version: str = identification.PAIN_09
    charset: str = charset.LATIN
    decimals: int | None = None  # of the currency; None: as each amount has them
    name_length: int = 70  # SEPA; 140 in the schema
    batch_booking: bool | None = None  # True: one debit for all on the statement
    charge_bearer: str = "SLEV"  # or SHAR, DEBT, CRED, empty
    service_level: str = ""  # SEPA, URGP, NURG ...
    local_instrument: str = ""
    category_purpose: str = ""  # GOVT, SSBE, PENS ...
    purpose: str = ""  # the same kind of code, on each payment
    creditor_agent_from: str = identification.AUTO  # one of identification.AGENT_SOURCES
    clearing_system: str = ""  # of member ids: USABA, INFSC ..., or the bank's own name for it
    proxies: Mapping = field(default_factory=lambda: PROXIES)

    def __post_init__(self):
        for is_right, setting in _settings(self):
            if not is_right:
                raise MessageError(f"The order's {setting}.", code="FF01")


def message_id(idempotency_key):
    """Return the message id that belongs to a key: the same for the same key, never for another.

    35 characters of ``[A-Z0-9]``, which any bank takes: 160 bits of the key's SHA-256.
    """
    digest = hashlib.sha256(idempotency_key.encode()).digest()[:20]
    return "G2P" + base64.b32encode(digest).decode("ascii")


def write(order):
    """Return the message as bytes of UTF-8; it is built payment by payment.

    :param PaymentOrder order: of at least one payment
    :raise PaymentError: the first payment that cannot be written; see :func:`refused`
    :raise MessageError: no payment, or a total with more digits than a message can hold
    """
    for error in _errors(order):
        raise error
    namespace = NAMESPACE.format(order.version)
    totals = [("NbOfTxs", str(len(order.payments))), ("CtrlSum", control_sum(order))]
    buffer = BytesIO()
    with etree.xmlfile(buffer, encoding="utf-8") as xml:
        xml.write_declaration()
        with (
            xml.element(f"{{{namespace}}}Document", nsmap={None: namespace}),
            xml.element(f"{{{namespace}}}CstmrCdtTrfInitn"),
        ):
            xml.write(element(_group_header(order, totals)))
            with xml.element(f"{{{namespace}}}PmtInf"):
                for node in _payment_information(order, totals):
                    xml.write(element(node))
                for payment in order.payments:
                    xml.write(element(_transaction(order, payment)))
    return buffer.getvalue()


def refused(order):
    """Return a PaymentError for each payment that cannot be written, in their order.

    Nothing of them was sent, so an order of the others may be made.
    """
    return list(_errors(order))


def control_sum(order):
    """Return ``CtrlSum``: the exact sum of the amounts as they are written.

    :raise MessageError: no payment, or a total with more digits than a message can hold
    """
    if not order.payments:
        raise MessageError("The order has no payment.", code="AM18")
    with localcontext() as context:
        context.prec = 60
        total = sum(payment.amount for payment in order.payments)
    text = _amount_text(order, total)
    if _digits(text) > MAX_SUM_DIGITS:
        raise MessageError("The order's total has more than 18 digits.", code="AM10")
    return text


def _errors(order):
    seen = set()
    for payment in order.payments:
        error = _error_of(order, payment, is_repeated=payment.end_to_end_id in seen)
        seen.add(payment.end_to_end_id)
        if error is not None:
            yield error


def _error_of(order, payment, *, is_repeated):
    try:
        if is_repeated:
            raise MessageError("it is in the order twice.", code="AM05")
        _transaction(order, payment)
    except MessageError as error:
        return PaymentError(str(error), code=error.code, end_to_end_id=payment.end_to_end_id)
    return None


def _settings(order):
    """Yield for each setting whether it is right, and its name with what it must be."""
    is_code = _CODE.fullmatch
    yield order.version in VERSIONS, f"version must be one of {', '.join(VERSIONS)}"
    yield order.charset in charset.CHARSETS, "charset must be latin or utf8"
    yield charset.is_reference(order.message_id, MAX_ID), "message id must be a reference of 35x"
    yield order.created_at.tzinfo is not None, "creation time must have a time zone"
    yield _CURRENCY.fullmatch(order.debtor_currency), "currency must be an ISO 4217 code"
    yield 0 < order.name_length <= MAX_NAME, "name length must be 1 to 140"
    yield order.decimals in (None, *range(MAX_DECIMALS + 1)), "decimals must be 0 to 5"
    yield order.charge_bearer in ("", *CHARGE_BEARERS), "charge bearer is not one of the standard"
    for code in ("service_level", "category_purpose", "purpose"):
        name, value = code.replace("_", " "), getattr(order, code)
        yield not value or is_code(value), f"{name} must be a code of 1 to 4 capitals or digits"
    yield (
        not order.local_instrument or charset.is_reference(order.local_instrument, MAX_ID),
        "local instrument must be a code of at most 35 characters",
    )
    yield order.creditor_agent_from in identification.AGENT_SOURCES, "source of banks is unknown"
    yield from _identities(order)


def _identities(order):
    bic, version = order.debtor_agent_bic, order.version
    yield not bic or (version in VERSIONS and identification.is_bic(bic, version)), "BIC is none"
    for name in ("initiating_party_id", "debtor_agent_member_id", "clearing_system"):
        value = getattr(order, name)
        setting = name.replace("_", " ")
        yield not value or charset.is_reference(value, MAX_ID), f"{setting} must be at most 35x"
    for kind in (MOBILE_WALLET, EMAIL_WALLET):
        yield _CODE.fullmatch(order.proxies.get(kind, "")), f"proxy code of a {kind} is missing"
    yield _is_account(order), "funding account is no number that the bank takes"


def _is_account(order):
    try:
        identification.account_id(order.debtor_account, order.charset)
    except MessageError:
        return False
    return True


def _group_header(order, totals):
    party_id = order.initiating_party_id
    return (
        "GrpHdr",
        [
            ("MsgId", order.message_id),
            ("CreDtTm", order.created_at.isoformat(timespec="seconds")),
            *totals,
            (
                "InitgPty",
                [
                    ("Nm", _name(order, order.initiating_party_name)),
                    ("Id", [("OrgId", [("Othr", [("Id", party_id)])])]) if party_id else None,
                ],
            ),
        ],
    )


def _payment_information(order, totals):
    day = order.requested_date.isoformat()
    yield ("PmtInfId", order.message_id)
    yield ("PmtMtd", "TRF")
    if order.batch_booking is not None:
        yield ("BtchBookg", "true" if order.batch_booking else "false")
    yield from totals
    if payment_type := list(_payment_type(order)):
        yield ("PmtTpInf", payment_type)
    yield ("ReqdExctnDt", day if order.version == identification.PAIN_03 else [("Dt", day)])
    yield ("Dbtr", [("Nm", _name(order, order.debtor_name))])
    account = identification.account_id(order.debtor_account, order.charset)
    yield ("DbtrAcct", [account, ("Ccy", order.debtor_currency)])
    bank = identification.agent(
        version=order.version,
        bic=order.debtor_agent_bic,
        member_id=order.debtor_agent_member_id,
        clearing_system=order.clearing_system,
    )
    yield ("DbtrAgt", [bank])
    if order.charge_bearer:
        yield ("ChrgBr", order.charge_bearer)


def _payment_type(order):
    if order.service_level:
        yield ("SvcLvl", [("Cd", order.service_level)])
    if order.local_instrument:
        tag = "Cd" if _CODE.fullmatch(order.local_instrument) else "Prtry"
        yield ("LclInstrm", [(tag, order.local_instrument)])
    if order.category_purpose:
        yield ("CtgyPurp", [("Cd", order.category_purpose)])


def _transaction(order, payment):
    """Return the node of one payment.

    :raise MessageError: what is wrong with it, without its id
    """
    reference = payment.end_to_end_id
    if not charset.is_reference(reference, MAX_ID):
        raise MessageError("its id is no reference that banks take (35x).", code="FF01")
    address = payment.creditor_account
    return (
        "CdtTrfTxInf",
        [
            ("PmtId", [("InstrId", reference), ("EndToEndId", reference)]),
            ("Amt", [("InstdAmt", _checked_amount(order, payment), {"Ccy": payment.currency})]),
            address and _creditor_agent(order, address),
            ("Cdtr", _creditor(order, payment)),
            address and ("CdtrAcct", _creditor_account(order, address)),
            ("Purp", [("Cd", order.purpose)]) if order.purpose else None,
            _remittance(order, payment.remittance_information),
        ],
    )


def _checked_amount(order, payment):
    if payment.currency != order.debtor_currency:
        raise MessageError("its currency is not that of the order.", code="AM03")
    if not payment.amount.is_finite() or payment.amount <= 0:
        raise MessageError("its amount must be above zero.", code="AM12")
    text = _amount_text(order, payment.amount)
    if _digits(text) > MAX_SUM_DIGITS:
        raise MessageError("its amount has more than 18 digits.", code="AM12")
    return text


def _digits(text):
    return len(text.replace(".", "").lstrip("0"))


def _amount_text(order, amount):
    """Return an amount with the currency's decimals: the order's, or those that it came with."""
    decimals = order.decimals
    if decimals is None:
        decimals = max(0, -amount.as_tuple().exponent)
    if decimals > MAX_DECIMALS:
        raise MessageError("it has more than 5 decimals.", code="AM12")
    try:
        return format_amount(amount, decimals)
    except AmountError as error:
        raise MessageError("it has more decimals than its currency.", code="AM12") from error


def _creditor(order, payment):
    """Return the nodes of the creditor, with the program's id only where no account is known."""
    name = ("Nm", _name(order, payment.creditor_name))
    if payment.creditor_account is not None:
        return [name]
    if not charset.is_reference(payment.creditor_id, MAX_ID):
        raise MessageError("it has no account, and its creditor id is not 1 to 35x.", code="AC01")
    return [name, ("Id", [("PrvtId", [("Othr", [("Id", payment.creditor_id)])])])]


def _creditor_account(order, address):
    if address.fa_type == MOBILE_WALLET:
        kind = order.proxies[MOBILE_WALLET]
        return identification.wallet_account(address.mobile_number, kind, order.version)
    if address.fa_type == EMAIL_WALLET:
        kind = order.proxies[EMAIL_WALLET]
        return identification.wallet_account(address.email_address, kind, order.version)
    return [identification.account_id(address.account_number, order.charset)]


def _creditor_agent(order, address):
    return identification.creditor_agent(
        address, order.creditor_agent_from, order.version, order.clearing_system
    )


def _remittance(order, text):
    if not text.strip():
        return None
    return ("RmtInf", [("Ustrd", charset.clean_text(text, MAX_REMITTANCE, order.charset))])


def _name(order, text):
    return charset.clean_text(text, order.name_length, order.charset)
