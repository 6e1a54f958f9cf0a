"""Idempotency keys that are the same after a restart, because they are made from what is paid."""

import hashlib
import json
from collections.abc import Sequence

from .messages import NewDisbursement, NewEnvelope
from .wire import plain

_READABLE = 60


def envelope_key(envelope: NewEnvelope, run: str = "") -> str:
    """Return the key of a program's cycle: whatever is sent for it, there is one envelope.

    Totals and dates are not part of it. So a program that starts again on the next day, or with
    another total, is refused (IDEMPOTENCY_KEY_REUSED) and pays nobody twice.

    :param run: tells a second envelope of the same cycle from the first, such as ``reissue-1``
    """
    parts = [envelope.benefit_program_mnemonic, envelope.cycle_code_mnemonic, run]
    return f"{':'.join(filter(None, parts))[:_READABLE]}:{_digest(parts)[:32]}"


def rows_key(rows: Sequence[NewDisbursement]) -> str:
    """Return the key of rows in one envelope: made from all that they say, in their order."""
    return f"rows:{_digest(plain(list(rows)))}"


def _digest(content: object) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()
