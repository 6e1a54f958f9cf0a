"""Codes that leave the bridge, with their sentences, and the limits, with where each comes from."""

#: what a caller's code can act on -> sentence for a person. The first ones are OpenG2P's
#: own, spelled as its bridge spells them; the others stand where it answers HTTP 500 or nothing.
ERROR_SENTENCES = {
    "INVALID_PROGRAM_MNEMONIC": "No such benefit program is configured here for this caller.",
    "INVALID_DISBURSEMENT_FREQUENCY": "The frequency is not one of: %s.",
    "INVALID_CYCLE_CODE_MNEMONIC": "The cycle code must be a text that is not empty.",
    "INVALID_NO_OF_BENEFICIARIES": "The number of beneficiaries must be a whole number of at least 1.",
    "INVALID_NO_OF_DISBURSEMENTS": "The number of disbursements must be a whole number of at least 1.",
    "INVALID_TOTAL_DISBURSEMENT_AMOUNT": "The total must be an amount above zero, with no more decimals than the currency.",
    "INVALID_DISBURSEMENT_SCHEDULE_DATE": "The schedule date must be a day, YYYY-MM-DD, today or later.",
    "DISBURSEMENT_ENVELOPE_NOT_FOUND": "There is no such disbursement envelope for this caller.",
    "DISBURSEMENT_ENVELOPE_ALREADY_CANCELED": "The disbursement envelope is cancelled.",
    "DISBURSEMENT_ENVELOPE_DATE_PASSED": "The schedule date is reached: the envelope can no longer be amended.",
    "INVALID_DISBURSEMENT_ENVELOPE_ID": "The disbursement_envelope_id must be a text that is not empty.",
    "INVALID_DISBURSEMENT_PAYLOAD": "Some rows are wrong; nothing was changed. Each is listed with its codes.",
    "INVALID_DISBURSEMENT_AMOUNT": "The amount must be above zero, with no more decimals than the currency.",
    "INVALID_BENEFICIARY_ID": "The beneficiary_id must be a text of 1 to 128 characters.",
    "INVALID_BENEFICIARY_NAME": "The beneficiary_name must be a text of 1 to 140 characters.",
    "INVALID_NARRATIVE": "The narrative must be a text of 1 to 140 characters.",
    "MULTIPLE_ENVELOPES_FOUND": "All rows of a call must belong to one envelope.",
    "NO_OF_DISBUESEMENTS_EXCEEDS_DECLARED": "More disbursements than the envelope declares.",
    "TOTAL_DISBURSEMENT_AMOUNT_EXCEEDS_DECLARED": "More money than the envelope declares.",
    "INVALID_DISBURSEMENT_ID": "There is no such disbursement for this caller.",
    "DISBURSEMENT_ALREADY_CANCELED": "The disbursement is cancelled already.",
    "DISBURSEMENT_ENVELOPE_SCHEDULE_DATE_REACHED": "The payment may have left for the bank: it can no longer be cancelled.",
    # from here on: codes of this bridge, where OpenG2P's answers HTTP 500 or says nothing
    "INVALID_DISBURSEMENT_CURRENCY_CODE": "The currency must be the ISO 4217 code of the program's funding account.",
    "INVALID_MIS_REFERENCE_NUMBER": "The mis_reference_number must be a text of 1 to 128 characters.",
    "DUPLICATE_MIS_REFERENCE_NUMBER": "The mis_reference_number stands already in this envelope.",
    "EMPTY_DISBURSEMENT_PAYLOAD": "The list of rows is empty.",
    "TOO_MANY_DISBURSEMENTS_IN_CALL": "At most %s rows are taken in one call: send the rest in further calls.",
    "IDEMPOTENCY_KEY_REUSED": "This idempotency_key came before with other content: use a new key for new content.",
    "INVALID_IDEMPOTENCY_KEY": "The idempotency_key must be a text of 1 to 128 characters.",
    "INVALID_BRIEF": "The argument brief must be true or false.",
    "INVALID_REASON": "The reason must be a text of at most 500 characters.",
    "DISBURSEMENT_ENVELOPE_COMPLETE": "The envelope has all its disbursements: it takes no more and cannot be amended.",
    "DISBURSEMENT_ENVELOPE_DISBURSEMENT_STARTED": "Money of this envelope may have moved: it can no longer be cancelled.",
    "AMENDMENT_BELOW_RECEIVED": "The new totals are below what the envelope has received already.",
    "AMENDMENT_EMPTY": "The call names nothing to change.",
    "INVALID_CURSOR": "The cursor is not one that this bridge gave: start again without a cursor.",
    "INVALID_ONLY_OPEN": "The only_open must be true or false.",
    "DUPLICATE_DISBURSEMENT_ID": "The disbursement_id stands twice in this call.",
    "FIELD_NOT_CORRECTABLE": "Only beneficiary_id, beneficiary_name and narrative of a payment can be corrected.",
    "DISBURSEMENT_NOT_CORRECTABLE": "The payment was not refused, did not come back and does not lack an account: there is nothing to correct.",
    "DISBURSEMENT_ALREADY_REISSUED": "The payment was reissued already.",
    "DISBURSEMENT_LEFT_TO_PROGRAM": "An officer left the payment to the program: the bridge does not pay it again.",
    "DISBURSEMENT_SHOWN_AS_PAID": "The bank's statements show money out for the payment: it is not paid again.",
    "REISSUE_UNDER_WAY": "A reissue of this envelope is being made: send the call again in a minute.",
    "CORRECTION_CONFLICT": "Some of these payments changed meanwhile, nothing was done: look at the exceptions again.",
    "INVALID_LIMIT": "The limit must be a whole number between 1 and 10000.",
    "INVALID_STATEMENT": "The file is no statement that can be booked: %s",
    "STATEMENT_TOO_LARGE": "The file is larger than %s bytes.",
    "TOO_MANY_REQUESTS": "At most %s statement files are taken in a minute: send this one again in %s seconds.",
    "STATEMENT_TOO_MANY_ENTRIES": "The file has more than %s entries: send it in parts, or have the setting raised.",
    "UNKNOWN_ACCOUNT": "The statement is of an account that is no funding account of this caller's banks: %s",
    "STATEMENT_CURRENCY_MISMATCH": "The statement is in %s, the funding account in %s.",
    "INVALID_STATUS": "The status must be one of: accepted, rejected.",
    "INVALID_VALUE_DATE": "The value date must be a day, YYYY-MM-DD.",
    "INVALID_BANK_REFERENCE": "The bank_reference and reason_code must be texts of at most 64 characters.",
    "STATUS_CONTRADICTS": "The disbursement is in a state that this status contradicts; an officer has been told.",
}

#: entries of statements that do not simply reconcile (OpenG2P's first three)
LINE_REASONS = [
    ("INVALID_DISBURSEMENT_ID", "No payment of ours has this reference"),
    ("DUPLICATE_DISBURSEMENT", "Payment was debited before"),
    ("INVALID_REVERSAL", "Reversal of a payment that was not debited, or came back before"),
    ("AMOUNT_MISMATCH", "Amount differs from what we ordered"),
    ("ACCOUNT_MISMATCH", "Payment was ordered from another funding account"),
    ("NOT_SENT", "Payment was never sent to the bank"),
    ("CANCELLED_DISBURSEMENT", "Payment was cancelled here"),
    ("REJECTED_DISBURSEMENT", "Payment was rejected by the bank before"),
    ("REVERSED_CREDIT", "Bank took back a credit"),
]

FREQUENCIES = [
    "Daily",
    "Weekly",
    "Fortnightly",
    "Monthly",
    "BiMonthly",
    "Quarterly",
    "SemiAnnually",
    "Annually",
    "OnDemand",
]

MAX_REFERENCE = 128  # ids of the PBMS
MAX_TEXT = 140  # ISO 20022 Max140Text: creditor name, unstructured remittance information
MAX_REASON = 500
MAX_BANK_REFERENCE = 64
MAX_COUNT = 2**31 - 1  # PostgreSQL integer
MAX_CHANGES = 10_000

#: system parameter -> default; each is a field of the settings page
PARAMETERS = {
    "g2p_bridge.rows_per_call": 10_000,
    "g2p_bridge.batch_size": 1_000,
    "g2p_bridge.resolve_size": 5_000,
    "g2p_bridge.match_size": 10_000,
    "g2p_bridge.resolve_lead_days": 3,
    "g2p_bridge.max_attempts": 5,
    "g2p_bridge.retry_seconds": 10,
    "g2p_bridge.recheck_minutes": 15,
    "g2p_bridge.breaker_failures": 5,
    "g2p_bridge.breaker_seconds": 30,
    "g2p_bridge.breaker_longest_seconds": 300,
    "g2p_bridge.disbursement_sla_days": 3,
    "g2p_bridge.statement_max_bytes": 32 * 1024 * 1024,
    "g2p_bridge.uploads_per_minute": 120,
    "g2p_bridge.statement_max_entries": 250_000,
    "g2p_bridge.import_max_bytes": 64 * 1024 * 1024,
    "g2p_bridge.import_max_rows": 500_000,
    "g2p_bridge.import_keep_days": 30,
    "g2p_bridge.digest_hour": 7,
    "g2p_bridge.openg2p_check_signatures": 1,
}
#: those that 0 switches off; for the others it counts as not set
ZERO_IS_OFF = {
    "g2p_bridge.uploads_per_minute",
    "g2p_bridge.import_keep_days",
    "g2p_bridge.digest_hour",
    "g2p_bridge.openg2p_check_signatures",
}

DISBURSEMENT_STATES = [
    ("received", "Received"),
    ("unresolved", "Unresolved"),
    ("resolved", "Resolved"),
    ("batched", "Batched"),
    ("sent", "Sent"),
    ("unknown", "Outcome unknown"),
    ("reconciled", "Reconciled"),
    ("reversed", "Reversed"),
    ("rejected", "Rejected"),
    ("cancelled", "Cancelled"),
]
#: nothing more happens to these by itself (a reconciled one may still come back)
ENDED_STATES = ("reconciled", "reversed", "rejected", "cancelled")

#: state -> (ISO 20022 payment status, reason code where it says more)
ISO_STATUS = {
    "received": "PDNG",
    "unresolved": "PDNG",
    "resolved": "ACTC",
    "batched": "ACTC",
    "sent": "ACSP",
    "unknown": "PDNG",
    "reconciled": "ACSC",
    "reversed": "RJCT",
    "rejected": "RJCT",
    "cancelled": "RJCT",
}
