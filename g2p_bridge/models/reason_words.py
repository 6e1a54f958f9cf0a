"""Reason codes in words, for a person who does not know them by heart."""

import re

from odoo.tools.translate import LazyTranslate

_lt = LazyTranslate(__name__)

#: ISO 20022 external status and return reasons that a payment to a person may meet, and our own
WORDS = {
    "AC01": _lt("account number wrong"),
    "AC02": _lt("our account number wrong"),
    "AC03": _lt("account number of the beneficiary wrong or missing"),
    "AC04": _lt("account closed"),
    "AC06": _lt("account blocked"),
    "AC07": _lt("account of the beneficiary closed"),
    "AC13": _lt("wrong kind of account"),
    "AC14": _lt("wrong kind of account"),
    "AG01": _lt("payments to this account are forbidden"),
    "AG02": _lt("kind of payment not known to the bank"),
    "AM01": _lt("amount is zero"),
    "AM02": _lt("amount not allowed"),
    "AM03": _lt("currency not allowed"),
    "AM04": _lt("not enough money"),
    "AM05": _lt("the bank takes it for a duplicate"),
    "AM06": _lt("amount too low"),
    "AM07": _lt("amount blocked"),
    "AM09": _lt("amount wrong"),
    "AM10": _lt("control sum wrong"),
    "AM12": _lt("amount not valid"),
    "AM14": _lt("amount above the limit"),
    "BE01": _lt("name does not fit the account"),
    "BE04": _lt("address of the beneficiary missing"),
    "BE05": _lt("payer not recognized"),
    "BE06": _lt("beneficiary not known at the bank"),
    "BE07": _lt("our address missing"),
    "CNOR": _lt("bank of the beneficiary not registered"),
    "CURR": _lt("currency wrong"),
    "CUST": _lt("the customer asked for it"),
    "DT01": _lt("date wrong"),
    "DUPL": _lt("the bank takes it for a duplicate"),
    "ED05": _lt("settlement failed"),
    "FF01": _lt("form of the order wrong"),
    "FOCR": _lt("returned after a recall"),
    "FRAD": _lt("fraud suspected"),
    "LEGL": _lt("by order of the law"),
    "MD07": _lt("beneficiary deceased"),
    "MS02": _lt("refused by the beneficiary"),
    "MS03": _lt("refused by the bank without saying why"),
    "NARR": _lt("see the text of the bank"),
    "NOAS": _lt("no answer from the beneficiary"),
    "NOOR": _lt("no original order found"),
    "RC01": _lt("bank code wrong"),
    "RC04": _lt("bank code of the beneficiary wrong"),
    "RC07": _lt("bank code of the beneficiary not valid"),
    "RF01": _lt("reference not unique"),
    "RR01": _lt("account or id of the payer missing"),
    "RR02": _lt("name or address of the payer missing"),
    "RR03": _lt("name or address of the beneficiary missing"),
    "RR04": _lt("for reasons of regulation"),
    "SVNR": _lt("service not offered by the bank"),
    "TECH": _lt("technical problem at the bank"),
    "TM01": _lt("came after the bank's closing time"),
    "DECIDED_NOT_PAID": _lt("two persons decided that it was not paid"),
    "NO_ANSWER": _lt("the mapper did not answer for this beneficiary"),
    "succ.fa.not_linked_to_id": _lt("no account is linked to this beneficiary"),
    "succ.fa.not_found": _lt("the mapper knows no account"),
    "rjct.fa.invalid": _lt("the account's address cannot be read"),
}
_SPEAKING = re.compile(r"[A-Z]{2,}(_[A-Z]+)+")
#: these are a mapper's or our own: their words say it all
_CODES_NOT_SHOWN = ("DECIDED_", "NO_ANSWER", "succ.", "rjct.")


def in_words(env, code, reason=None):
    """Return a reason as a person reads it: *AC04, account closed*.

    :param str code: ISO 20022 reason, or a code of ours or a mapper's; may be empty
    :param str reason: what a bank or mapper said of it, where the code is not known
    """
    if not code:
        return reason or ""
    words = env._(WORDS[code]) if code in WORDS else reason
    if not words:  # a bank's own code is often words already
        return code.replace("_", " ").lower() if _SPEAKING.fullmatch(code) else code
    if code.startswith(_CODES_NOT_SHOWN):
        return words
    return env._("%(code)s, %(words)s", code=code, words=words)


def without_code(env, code, reason=None):
    """Return the words beside a code: those that came with it, or what the code means."""
    return reason or (env._(WORDS[code]) if code in WORDS else "")
