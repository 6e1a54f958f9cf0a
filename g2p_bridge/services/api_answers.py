"""Answers of the API, with the captured fields of OpenG2P's bridge.

Empty texts stand where that one answers null, for XML-RPC has no null.
"""

from datetime import datetime

from ..const import ISO_STATUS
from .iso_reasons import NAME_MISMATCH


def timestamp(value):
    """Return an ISO 8601 time without zone, UTC, as OpenG2P's answers have it; empty for none."""
    return value.isoformat() if isinstance(value, datetime) else ""


def rows_answer(envelope_id, rows, ids, received_at):
    return [
        {
            "mis_reference_number": reference,
            "disbursement_id": given_id,
            "disbursement_envelope_id": envelope_id,
            "beneficiary_id": person,
            "beneficiary_name": name,
            "disbursement_amount": float(amount),
            "narrative": narrative,
            "receipt_time_stamp": received_at,
            "cancellation_status": "Not_Cancelled",
            "cancellation_time_stamp": "",
            "response_error_codes": [],
        }
        for given_id, (reference, person, name, amount, narrative) in zip(ids, rows, strict=True)
    ]


def brief_rows_answer(_envelope_id, rows, ids, _received_at):
    """Return of :func:`rows_answer` what the caller does not know yet."""
    return [
        {"mis_reference_number": row[0], "disbursement_id": given_id}
        for given_id, row in zip(ids, rows, strict=True)
    ]


def change_answer(row):
    return {
        "disbursement_id": row["disbursement_id"],
        "disbursement_envelope_id": row["disbursement_envelope_id"],
        "mis_reference_number": row["mis_reference_number"],
        "status": row["state"],
        "iso_status": ISO_STATUS[row["state"]],
        "reason_code": row["reason_code"] or "",
        "reason": row["reason"] or "",
        "reissue_of_disbursement_id": row["reissue_of"] or "",
        "reissued_as_disbursement_id": row["reissued_as"] or "",
        "changed_at": timestamp(row["state_since"]),
    }


#: state of a payment that reached nobody -> kind of the exception
_KINDS = {"cancelled": "left_out"}


def exception_answer(row, iso_reason_code, iso_reason):
    """Return why a payment reached nobody; a name that does not fit is a kind of its own."""
    kind = _KINDS.get(row["state"], row["state"])
    return {
        "disbursement_id": row["disbursement_id"],
        "disbursement_envelope_id": row["disbursement_envelope_id"],
        "mis_reference_number": row["mis_reference_number"],
        "beneficiary_id": row["beneficiary_id"],
        "disbursement_amount": float(row["amount"]),
        "disbursement_currency_code": row["currency"],
        "kind": "name_mismatch" if iso_reason_code == NAME_MISMATCH else kind,
        "status": row["state"],
        "iso_status": ISO_STATUS[row["state"]],
        "iso_reason_code": iso_reason_code,
        "iso_reason": iso_reason,
        "reason_code": row["reason_code"] or "",
        "reason": row["reason"] or "",
        "since": timestamp(row["state_since"]),
        "reissued_as_disbursement_id": row["reissued_as"] or "",
        "is_correctable": not row["problem"],
        "not_correctable_code": row["problem"],
    }


def correction_answer(row):
    return {
        "disbursement_id": row["disbursement_id"],
        "mis_reference_number": row["mis_reference_number"],
        "correction": "reissued" if row["reissued_as"] else "looked_up_again",
        "reissued_as_disbursement_id": row["reissued_as"] or "",
        "reissued_as_disbursement_envelope_id": (row["reissued_as"] and row["reissued_in"]) or "",
        "response_error_codes": [],
    }


def _day(value):
    """Return a day as OpenG2P's answers have it: ISO 8601 with midnight."""
    return f"{value.isoformat()}T00:00:00" if value else ""


def _entry_answer(prefix, row):
    """Return the captured fields of one statement entry; empty texts where there is none."""
    row = row or {}
    return {
        f"{prefix}_statement_id": row.get("name") or "",
        f"{prefix}_statement_number": row.get("statement_number") or "",
        f"{prefix}_statement_sequence": row.get("sequence_number") or "",
        f"{prefix}_entry_sequence": str(row.get("entry_sequence") or ""),
        f"{prefix}_entry_date": _day(row.get("entry_date") or row.get("value_date")),
        f"{prefix}_value_date": _day(row.get("value_date")),
    }


def recon_answer(record, debit, credit):
    return {
        "bank_disbursement_batch_id": record.batch_id.name or "",
        "disbursement_id": record.disbursement_id,
        "disbursement_envelope_id": record.envelope_id.disbursement_envelope_id,
        "beneficiary_name_from_bank": debit["beneficiary_name_from_bank"] or "",
        "remittance_reference_number": debit["bank_reference"] or "",
        **_entry_answer("remittance", debit),
        "reversal_found": bool(credit),
        **_entry_answer("reversal", credit),
        "reversal_reason": (credit and credit["reversal_reason"]) or "",
    }


def error_recon_answer(record, row):
    return {
        "statement_id": row["name"],
        "statement_number": row["statement_number"] or "",
        "statement_sequence": row["sequence_number"] or "",
        "entry_sequence": str(row["entry_sequence"]),
        "entry_date": _day(row["entry_date"] or row["value_date"]),
        "value_date": _day(row["value_date"]),
        "error_reason": row["error_reason"],
        "disbursement_id": record.disbursement_id,
        "bank_reference_number": row["bank_reference"] or "",
    }
