"""The form of what a program system written for OpenG2P's bridge sends.

One table for both: what a message is checked by before anything is done with it, and the schemas of
the OpenAPI document. What a field may *say* is the facade's to judge.
"""

import re
from decimal import Decimal
from typing import NamedTuple

from ..const import FREQUENCIES
from .strict_json import JsonError, check_depth

#: digits in texts of amounts: more than any amount has, so that its own rule refuses it
_DECIMAL_TEXT = r"[0-9]{1,30}(\.[0-9]{1,30})?"
_is_decimal_text = re.compile(_DECIMAL_TEXT, re.ASCII).fullmatch
_DAY_TEXT = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_is_day_text = re.compile(_DAY_TEXT, re.ASCII).fullmatch
_CHOICES = ", ".join(f"'{name}'" for name in FREQUENCIES[:-1]) + f" or '{FREQUENCIES[-1]}'"


class ShapeError(ValueError):
    """A message is not of the form of its call; reads as OpenG2P's bridge words it."""


class Kind(NamedTuple):
    """What the values of a field are."""

    schema: dict
    problem: str
    types: tuple  # exact ones: True is no number here
    has_form: object = None  # function of a value of these types

    def fits(self, value):
        """Say whether a value is one of this kind."""
        return type(value) in self.types and (self.has_form is None or self.has_form(value))


TEXT = Kind({"type": "string"}, "Input should be a valid string", (str,))
WHOLE = Kind(
    {"type": "integer"},
    "Input should be a valid integer",
    (int, Decimal),
    lambda value: value == int(value),
)
FLAG = Kind({"type": "boolean"}, "Input should be a valid boolean", (bool,))
AMOUNT = Kind(
    {"type": ["number", "string"], "pattern": f"^{_DECIMAL_TEXT}$"},
    "Input should be a valid number",
    (int, Decimal, str),
    lambda value: type(value) is not str or bool(_is_decimal_text(value)),
)
#: whether there is such a day is judged with its own code
DAY = Kind(
    {"type": "string", "pattern": f"^{_DAY_TEXT}$"},
    "Input should be a valid date in the format YYYY-MM-DD",
    (str,),
    lambda value: bool(_is_day_text(value)),
)
FREQUENCY = Kind(
    {"type": "string", "enum": FREQUENCIES},
    f"Input should be {_CHOICES}",
    (str,),
    FREQUENCIES.__contains__,
)
TEXTS = Kind(
    {"type": "array", "items": {"type": "string"}},
    "Input should be a valid list of strings",
    (list,),
    lambda value: all(type(item) is str for item in value),
)

HEADER = {
    "version": TEXT,
    "message_id": TEXT,
    "message_ts": TEXT,
    "action": TEXT,
    "sender_id": TEXT,
    "sender_uri": TEXT,
    "receiver_id": TEXT,
    "total_count": WHOLE,
    "is_msg_encrypted": FLAG,
}
HEADER_REQUIRED = ("message_id", "message_ts", "action", "sender_id", "total_count")
ENVELOPE = {
    "id": TEXT,
    "disbursement_envelope_id": TEXT,
    "benefit_program_mnemonic": TEXT,
    "disbursement_frequency": FREQUENCY,
    "cycle_code_mnemonic": TEXT,
    "number_of_beneficiaries": WHOLE,
    "number_of_disbursements": WHOLE,
    "total_disbursement_amount": AMOUNT,
    "disbursement_currency_code": TEXT,
    "disbursement_schedule_date": DAY,
}
DISBURSEMENT = {
    "id": TEXT,
    "mis_reference_number": TEXT,
    "disbursement_id": TEXT,
    "disbursement_envelope_id": TEXT,
    "beneficiary_id": TEXT,
    "beneficiary_name": TEXT,
    "disbursement_amount": AMOUNT,
    "narrative": TEXT,
    "receipt_time_stamp": TEXT,
    "cancellation_status": TEXT,
    "cancellation_time_stamp": TEXT,
    "response_error_codes": TEXTS,
}


def check_header(body):
    """Return the header of a request.

    :param body: parsed JSON, whatever it is
    :raise ShapeError: it has none, or one of another form
    """
    _check_dict(body, "body")
    for name in ("header", "message"):
        if name not in body:
            raise ShapeError(f"Field required: {name}")
    check_fields(body["header"], HEADER, "header", HEADER_REQUIRED)
    _check_ignored({name: body[name] for name in body if name not in ("header", "message")})
    return body["header"]


def check_envelope(message):
    check_fields(message, ENVELOPE, "message")


def check_rows(message):
    _check_list(message)
    for index, row in enumerate(message):
        check_fields(row, DISBURSEMENT, f"message[{index}]")


def check_ids(message):
    _check_list(message)
    if not TEXTS.fits(message):
        raise ShapeError(f"{TEXT.problem}: message")


def check_id(message):
    if not TEXT.fits(message):
        raise ShapeError(f"{TEXT.problem}: message")


def check_fields(value, fields, path, required=()):
    """Refuse an object whose fields are of other kinds; null fits where a field is optional.

    :param dict fields: name -> :class:`Kind`; other names are ignored, as OpenG2P's bridge does
    :raise ShapeError: the first that is wrong
    """
    _check_dict(value, path)
    for name in required:
        if name not in value:
            raise ShapeError(f"Field required: {path}.{name}")
    for name, item in value.items():
        kind = fields.get(name)
        if kind is None:
            _check_ignored(item)
        elif (item is None and name in required) or (item is not None and not kind.fits(item)):
            # the list of frequencies names its field itself, and stands there to the letter
            place = "" if kind is FREQUENCY else f": {path}.{name}"
            raise ShapeError(f"{kind.problem}{place}")


def _check_ignored(value):
    try:
        check_depth(value)
    except JsonError as error:
        raise ShapeError(str(error)) from error


def _check_dict(value, path):
    if type(value) is not dict:
        raise ShapeError(f"Input should be a valid dictionary: {path}")


def _check_list(value):
    if type(value) is not list:
        raise ShapeError("Input should be a valid list: message")


def object_schema(fields, required=(), *, is_reply=False):
    """Return the JSON Schema of an object of such fields.

    :param bool is_reply: a reply has all of them, and no others
    """
    schema = {
        "type": "object",
        "properties": {
            name: kind.schema if name in required else nullable(kind.schema)
            for name, kind in fields.items()
        },
    }
    if is_reply:
        return {**schema, "required": list(fields), "additionalProperties": False}
    return {**schema, "required": list(required)} if required else schema


def nullable(schema):
    """Return the schema with null as one more value."""
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    with_null = {**schema, "type": [*types, "null"]}
    if "enum" in schema:
        with_null["enum"] = [*schema["enum"], None]
    return with_null
