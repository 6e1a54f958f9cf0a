"""The example bank's JSON, both ways. Pure: no Odoo record, no request.

Fields are those of OpenG2P's example bank 1.1.0 (``/check_funds``, ``/block_funds``,
``/initiate_payment``) and of its extensions here (``/release_funds``,
``/inquire_payments``). An answer is believed only if it has the promised shape; one
that has not leaves open what happened.
"""

from odoo.addons.g2p_bridge.connectors.dto import (
    ACCEPTED,
    EMAIL_WALLET,
    MOBILE_WALLET,
    NOT_FOUND,
    REJECTED,
    Acknowledgement,
    FinancialAddress,
    FundsAvailability,
    FundsBlock,
    PaymentStatus,
)
from odoo.addons.g2p_bridge.connectors.errors import (
    BankOutcomeUnknown,
    BankRejected,
    BankUnavailable,
)
from odoo.addons.g2p_bridge.services.money import AmountError, to_json_number

SUCCESS, FAILED = "success", "failed"

#: the bank's words -> our code
MESSAGES = {
    "Insufficient funds": "INSUFFICIENT_FUNDS",
    "Account not found": "ACCOUNT_NOT_FOUND",
    "Block not found": "BLOCK_NOT_FOUND",
}
#: their status word of an inquiry -> ours
STATUSES = {"accepted": ACCEPTED, "rejected": REJECTED, "not_found": NOT_FOUND}
#: ISO 20022 AM05: an earlier order has this reference, so refusing this one says nothing of that
DUPLICATE = "AM05"

_NO_ADDRESS = FinancialAddress(fa_type="")


# to the bank


def funds_check_to_wire(account, amount):
    """Body of ``/check_funds``."""
    return {
        "account_number": account.account_number,
        "account_currency": account.currency,
        "total_funds_needed": amount_to_wire(amount),
    }


def block_to_wire(account, amount):
    """Body of ``/block_funds``."""
    return {
        "account_number": account.account_number,
        "currency": account.currency,
        "amount": amount_to_wire(amount),
    }


def release_to_wire(account, block_reference):
    """Body of ``/release_funds``."""
    return {"account_number": account.account_number, "block_reference_no": block_reference}


def inquiry_to_wire(account, payments):
    """Body of ``/inquire_payments``."""
    return {
        "account_number": account.account_number,
        "payment_reference_numbers": [payment.end_to_end_id for payment in payments],
    }


def payment_to_wire(payment, account, block_reference):
    """One item of the body of ``/initiate_payment``.

    What the bank requires as a string is "" where it does not apply; the wallet providers
    may be null.
    """
    address = payment.creditor_account or _NO_ADDRESS
    provider = address.wallet_provider or None
    return {
        "payment_reference_number": payment.end_to_end_id,
        "remitting_account": account.account_number,
        "remitting_account_currency": account.currency,
        "payment_amount": amount_to_wire(payment.amount),
        "funds_blocked_reference_number": block_reference,
        "beneficiary_name": payment.creditor_name or "",
        "beneficiary_account": address.account_number,
        "beneficiary_account_currency": payment.currency,
        "beneficiary_account_type": address.fa_type,
        "beneficiary_bank_code": address.bank_code,
        "beneficiary_branch_code": address.branch_code,
        "beneficiary_mobile_wallet_provider": provider
        if address.fa_type == MOBILE_WALLET
        else None,
        "beneficiary_phone_no": address.mobile_number,
        "beneficiary_email": address.email_address,
        "beneficiary_email_wallet_provider": provider if address.fa_type == EMAIL_WALLET else None,
        "narrative_1": payment.remittance_information or "",
        "narrative_2": payment.program or "",
        "narrative_3": payment.cycle or "",
        "narrative_4": payment.creditor_id or "",
        "narrative_5": "",
        "narrative_6": "",
        "payment_date": f"{payment.requested_date or ''}",
    }


def amount_to_wire(amount):
    """The amount as a JSON number.

    :raise BankRejected: a JSON reader would read another amount (over 15 digits)
    """
    try:
        return to_json_number(amount)
    except AmountError as error:
        raise BankRejected(str(error), code="AMOUNT_NOT_EXACT") from error


# from the bank


def availability_from_wire(answer, account):
    """Answer of ``/check_funds``.

    :raise BankRejected: the bank does not know the account
    :raise BankUnavailable: no usable answer
    """
    has_funds = _field(answer, "has_sufficient_funds", bool, BankUnavailable)
    if _field(answer, "account_number", str, BankUnavailable) != account.account_number:
        raise _malformed(BankUnavailable, "account_number")
    is_success = _is_success(answer, BankUnavailable)
    if is_success != has_funds:
        raise _malformed(BankUnavailable, "has_sufficient_funds")
    if is_success:
        return FundsAvailability(is_available=True)
    refusal = _refusal(answer)
    if refusal.code != "INSUFFICIENT_FUNDS":
        raise refusal
    return FundsAvailability(is_available=False, reason=str(refusal))


def block_from_wire(answer):
    """Answer of ``/block_funds``.

    :raise BankRejected: the bank holds nothing (INSUFFICIENT_FUNDS, ACCOUNT_NOT_FOUND, REFUSED)
    :raise BankOutcomeUnknown: no usable answer
    """
    _raise_if_refused(answer)
    reference = _field(answer, "block_reference_no", str, BankOutcomeUnknown)
    if not reference:
        raise _malformed(BankOutcomeUnknown, "block_reference_no")
    return FundsBlock(reference=reference)


def check_release(answer):
    """Answer of ``/release_funds``.

    :raise BankRejected: BLOCK_NOT_FOUND, REFUSED
    :raise BankUnavailable: no usable answer; a repeat does no harm
    """
    if not _is_success(answer, BankUnavailable):
        raise _refusal(answer)


def acknowledgement_from_wire(answer, payments):
    """Answer of ``/initiate_payment``.

    :raise BankRejected: the bank refused all
    :raise BankOutcomeUnknown: no usable answer; or an earlier order has one of the
        references, so that only an inquiry tells what becomes of it
    """
    _raise_if_refused(answer)
    reference = answer.get("bank_reference", "")
    items = answer.get("rejected", [])
    if not isinstance(reference, str) or not isinstance(items, list):
        raise _malformed(BankOutcomeUnknown, "rejected")
    rejected = tuple(_rejection_from_wire(item) for item in items)
    ids = [status.end_to_end_id for status in rejected]
    if len(set(ids)) != len(ids) or not {p.end_to_end_id for p in payments}.issuperset(ids):
        raise _malformed(BankOutcomeUnknown, "rejected")
    if any(status.reason_code == DUPLICATE for status in rejected):
        raise BankOutcomeUnknown("The bank had some of the payments already.", code="DUPLICATE")
    return Acknowledgement(reference=reference, rejected=rejected)


def _rejection_from_wire(item):
    return PaymentStatus(
        end_to_end_id=_field(item, "payment_reference_number", str, BankOutcomeUnknown),
        status=REJECTED,
        reason_code=_field(item, "reason_code", str, BankOutcomeUnknown),
    )


def statuses_from_wire(answer, payments):
    """Answer of ``/inquire_payments``, in the order of the payments.

    :raise BankUnavailable: no usable answer: another status word, fewer or other payments
    """
    if not _is_success(answer, BankUnavailable):
        raise _malformed(BankUnavailable, "status")
    items = _field(answer, "payments", list, BankUnavailable)
    by_id = {status.end_to_end_id: status for status in map(_status_from_wire, items)}
    asked = [payment.end_to_end_id for payment in payments]
    if len(items) != len(asked) or by_id.keys() != set(asked):
        raise _malformed(BankUnavailable, "payments")
    return [by_id[end_to_end_id] for end_to_end_id in asked]


def _status_from_wire(item):
    word = _field(item, "status", str, BankUnavailable)
    if word not in STATUSES:
        raise _malformed(BankUnavailable, "status")
    return PaymentStatus(
        end_to_end_id=_field(item, "payment_reference_number", str, BankUnavailable),
        status=STATUSES[word],
        bank_reference=_field(item, "bank_reference", str, BankUnavailable),
        reason_code=_field(item, "reason_code", str, BankUnavailable),
    )


def narrative(entry, number):
    """Line ``number`` (1-based) of an entry's :86:, or "" where it has not so many."""
    return entry.narrative[number - 1].strip() if len(entry.narrative) >= number else ""


def _is_success(answer, error_class):
    """Whether the status word is success, rather than failed."""
    status = _field(answer, "status", str, error_class)
    if status not in (SUCCESS, FAILED):
        raise _malformed(error_class, "status")
    return status == SUCCESS


def _raise_if_refused(answer):
    if not _is_success(answer, BankOutcomeUnknown):
        raise _refusal(answer)


def _refusal(answer):
    """The exception for an answer ``failed``; the bank's words only where they are known ones."""
    message = answer.get("error_message")
    if isinstance(message, str) and message in MESSAGES:
        return BankRejected(message, code=MESSAGES[message])
    return BankRejected("The bank refused it.", code="REFUSED")


def _field(answer, name, kind, error_class):
    """A field of an answer that has to be there, and of this type."""
    if not isinstance(answer, dict) or not isinstance(answer.get(name), kind):
        raise _malformed(error_class, name)
    return answer[name]


def _malformed(error_class, name):
    return error_class(f"The bank's answer has no usable {name}.", code="MALFORMED_ANSWER")
