"""The OpenAPI 3.1 document of the calls that OpenG2P's program systems make.

What comes in is described by the tables that it is checked with; what goes out, here.
"""

from .openg2p_messages import CALLS
from .openg2p_shapes import (
    DISBURSEMENT,
    ENVELOPE,
    FLAG,
    HEADER,
    HEADER_REQUIRED,
    TEXT,
    TEXTS,
    WHOLE,
    Kind,
    nullable,
    object_schema,
)


def _kind(schema):
    return Kind(schema, "", ())


NUMBER = _kind({"type": "number"})
TIME = _kind({"type": "string"})
COUNT = _kind({"type": "integer", "minimum": 0})
_CHECKS = ["PENDING_CHECK", "CHECK_IN_PROGRESS"]
_AVAILABLE = [*_CHECKS, "FUNDS_AVAILABLE", "FUNDS_NOT_AVAILABLE", "ERROR"]
_BLOCKED = [*_CHECKS, "FUNDS_BLOCK_SUCCESS", "FUNDS_BLOCK_FAILURE", "ERROR"]

#: fields of replies that are never null
_STATUS_REQUIRED = {
    "disbursement_envelope_id": TEXT,
    "number_of_disbursements_received": COUNT,
    "total_disbursement_amount_received": _kind({"type": "number", "minimum": 0}),
    "funds_available_with_bank": _kind({"type": "string", "enum": _AVAILABLE}),
    "funds_available_attempts": COUNT,
    "funds_blocked_with_bank": _kind({"type": "string", "enum": _BLOCKED}),
    "funds_blocked_attempts": COUNT,
    "id_mapper_resolution_required": FLAG,
    "number_of_disbursements_shipped": COUNT,
    "number_of_disbursements_reconciled": COUNT,
    "number_of_disbursements_reversed": COUNT,
}
_STATUS = {
    **_STATUS_REQUIRED,
    "funds_available_latest_timestamp": TIME,
    "funds_available_latest_error_code": TEXT,
    "funds_blocked_latest_timestamp": TIME,
    "funds_blocked_latest_error_code": TEXT,
    "funds_blocked_reference_number": TEXT,
}
_ENTRY = ("statement_id", "statement_number", "statement_sequence", "entry_sequence")
_RECON = {
    **dict.fromkeys(
        (
            "bank_disbursement_batch_id",
            "disbursement_id",
            "disbursement_envelope_id",
            "beneficiary_name_from_bank",
            "remittance_reference_number",
            *(f"remittance_{name}" for name in _ENTRY),
            *(f"reversal_{name}" for name in _ENTRY),
            "reversal_reason",
        ),
        TEXT,
    ),
    **dict.fromkeys(
        (
            f"{what}_{day}"
            for what in ("remittance", "reversal")
            for day in ("entry_date", "value_date")
        ),
        TIME,
    ),
    "reversal_found": FLAG,
}
_ERROR_RECON = {
    **dict.fromkeys((*_ENTRY, "disbursement_id", "bank_reference_number"), TEXT),
    "entry_date": TIME,
    "value_date": TIME,
    "error_reason": _kind(
        {
            "type": "string",
            "enum": [
                "INVALID_DISBURSEMENT_ID",
                "DUPLICATE_DISBURSEMENT",
                "INVALID_REVERSAL",
                "INVALID_DISBURSEMENT_AMOUNT",
                "INVALID_ACCOUNT_NUMBER",
                "DISBURSEMENT_ALREADY_CANCELED",
            ],
        }
    ),
}
_ANY_NULL = {"type": "null"}


def _ref(name):
    return {"$ref": f"#/components/schemas/{name}"}


def _array(schema):
    return {"type": "array", "items": schema}


def _or_null(schema):
    return {"anyOf": [schema, _ANY_NULL]}


#: call -> (summary, message of the request, message of the reply)
_MESSAGES = {
    "create_disbursement_envelope": (
        "Open an envelope with its control totals",
        _ref("Envelope"),
        _ref("EnvelopeReply"),
    ),
    "amend_disbursement_envelope": (
        "Change totals or date of an envelope that is still receiving",
        _ref("Envelope"),
        _ref("EnvelopeReply"),
    ),
    "cancel_disbursement_envelope": (
        "Cancel an envelope of which no money can have moved",
        _ref("Envelope"),
        _ref("EnvelopeReply"),
    ),
    "create_disbursements": (
        "Add payments to an envelope: all of them, or none",
        _array(_ref("Disbursement")),
        _array(_ref("DisbursementReply")),
    ),
    "cancel_disbursements": (
        "Cancel payments of one envelope: all of them, or none",
        _array(_ref("Disbursement")),
        _array(_ref("DisbursementReply")),
    ),
    "get_disbursement_envelope_status": (
        "Say how far an envelope is",
        {"type": "string", "description": "The disbursement_envelope_id."},
        _or_null(_ref("EnvelopeStatus")),
    ),
    "get_disbursement_status": (
        "Say what the bank's statements tell of payments",
        _array({"type": "string"}),
        _or_null(_array(_ref("DisbursementStatus"))),
    ),
}
assert set(_MESSAGES) == set(CALLS)


def document(prefix):
    """Return the document (dict) of the calls under a path."""
    return {
        "openapi": "3.1.0",
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "info": {
            "title": "G2P Bridge, by the paths of OpenG2P's bridge",
            "version": "1.1.0",
            "summary": "For program systems that were written for OpenG2P's bridge 1.x",
            "license": {"name": "LGPL-3.0", "identifier": "LGPL-3.0-only"},
        },
        "servers": [{"url": prefix}],
        "security": [{"signature": []}, {"apiKey": []}],
        "tags": [{"name": "pbms"}, {"name": "bank"}, {"name": "service"}],
        "paths": {
            **{f"/{name}": {"post": _call(name)} for name in CALLS},
            "/upload_mt940": {"post": _upload()},
            "/ping": {"get": _ping()},
        },
        "components": {
            "securitySchemes": {
                "signature": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "Signature",
                    "description": "Detached JWS (RS256) of the body, with a key trusted here.",
                },
                "apiKey": {"type": "http", "scheme": "bearer", "description": "Odoo API key."},
            },
            "schemas": _schemas(),
        },
    }


def _call(name):
    summary, message, reply = _MESSAGES[name]
    return {
        "operationId": name,
        "tags": ["pbms"],
        "summary": summary,
        "requestBody": {
            "required": True,
            "content": _json(
                {
                    "type": "object",
                    "required": ["header", "message"],
                    "properties": {"header": _ref("RequestHeader"), "message": message},
                }
            ),
        },
        "responses": {
            "200": _response("Taken (succ) or refused (rjct)", _reply(reply)),
            **_failures(("400", "The body is of a wrong form.")),
        },
    }


def _upload():
    statement = object_schema(
        dict.fromkeys(
            (
                "statement_id",
                "statement_number",
                "statement_sequence",
                "status",
                "hold_reason",
            ),
            TEXT,
        ),
        is_reply=True,
    )
    reply = _reply({"type": "string"})
    reply["properties"].update(
        statement_id=nullable(TEXT.schema),
        statements=_array(statement),
        response_error_code=nullable(TEXT.schema),
    )
    reply["required"] = list(reply["properties"])
    return {
        "operationId": "upload_mt940",
        "tags": ["bank"],
        "summary": "Take the bank's statement file (MT940)",
        "security": [{"apiKey": []}],
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {
                    "schema": {
                        "type": "object",
                        "required": ["statement_file"],
                        "properties": {"statement_file": {"type": "string", "format": "binary"}},
                    }
                }
            },
        },
        "responses": {
            "200": _response("Taken (succ) or refused (rjct)", reply),
            **_failures(("400", "There is no file.")),
            "413": _response("The file is too large.", {"anyOf": [reply, _ref("Errors")]}),
            "429": _response("Too many files in a minute; see Retry-After.", reply),
        },
    }


def _ping():
    return {
        "operationId": "ping",
        "tags": ["service"],
        "summary": "Say that the service is there",
        "security": [],
        "responses": {"200": _response("It is.", {"type": "string", "const": "pong"})},
    }


def _reply(message):
    return {
        "type": "object",
        "required": ["header", "message"],
        "properties": {"header": _ref("ReplyHeader"), "message": message},
        "additionalProperties": False,
    }


def _failures(*others):
    known = (
        ("401", "The API key is not valid."),
        ("403", "The user may not use this part of the API."),
        ("413", "The body is too large."),
    )
    return {
        status: _response(description, _ref("Errors")) for status, description in (*others, *known)
    }


def _response(description, schema):
    return {"description": description, "content": _json(schema)}


def _json(schema):
    return {"application/json": {"schema": schema}}


def _schemas():
    request_header = object_schema(HEADER, HEADER_REQUIRED)
    request_header["properties"]["meta"] = {"description": "Ignored."}
    return {
        "RequestHeader": request_header,
        "ReplyHeader": _reply_header(),
        "Envelope": object_schema(ENVELOPE),
        "EnvelopeReply": object_schema(
            {**ENVELOPE, "total_disbursement_amount": NUMBER}, is_reply=True
        ),
        "Disbursement": object_schema(DISBURSEMENT),
        "DisbursementReply": object_schema(
            {**DISBURSEMENT, "disbursement_amount": NUMBER, "response_error_codes": TEXTS},
            is_reply=True,
        ),
        "EnvelopeStatus": _exact(_STATUS, _STATUS_REQUIRED),
        "DisbursementStatus": _payment(),
        "Errors": {
            "type": "object",
            "required": ["errors"],
            "properties": {
                "errors": _array(
                    {
                        "type": "object",
                        "required": ["code", "message"],
                        "properties": {"code": TEXT.schema, "message": TEXT.schema},
                        "additionalProperties": False,
                    }
                )
            },
            "additionalProperties": False,
        },
    }


def _reply_header():
    never_null = {
        **dict.fromkeys(
            ("version", "message_id", "message_ts", "action", "status_reason_message"), TEXT
        ),
        "status": _kind({"type": "string", "enum": ["succ", "rjct"]}),
        "is_msg_encrypted": FLAG,
        "meta": _kind({"type": "object"}),
    }
    others = {
        "status_reason_code": TEXT,
        "sender_id": TEXT,
        "receiver_id": TEXT,
        "total_count": WHOLE,
        "completed_count": WHOLE,
    }
    return _exact({**never_null, **others}, never_null)


def _payment():
    records = {
        "disbursement_recon_payloads": _array(
            _exact(_RECON, ("disbursement_id", "reversal_found"))
        ),
        "disbursement_error_recon_payloads": _array(_exact(_ERROR_RECON, ("disbursement_id",))),
    }
    return {
        "type": "object",
        "required": ["disbursement_id", "disbursement_recon_records"],
        "properties": {
            "disbursement_id": TEXT.schema,
            "disbursement_recon_records": {
                "type": "object",
                "required": list(records),
                "properties": records,
                "additionalProperties": False,
            },
        },
        "additionalProperties": False,
    }


def _exact(fields, never_null):
    """Return the schema of a reply's object: all the fields, and no others."""
    schema = object_schema(fields, tuple(never_null), is_reply=True)
    return {**schema, "required": list(fields)}
