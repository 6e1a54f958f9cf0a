"""Pays three people and follows them to the end, with requests and nothing else.

Takes BRIDGE_URL, BRIDGE_DB, PBMS_KEY, PROGRAM and CYCLE from the environment. Run it as often as
you like: nobody is paid twice.
"""

import json
import os
import random
import sys
import time
from datetime import datetime, timezone
from decimal import Decimal

import requests

URL = os.environ["BRIDGE_URL"]
HEADERS = {
    "Authorization": f"bearer {os.environ['PBMS_KEY']}",
    "X-Odoo-Database": os.environ["BRIDGE_DB"],
}
PROGRAM = os.environ.get("PROGRAM", "CHILD")
CYCLE = os.environ.get("CYCLE", "2026-11")
KEY = f"{PROGRAM}-{CYCLE}-regular"
AMOUNTS = {"BEN000001": "100.50", "BEN000002": "50.00", "BEN000003": "7.25"}
ENDED = ("reconciled", "reversed", "rejected", "cancelled")
ATTEMPTS = 6
LONGEST_S = 600


class Refused(Exception):
    """The bridge refused the call and changed nothing; its arguments are code and rows."""


def call(method, **arguments):
    """Call a method of the bridge; repeat it while there is no answer.

    Only for calls that may be repeated: questions, and those with an idempotency key.
    """
    for attempt in range(ATTEMPTS):
        try:
            answer = requests.post(
                f"{URL}/json/2/g2p.bridge/{method}",
                json=arguments,
                headers=HEADERS,
                timeout=(10, 150),
                allow_redirects=False,
            )
        except requests.RequestException:
            answer = None  # whether it was carried out, nobody can say
        if answer is not None and answer.status_code < 500 and answer.status_code != 429:
            break
        time.sleep(random.uniform(0.5, 1) * 2**attempt)
    else:
        raise SystemExit(f"{method}: no answer; run this program again later")
    if answer.status_code == 422 and answer.json()["name"].endswith("BridgeError"):
        raise Refused(*answer.json()["arguments"])
    answer.raise_for_status()
    # not answer.json(): its amounts would be floats
    return json.loads(answer.text, parse_float=Decimal)


def row(beneficiary_id, amount):
    return {
        "mis_reference_number": f"{CYCLE}-{beneficiary_id}",
        "beneficiary_id": beneficiary_id,
        "beneficiary_name": f"Person {beneficiary_id}",
        "disbursement_amount": amount,
        "narrative": "Child benefit",
    }


def create_envelope():
    answer = call(
        "create_disbursement_envelope",
        benefit_program_mnemonic=PROGRAM,
        disbursement_frequency="Monthly",
        cycle_code_mnemonic=CYCLE,
        number_of_beneficiaries=len(AMOUNTS),
        number_of_disbursements=len(AMOUNTS),
        total_disbursement_amount=str(sum(map(Decimal, AMOUNTS.values()))),
        disbursement_currency_code="USD",
        disbursement_schedule_date=datetime.now(timezone.utc).date().isoformat(),
        idempotency_key=KEY,
    )
    return answer["disbursement_envelope_id"]


def send(envelope_id, rows):
    """Send rows; all that is wrong with them comes back at once, and nothing was stored."""
    return call(
        "create_disbursements",
        disbursement_envelope_id=envelope_id,
        disbursements=rows,
        idempotency_key=f"{KEY}-1",
    )


def follow(ids):
    """Return how each payment ended; a real program stores cursor and states in its database."""
    cursor, states = "", dict.fromkeys(ids, "")
    end = time.monotonic() + LONGEST_S
    while not all(state in ENDED for state in states.values()):
        if time.monotonic() > end:
            raise SystemExit(f"not ended after {LONGEST_S} s: {states}")
        page = call("get_disbursement_changes", cursor=cursor, limit=1000)
        for change in page["changes"]:
            if change["disbursement_id"] in states:
                states[change["disbursement_id"]] = change["status"]
        cursor = page["cursor"]
        if not page["has_more"]:
            time.sleep(1)
    return states


def main():
    envelope_id = create_envelope()
    try:
        send(envelope_id, [row("BEN000001", "100.505")])  # a tenth of a cent
    except Refused as refused:
        code, errors = refused.args
        for each in errors:
            print("refused", code, each["index"], *each["response_error_codes"])
    sent = send(envelope_id, [row(person, amount) for person, amount in AMOUNTS.items()])
    states = follow([each["disbursement_id"] for each in sent])
    for each in sent:
        payment_id = each["disbursement_id"]
        print(each["mis_reference_number"], payment_id, states[payment_id])
    status = call("get_disbursement_envelope_status", disbursement_envelope_id=envelope_id)
    paid = status["total_disbursement_amount_reconciled"]
    print("paid", status["number_of_disbursements_reconciled"], f"{paid:.2f}")
    if paid != sum(map(Decimal, AMOUNTS.values())):
        sys.exit("not everybody was paid")


if __name__ == "__main__":
    main()
