"""Financial addresses: the ``fa`` strings of a G2P Connect mapper, taken apart by rules.

OpenG2P's form is ``account_number:A.branch_code:B.bank_code:C.mobile_number:D.email_address:E.``
``fa_type:T`` in one line; it is a setting of each deployment, so rules can be written for others.
"""

import re
from dataclasses import dataclass, field

from ..connectors.dto import BANK_ACCOUNT, EMAIL_WALLET, MOBILE_WALLET, FinancialAddress

#: characters of an address string: six parts of an IBAN's or an e-mail address' length
MAX_ADDRESS = 512
MAX_EXPRESSION = 1000

#: what an address of a kind cannot do without
REQUIRED_PART = {
    BANK_ACCOUNT: "account_number",
    MOBILE_WALLET: "mobile_number",
    EMAIL_WALLET: "email_address",
}
PARTS = frozenset(
    {
        "account_number",
        "bank_code",
        "branch_code",
        "mobile_number",
        "email_address",
        "wallet_provider",
    }
)
_GROUP_START = re.compile(r"\(\?P<\w+>|\(\?<?[:=!>]|\(")
_QUANTIFIER = re.compile(r"[*+]|\{\d*,?\d*\}")


@dataclass(frozen=True)
class Rule:
    """How one kind of address string is taken apart.

    :param str name: for messages
    :param str expression: regular expression that fits the whole string; its named groups are of
        :data:`PARTS`, and ``fa_type`` where the string says it: it must then be the rule's
    :param str fa_type: BANK_ACCOUNT, MOBILE_WALLET or EMAIL_WALLET
    :raise ValueError: the expression is wrong, too long, may take forever, or can never give the
        part that the kind needs
    """

    name: str
    expression: str
    fa_type: str
    pattern: re.Pattern = field(init=False, repr=False, compare=False)

    def __post_init__(self):
        if self.fa_type not in REQUIRED_PART:
            raise ValueError(f"{self.fa_type} is no kind of financial address")
        object.__setattr__(self, "pattern", _compile(self.expression))
        groups = set(self.pattern.groupindex)
        if unknown := groups - PARTS - {"fa_type"}:
            raise ValueError(f"unknown named groups: {', '.join(sorted(unknown))}")
        if REQUIRED_PART[self.fa_type] not in groups:
            raise ValueError(f"{self.fa_type} needs the group {REQUIRED_PART[self.fa_type]}")


def parse(fa, rules=None):
    """Take an address string apart by the first rule that fits it whole.

    :param str fa: the string as the mapper gave it
    :param rules: list of :class:`Rule`, in the order to try them; None for :data:`DEFAULT_RULES`
    :return: FinancialAddress, or None when no rule fits
    """
    text = fa.strip()
    if len(text) > MAX_ADDRESS:
        return None
    for rule in DEFAULT_RULES if rules is None else rules:
        match = rule.pattern.fullmatch(text)
        address = match and _address_of(rule, match.groupdict(default=""))
        if address:
            return address
    return None


def _address_of(rule, parts):
    if parts.pop("fa_type", rule.fa_type) != rule.fa_type:
        return None
    parts = {name: value.strip() for name, value in parts.items()}
    if not parts[REQUIRED_PART[rule.fa_type]]:
        return None
    return FinancialAddress(fa_type=rule.fa_type, **parts)


def _compile(expression):
    if len(expression) > MAX_EXPRESSION:
        raise ValueError(f"the expression is longer than {MAX_EXPRESSION} characters")
    try:
        pattern = re.compile(expression)
    except (re.error, OverflowError) as error:
        raise ValueError(f"no regular expression: {error}") from error
    _check_repeats(expression)
    return pattern


def _check_repeats(expression):
    """Refuse a repeated group that holds a repeat or alternatives: it may try 2**n ways.

    :raise ValueError: there is one
    """
    text = re.sub(r"\\.", "_", expression, flags=re.DOTALL)
    text = re.sub(r"\[\^?\]?[^\]]*\]", "_", text)
    is_risky, position = [False], 0
    while position < len(text):
        if start := _GROUP_START.match(text, position):
            is_risky.append(False)
            position = start.end()
            continue
        if text[position] == ")":
            inner = is_risky.pop()
            if inner and _QUANTIFIER.match(text, position + 1):
                raise ValueError("a repeated group may hold neither repeats nor alternatives")
            is_risky[-1] |= inner
        elif text[position] in "|?" or _QUANTIFIER.match(text, position):
            is_risky[-1] = True
        position += 1


def _openg2p_expression(fa_type):
    """Return the expression for OpenG2P's form: any part may be missing, and hold dots."""
    parts = (
        ("account_number", "account_number"),
        ("branch_code", "branch_code"),
        ("bank_code", "bank_code"),
        ("mobile_number", "mobile_number"),
        ("email_address", "email_address"),
        ("wallet_provider(?:_name)?", "wallet_provider"),
    )
    optional = "".join(rf"(?:{label}:(?P<{part}>.*?)\.)?" for label, part in parts)
    return rf"{optional}fa_type:{fa_type}"


#: OpenG2P's form, for each kind
DEFAULT_RULES = tuple(
    Rule(name=f"OpenG2P {fa_type}", expression=_openg2p_expression(fa_type), fa_type=fa_type)
    for fa_type in REQUIRED_PART
)
