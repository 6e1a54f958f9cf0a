"""The shapes of the requests, and the words for what is wrong with one.

Codes and messages are those of OpenG2P's example bank 1.1.0: HTTP 400 with
``{"errors": [{"code": "G2P-REQ-102", "message": "Invalid Input. Field required"}]}``,
one error for each field.
"""

import json
from decimal import Decimal

from .money import AmountError, to_units

SHAPE_CODE = "G2P-REQ-102"


class InvalidRequest(Exception):
    """The body has the wrong shape.

    :param list problems: one sentence for each field that is wrong
    """

    def __init__(self, problems):
        super().__init__("; ".join(problems))
        self.problems = problems


def parse_json(raw):
    """The body as Python values, numbers with a point as Decimal.

    :param bytes raw: body as received
    :raise InvalidRequest: no JSON, or with NaN or Infinity, which JSON does not know
    """
    try:
        value = json.loads(raw, parse_float=Decimal, parse_constant=_refuse_constant)
        if rb"\u" in raw:
            # Half a surrogate pair is valid JSON, but no text that can be stored.
            json.dumps(value, ensure_ascii=False, default=str).encode()
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(["JSON decode error"]) from error
    return value


def _refuse_constant(name):
    raise ValueError(f"{name} is no JSON number")


def _string(value):
    return None if isinstance(value, str) else "Input should be a valid string"


def _string_or_null(value):
    return None if value is None else _string(value)


def _number(value):
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
        return "Input should be a valid number"
    try:
        to_units(value)
    except AmountError as error:
        return str(error)
    return None


def _positive(value):
    problem = _number(value)
    return problem or (None if value > 0 else "Input should be greater than 0")


def _strings(value):
    if not isinstance(value, list):
        return "Input should be a valid list"
    return next(filter(None, map(_string, value)), None)


CHECK_FUNDS = {
    "account_number": _string,
    "account_currency": _string,
    "total_funds_needed": _number,
}
BLOCK_FUNDS = {"account_number": _string, "currency": _string, "amount": _positive}
RELEASE_FUNDS = {"account_number": _string, "block_reference_no": _string}
INQUIRE_PAYMENTS = {"account_number": _string, "payment_reference_numbers": _strings}
STATEMENT = {"program_account_number": _string}
PAYMENT = {
    "payment_reference_number": _string,
    "remitting_account": _string,
    "remitting_account_currency": _string,
    "payment_amount": _number,
    "funds_blocked_reference_number": _string,
    "beneficiary_name": _string,
    "beneficiary_account": _string,
    "beneficiary_account_currency": _string,
    "beneficiary_account_type": _string,
    "beneficiary_bank_code": _string,
    "beneficiary_branch_code": _string,
    "payment_date": _string,
}
PAYMENT_OPTIONAL = {
    "beneficiary_mobile_wallet_provider": _string_or_null,
    "beneficiary_phone_no": _string_or_null,
    "beneficiary_email": _string_or_null,
    "beneficiary_email_wallet_provider": _string_or_null,
    **{f"narrative_{number}": _string_or_null for number in range(1, 7)},
}
_PAYMENT_STRINGS = [name for name, check in PAYMENT.items() if check is _string]
_STRINGS = frozenset({str})
_STRINGS_OR_NULL = frozenset({str, type(None)})


def check_object(body, required, optional=None):
    """The body, if it is an object with these fields; unknown ones are ignored.

    :param dict required: name -> function that names what is wrong with a value, or None
    :raise InvalidRequest: with one problem for each wrong field
    """
    problems = list(_problems(body, required, optional or {}))
    if problems:
        raise InvalidRequest(problems)
    return body


def check_payments(body):
    """The body of ``/initiate_payment``: a list of payments, maybe empty.

    :raise InvalidRequest: with one problem for each wrong field of each payment
    """
    if not isinstance(body, list):
        raise InvalidRequest(["Input should be a valid list"])
    problems = [
        problem
        for item in body
        if not _is_payment(item)
        for problem in _problems(item, PAYMENT, PAYMENT_OPTIONAL)
    ]
    if problems:
        raise InvalidRequest(problems)
    return body


def _is_payment(item):
    """Quickly, whether the item is a payment beyond doubt; if not, ``_problems`` looks closer."""
    return (
        isinstance(item, dict)
        and _STRINGS.issuperset(map(type, map(item.get, _PAYMENT_STRINGS)))
        and _STRINGS_OR_NULL.issuperset(map(type, map(item.get, PAYMENT_OPTIONAL)))
        and _number(item.get("payment_amount")) is None
    )


def _problems(item, required, optional):
    if not isinstance(item, dict):
        yield "Input should be a valid dictionary"
        return
    for name, check in required.items():
        if name not in item:
            yield "Field required"
        elif problem := check(item[name]):
            yield problem
    for name, check in optional.items():
        if name in item and (problem := check(item[name])):
            yield problem
