"""Pays three people and follows them to the end, with OdooRPC.

Takes BRIDGE_URL, BRIDGE_DB, PBMS_LOGIN, PBMS_KEY, PROGRAM and CYCLE from the environment. Run it
as often as you like: nobody is paid twice.
"""

import os
import random
import sys
import time
from datetime import datetime, timezone
from decimal import Decimal
from http.client import HTTPException
from urllib.error import HTTPError
from urllib.parse import urlsplit

import odoorpc

PROGRAM = os.environ.get("PROGRAM", "CHILD")
CYCLE = os.environ.get("CYCLE", "2026-11")
KEY = f"{PROGRAM}-{CYCLE}-regular"
AMOUNTS = {"BEN000001": "100.50", "BEN000002": "50.00", "BEN000003": "7.25"}
ENDED = ("reconciled", "reversed", "rejected", "cancelled")
ATTEMPTS = 6
LONGEST_S = 600


class Refused(Exception):
    """The bridge refused the call and changed nothing; its arguments are code and rows."""


def log_in():
    url = urlsplit(os.environ["BRIDGE_URL"])
    protocol, port = ("jsonrpc+ssl", 443) if url.scheme == "https" else ("jsonrpc", 80)
    odoo = odoorpc.ODOO(url.hostname, protocol=protocol, port=url.port or port, timeout=150)
    odoo.login(
        os.environ["BRIDGE_DB"], os.environ.get("PBMS_LOGIN", "my-pbms"), os.environ["PBMS_KEY"]
    )
    return odoo


def call(odoo, method, **arguments):
    """Call a method of the bridge; repeat it while there is no answer.

    Only for calls that may be repeated: questions, and those with an idempotency key.
    """
    for attempt in range(ATTEMPTS):
        try:
            return odoo.execute_kw("g2p.bridge", method, [], arguments)
        except odoorpc.error.RPCError as error:
            data = error.info["data"]
            if data["name"].endswith("BridgeError"):
                raise Refused(*data["arguments"]) from None
            raise
        except HTTPError as error:
            if error.code < 500 and error.code != 429:
                raise
        except (OSError, HTTPException, ValueError):
            pass  # no answer, or none of JSON: whether it was carried out, nobody can say
        time.sleep(random.uniform(0.5, 1) * 2**attempt)
    raise SystemExit(f"{method}: no answer; run this program again later")


def row(beneficiary_id, amount):
    return {
        "mis_reference_number": f"{CYCLE}-{beneficiary_id}",
        "beneficiary_id": beneficiary_id,
        "beneficiary_name": f"Person {beneficiary_id}",
        "disbursement_amount": amount,
        "narrative": "Child benefit",
    }


def create_envelope(odoo):
    answer = call(
        odoo,
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


def send(odoo, envelope_id, rows):
    """Send rows; all that is wrong with them comes back at once, and nothing was stored."""
    return call(
        odoo,
        "create_disbursements",
        disbursement_envelope_id=envelope_id,
        disbursements=rows,
        idempotency_key=f"{KEY}-1",
    )


def follow(odoo, ids):
    """Return how each payment ended; a real program stores cursor and states in its database."""
    cursor, states = "", dict.fromkeys(ids, "")
    end = time.monotonic() + LONGEST_S
    while not all(state in ENDED for state in states.values()):
        if time.monotonic() > end:
            raise SystemExit(f"not ended after {LONGEST_S} s: {states}")
        page = call(odoo, "get_disbursement_changes", cursor=cursor, limit=1000)
        for change in page["changes"]:
            if change["disbursement_id"] in states:
                states[change["disbursement_id"]] = change["status"]
        cursor = page["cursor"]
        if not page["has_more"]:
            time.sleep(1)
    return states


def main():
    odoo = log_in()
    envelope_id = create_envelope(odoo)
    try:
        send(odoo, envelope_id, [row("BEN000001", "100.505")])  # a tenth of a cent
    except Refused as refused:
        code, errors = refused.args
        for each in errors:
            print("refused", code, each["index"], *each["response_error_codes"])
    sent = send(odoo, envelope_id, [row(person, amount) for person, amount in AMOUNTS.items()])
    states = follow(odoo, [each["disbursement_id"] for each in sent])
    for each in sent:
        payment_id = each["disbursement_id"]
        print(each["mis_reference_number"], payment_id, states[payment_id])
    status = call(odoo, "get_disbursement_envelope_status", disbursement_envelope_id=envelope_id)
    # OdooRPC gives floats; their text is exact, for amounts have 15 digits at most
    paid = Decimal(str(status["total_disbursement_amount_reconciled"]))
    print("paid", status["number_of_disbursements_reconciled"], f"{paid:.2f}")
    if paid != sum(map(Decimal, AMOUNTS.values())):
        sys.exit("not everybody was paid")


if __name__ == "__main__":
    main()
