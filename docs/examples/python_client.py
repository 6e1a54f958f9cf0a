"""Pays three people and follows them to the end, with the package of clients/python.

Takes BRIDGE_URL, BRIDGE_DB, PBMS_KEY, PROGRAM and CYCLE from the environment. Run it as often as
you like: nobody is paid twice.
"""

import os
import sys
import time
from datetime import datetime, timezone
from decimal import Decimal

from g2p_bridge_client import (
    BridgeClient,
    Disbursement,
    NewDisbursement,
    NewEnvelope,
    Refused,
)

PROGRAM = os.environ.get("PROGRAM", "CHILD")
CYCLE = os.environ.get("CYCLE", "2026-11")
AMOUNTS = {"BEN000001": Decimal("100.50"), "BEN000002": Decimal("50"), "BEN000003": Decimal("7.25")}
ENDED = ("reconciled", "reversed", "rejected", "cancelled")
LONGEST_S = 600


def envelope() -> NewEnvelope:
    """Say what will come: count and sum are checked against it."""
    return NewEnvelope(
        benefit_program_mnemonic=PROGRAM,
        disbursement_frequency="Monthly",
        cycle_code_mnemonic=CYCLE,
        number_of_beneficiaries=len(AMOUNTS),
        number_of_disbursements=len(AMOUNTS),
        total_disbursement_amount=sum(AMOUNTS.values(), Decimal(0)),
        disbursement_currency_code="USD",
        disbursement_schedule_date=datetime.now(timezone.utc).date(),
    )


def row(beneficiary_id: str, amount: Decimal) -> NewDisbursement:
    """Say who is owed what; the reference is the program system's own."""
    return NewDisbursement(
        mis_reference_number=f"{CYCLE}-{beneficiary_id}",
        beneficiary_id=beneficiary_id,
        beneficiary_name=f"Person {beneficiary_id}",
        disbursement_amount=amount,
        narrative="Child benefit",
    )


def show_a_refusal(client: BridgeClient) -> None:
    """Send a row with a tenth of a cent: the call is refused as a whole, nothing is stored."""
    made = client.create_disbursement_envelope(envelope())
    try:
        client.create_disbursements(
            made.disbursement_envelope_id, [row("BEN000001", Decimal("100.505"))]
        )
    except Refused as refused:
        for each in refused.rows:
            print("refused", refused.code, each.index, *each.codes)


def follow(client: BridgeClient, sent: list[Disbursement]) -> dict[str, str]:
    """Return how each payment ended; a real program stores cursor and states in its database."""
    cursor, states = "", dict.fromkeys((each.disbursement_id for each in sent), "")
    end = time.monotonic() + LONGEST_S
    while not all(state in ENDED for state in states.values()):
        if time.monotonic() > end:
            raise SystemExit(f"not ended after {LONGEST_S} s: {states}")
        for page in client.iter_changes(cursor):
            for change in page.changes:
                if change.disbursement_id in states:
                    states[change.disbursement_id] = change.status
            cursor = page.cursor
        time.sleep(1)
    return states


def main() -> None:
    """Send, follow, compare."""
    sent: list[Disbursement] = []
    with BridgeClient(
        os.environ["BRIDGE_URL"], os.environ["PBMS_KEY"], os.environ["BRIDGE_DB"]
    ) as client:
        show_a_refusal(client)
        rows = (row(person, amount) for person, amount in AMOUNTS.items())
        done = client.send_envelope(envelope(), rows, rows_per_call=2, on_sent=sent.extend)
        states = follow(client, sent)
        for each in sent:
            print(each.mis_reference_number, each.disbursement_id, states[each.disbursement_id])
        status = client.get_disbursement_envelope_status(done.envelope.disbursement_envelope_id)
    paid = status.total_disbursement_amount_reconciled
    print("paid", status.number_of_disbursements_reconciled, f"{paid:.2f}")
    if paid != done.total:
        sys.exit("not everybody was paid")


if __name__ == "__main__":
    main()
