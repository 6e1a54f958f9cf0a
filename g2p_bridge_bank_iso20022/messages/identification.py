"""Accounts, banks and parties as ISO 20022 names them, in nodes for :mod:`.nodes`."""

import re

from . import charset, iban
from .errors import MessageError

PAIN_03 = "pain.001.001.03"
PAIN_09 = "pain.001.001.09"

#: how a creditor's bank is said
AUTO = "auto"  # bank_code: BICFI where it has the form of a BIC, else the clearing member id
BIC = "bic"  # bank_code is a BIC, and has to be
BANK = "bank"  # bank_code is the clearing member id
BRANCH = "branch"  # branch_code is (an IFSC, a sort code)
BANK_BRANCH = "bank_branch"  # both, joined
NONE = "none"  # not at all: the account says enough
AGENT_SOURCES = (AUTO, BIC, BANK, BRANCH, BANK_BRANCH, NONE)

MAX_ACCOUNT = 34
MAX_MEMBER_ID = 35
MAX_PROXY = 2048
#: for what a message must have and the sender has not (EPC, ISO 20022 usage)
NOT_PROVIDED = "NOTPROVIDED"

_BIC_TAG = {PAIN_03: "BIC", PAIN_09: "BICFI"}
#: as the schema of each version has it: .03 knows no digits in the bank's four letters
_BIC_SHAPE = {
    PAIN_03: re.compile(r"[A-Z]{6}[A-Z2-9][A-NP-Z0-9](?:[A-Z0-9]{3})?"),
    PAIN_09: re.compile(r"[A-Z0-9]{4}[A-Z]{2}[A-Z0-9]{2}(?:[A-Z0-9]{3})?"),
}


def is_bic(code, version):
    """Say whether the code has the form of a BIC in that version of the message."""
    return _BIC_SHAPE[version].fullmatch(code) is not None


def account_id(number, text_charset):
    """Return the node ``Id`` of an account: IBAN where it is one, else the number as it is.

    :raise MessageError: AC01: empty, too long, a character that would have to be changed, or an
        IBAN of a known country whose check digits are wrong
    """
    compact = iban.compact(number)
    if iban.is_iban(compact):
        return ("Id", [("IBAN", compact)])
    if iban.is_mistyped(compact):  # as a number of the bank's own it would pay nobody
        raise MessageError("the IBAN's check digits are wrong.", code="AC01")
    if not charset.is_identifier(number, MAX_ACCOUNT, text_charset):
        raise MessageError(
            f"the account number must be 1 to {MAX_ACCOUNT} characters of the bank's set.",
            code="AC01",
        )
    return ("Id", [("Othr", [("Id", number)])])


def wallet_account(address, kind, version):
    """Return the nodes of a wallet's account: the address, and as a proxy where there is one.

    :param str address: mobile number or e-mail address
    :param str kind: ExternalProxyAccountType1Code: TELE, EMAL
    :raise MessageError: AC01: empty, not printable, too long for the version
    """
    has_proxy = version == PAIN_09
    if not charset.is_identifier(address, MAX_PROXY if has_proxy else MAX_ACCOUNT):
        raise MessageError(
            "the wallet's address is empty, has characters that no bank takes, or is longer than "
            f"{version} can hold.",
            code="AC01",
        )
    if not has_proxy:
        return [("Id", [("Othr", [("Id", address), ("SchmeNm", [("Prtry", kind)])])])]
    short = address if len(address) <= MAX_ACCOUNT else NOT_PROVIDED
    return [
        ("Id", [("Othr", [("Id", short), ("SchmeNm", [("Prtry", kind)])])]),
        ("Prxy", [("Tp", [("Cd", kind)]), ("Id", address)]),
    ]


def agent(*, version, bic="", member_id="", clearing_system=""):
    """Return the node ``FinInstnId`` of a bank, which says that there is none where it is so.

    :param str clearing_system: ExternalClearingSystemIdentification1Code (5 characters at most,
        like ``USABA``), or a name of the bank's own
    """
    if bic:
        return ("FinInstnId", [(_BIC_TAG[version], bic)])
    if member_id:
        tag = "Cd" if len(clearing_system) <= 5 else "Prtry"
        system = ("ClrSysId", [(tag, clearing_system)]) if clearing_system else None
        return ("FinInstnId", [("ClrSysMmbId", [system, ("MmbId", member_id)])])
    return ("FinInstnId", [("Othr", [("Id", NOT_PROVIDED)])])


def creditor_agent(address, source, version, clearing_system):
    """Return the node ``CdtrAgt`` of an address, None where nothing is said of the bank.

    :param str source: one of AGENT_SOURCES
    :raise MessageError: RC01: no BIC where one is needed, or a code of the wrong characters
    """
    code = _agent_code(address, source)
    if not code:
        return None
    has_bic = source in (AUTO, BIC) and is_bic(code, version)
    if source == BIC and not has_bic:
        raise MessageError("the creditor's bank code is no BIC.", code="RC01")
    if not has_bic and not charset.is_reference(code, MAX_MEMBER_ID):
        raise MessageError("the creditor's bank code has characters no bank takes.", code="RC01")
    known = {"bic": code} if has_bic else {"member_id": code, "clearing_system": clearing_system}
    return ("CdtrAgt", [agent(version=version, **known)])


def _agent_code(address, source):
    """Return what says the bank; a wallet without one is named by its provider."""
    parts = {
        NONE: "",
        BRANCH: address.branch_code,
        BANK_BRANCH: address.bank_code + address.branch_code,
    }
    code = parts.get(source, address.bank_code)
    return code if code or source in (NONE, BIC) else address.wallet_provider
