"""Messages of OpenG2P's bridge, made of the facade's arguments, answers and refusals.

Names, order, types and nulls are those that its release 1.1.0 was seen to answer.
"""

import hashlib
import json
from datetime import datetime, timezone
from decimal import Decimal
from typing import NamedTuple

from . import openg2p_shapes as shapes

JWT_INVALID = "rjct.jwt.invalid"
ACTION_NOT_SUPPORTED = "rjct.action.not_supported"

#: code of the facade -> code that OpenG2P's clients know for it
_HEADER_CODES = {
    "EMPTY_DISBURSEMENT_PAYLOAD": "INVALID_DISBURSEMENT_PAYLOAD",
    "IDEMPOTENCY_KEY_REUSED": "rjct.message_id.duplicate",
}
#: reason of a statement entry -> the nearest that OpenG2P's clients know: theirs is a closed list
_ENTRY_REASONS = {
    "INVALID_DISBURSEMENT_ID": "INVALID_DISBURSEMENT_ID",
    "DUPLICATE_DISBURSEMENT": "DUPLICATE_DISBURSEMENT",
    "INVALID_REVERSAL": "INVALID_REVERSAL",
    "AMOUNT_MISMATCH": "INVALID_DISBURSEMENT_AMOUNT",
    "ACCOUNT_MISMATCH": "INVALID_ACCOUNT_NUMBER",
    "NOT_SENT": "INVALID_DISBURSEMENT_ID",
    "CANCELLED_DISBURSEMENT": "DISBURSEMENT_ALREADY_CANCELED",
    "REJECTED_DISBURSEMENT": "INVALID_DISBURSEMENT_ID",
    "REVERSED_CREDIT": "INVALID_REVERSAL",
}
_STATUS = (
    "disbursement_envelope_id",
    "number_of_disbursements_received",
    "total_disbursement_amount_received",
    "funds_available_with_bank",
    "funds_available_latest_timestamp",
    "funds_available_latest_error_code",
    "funds_available_attempts",
    "funds_blocked_with_bank",
    "funds_blocked_latest_timestamp",
    "funds_blocked_latest_error_code",
    "funds_blocked_attempts",
    "funds_blocked_reference_number",
    "id_mapper_resolution_required",
    "number_of_disbursements_shipped",
    "number_of_disbursements_reconciled",
    "number_of_disbursements_reversed",
)
#: texts that are empty before the first attempt, and null afterwards
_ERROR_CODES = {
    "funds_available_latest_error_code": "funds_available_attempts",
    "funds_blocked_latest_error_code": "funds_blocked_attempts",
}


class Refused(Exception):
    """A message that is refused before the facade is asked.

    :ivar code: as of the facade
    """

    def __init__(self, code):
        super().__init__(code)
        self.code = code


def message_key(action, sender, message_id):
    """Return the idempotency key of a message, or None where it has no id.

    :param sender: list that tells senders apart
    """
    if not message_id:
        return None
    text = json.dumps([action, sender, message_id])
    return f"openg2p:{hashlib.sha256(text.encode()).hexdigest()}"


def reply(header, code, message):
    """Return a reply; an empty code means that the call succeeded."""
    return {
        "header": {
            "version": "1.0.0",
            "message_id": header["message_id"],
            "message_ts": datetime.now(timezone.utc).replace(tzinfo=None).isoformat(),
            "action": header["action"],
            "status": "rjct" if code else "succ",
            "status_reason_code": None,
            "status_reason_message": code,
            "total_count": None,
            "completed_count": None,
            "sender_id": None,
            "receiver_id": None,
            "is_msg_encrypted": False,
            "meta": {},
        },
        "message": message,
    }


def header_code(code):
    """Return the code of the facade as OpenG2P's clients know it, as far as they do."""
    return _HEADER_CODES.get(code, code)


def errors(code, message):
    """Return the body of a reply that is no message."""
    return {"errors": [{"code": code, "message": message}]}


# -- envelopes ----------------------------------------------------------------------------------


def _new_envelope(message, key):
    names = list(shapes.ENVELOPE)[2:]
    return {**{name: _plain(message.get(name)) for name in names}, "idempotency_key": key}


def _amendment(message, _key):
    names = (
        "disbursement_envelope_id",
        "number_of_beneficiaries",
        "number_of_disbursements",
        "total_disbursement_amount",
        "disbursement_schedule_date",
    )
    return {name: _plain(message.get(name)) for name in names}


def _of_envelope(message, _key):
    return {"disbursement_envelope_id": message.get("disbursement_envelope_id")}


def _envelope_answer(_message, answer):
    return _envelope(answer)


def _envelope_echo(message, _answer):
    return _envelope(message)


def _no_envelope(_message, _code, _rows):
    return dict.fromkeys(shapes.ENVELOPE)


def _envelope(values):
    envelope = {name: values.get(name) for name in shapes.ENVELOPE}
    envelope["total_disbursement_amount"] = _float(values.get("total_disbursement_amount"))
    return {name: _plain(value) for name, value in envelope.items()}


def _plain(value):
    """Return a number without fraction as a whole one: 3.0 is a count, too."""
    if type(value) is Decimal and value == value.to_integral_value():
        return int(value)
    return value


def _float(value):
    """Return an amount as the number that is written back; the exact one is kept elsewhere."""
    return value if value is None else float(value)


# -- disbursements ------------------------------------------------------------------------------


_NO_ROW = dict.fromkeys(shapes.DISBURSEMENT)


def _new_rows(message, key):
    envelopes = {row.get("disbursement_envelope_id") for row in message}
    if not envelopes:
        raise Refused("EMPTY_DISBURSEMENT_PAYLOAD")
    if len(envelopes) > 1:
        raise Refused("MULTIPLE_ENVELOPES_FOUND")
    return {
        "disbursement_envelope_id": envelopes.pop(),
        "disbursements": message,
        "idempotency_key": key,
    }


def _ids_of_rows(message, _key):
    return {"disbursement_ids": [row.get("disbursement_id") for row in message]}


def _rows_answer(message, answer):
    # not zip: Odoo's lazy answers are asked item by item
    ids = [row["disbursement_id"] for row in answer]
    return [
        {**_row(row), "disbursement_id": given_id, "response_error_codes": []}
        for row, given_id in zip(message, ids, strict=True)
    ]


def _cancelled_rows(message, _answer):
    return [{**_row(row), "response_error_codes": []} for row in message]


def _refused_rows(message, code, errors_of_rows):
    if code == JWT_INVALID:
        return []
    rows = [_row(row) for row in message]
    if code == "INVALID_DISBURSEMENT_PAYLOAD":
        for row in rows:
            row["response_error_codes"] = []
        for wrong in errors_of_rows:
            rows[wrong["index"]]["response_error_codes"] = wrong["response_error_codes"]
    return rows


def _row(given):
    row = {**_NO_ROW, **given}
    if len(row) > len(_NO_ROW):  # fields of no meaning are not repeated
        row = {name: row[name] for name in _NO_ROW}
    row["disbursement_amount"] = _float(row["disbursement_amount"])
    return row


# -- questions ----------------------------------------------------------------------------------


def _whole_message(name):
    return lambda message, _key: {name: message}


def _nothing(_message, _code, _rows):
    return None


def _status_answer(_message, answer):
    status = {name: answer[name] for name in _STATUS}
    received = status["total_disbursement_amount_received"]
    if float(received).is_integer():
        status["total_disbursement_amount_received"] = int(received)
    for name in (*_STATUS[4:6], *_STATUS[8:10], "funds_blocked_reference_number"):
        is_untried = name in _ERROR_CODES and not status[_ERROR_CODES[name]]
        status[name] = status[name] or ("" if is_untried else None)
    return status


def _payments_answer(_message, answer):
    return [
        {
            "disbursement_id": row["disbursement_id"],
            "disbursement_recon_records": {
                "disbursement_recon_payloads": [
                    _nulls(entry)
                    for entry in row["disbursement_recon_records"]["disbursement_recon_payloads"]
                ],
                "disbursement_error_recon_payloads": [
                    {**_nulls(entry), "error_reason": _ENTRY_REASONS.get(entry["error_reason"])}
                    for entry in row["disbursement_recon_records"][
                        "disbursement_error_recon_payloads"
                    ]
                ],
            },
        }
        for row in answer
    ]


def _nulls(entry):
    """Return an entry with null for what the facade leaves empty."""
    return {name: None if value == "" else value for name, value in entry.items()}


# -- the calls ----------------------------------------------------------------------------------


class Call(NamedTuple):
    """One path: the facade's method of its name, and how messages become calls and back."""

    check_shape: object  # function of the message
    arguments: object  # (message, idempotency key) -> named arguments of the facade
    accepted: object  # (message, answer of the facade) -> message of the reply
    refused: object  # (message, code, errors of rows) -> message of the reply
    checks_action: bool = False


CALLS = {
    "create_disbursement_envelope": Call(
        shapes.check_envelope, _new_envelope, _envelope_answer, _no_envelope, checks_action=True
    ),
    "amend_disbursement_envelope": Call(
        shapes.check_envelope, _amendment, _envelope_answer, _no_envelope
    ),
    "cancel_disbursement_envelope": Call(
        shapes.check_envelope, _of_envelope, _envelope_echo, _no_envelope, checks_action=True
    ),
    "create_disbursements": Call(shapes.check_rows, _new_rows, _rows_answer, _refused_rows),
    "cancel_disbursements": Call(shapes.check_rows, _ids_of_rows, _cancelled_rows, _refused_rows),
    "get_disbursement_envelope_status": Call(
        shapes.check_id, _whole_message("disbursement_envelope_id"), _status_answer, _nothing
    ),
    "get_disbursement_status": Call(
        shapes.check_ids, _whole_message("disbursement_ids"), _payments_answer, _nothing
    ),
}
