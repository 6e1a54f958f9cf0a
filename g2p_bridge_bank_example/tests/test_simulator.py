"""The example bank as a process of its own, over real HTTP. Needs neither Odoo nor a database."""

import base64
import json
import re
import tempfile
import threading
import time
import unittest
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import mt940
import requests
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from .bank_process import BankProcess, payment

ACCOUNT, POOR_ACCOUNT = "7000000001", "7000000002"
ACCOUNTS = ("--account", f"{ACCOUNT}:USD:10000", "--account", f"{POOR_ACCOUNT}:USD:5")
MISSING = {"code": "G2P-REQ-102", "message": "Invalid Input. Field required"}
RECEIPT = {"status": "success", "error_message": ""}


def encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def jws(key, body, header=b'{"alg":"RS256","typ":"JWT"}'):
    """Return the detached JWS of a body, as OpenG2P's bridge makes it."""
    text = f"{encode(header)}.{encode(body)}".encode()
    return f"{encode(header)}..{encode(key.sign(text, padding.PKCS1v15(), hashes.SHA256()))}"


class SimulatorCase(unittest.TestCase):
    """A fresh bank for each test."""

    def start_bank(self, *options, **values):
        bank = BankProcess(*ACCOUNTS, *options, **values)
        self.addCleanup(bank.stop)
        return bank

    def block(self, bank, amount=1000, key=None):
        answer = bank.ask(
            "/block_funds",
            {"account_number": ACCOUNT, "currency": "USD", "amount": amount},
            key=key,
        )
        self.assertEqual(answer["status"], "success")
        return answer["block_reference_no"]

    def assert_books_tie(self, bank):
        self.assertEqual(bank.get("/ledger/summary").json()["problems"], [])


class TestWireProtocol(SimulatorCase):
    """The endpoints of OpenG2P's bank: same requests, same answers."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.bank = BankProcess(*ACCOUNTS)
        cls.addClassCleanup(cls.bank.stop)

    def check(self, number, needed, currency="USD"):
        body = {
            "account_number": number,
            "account_currency": currency,
            "total_funds_needed": needed,
        }
        return self.bank.ask("/check_funds", body)

    def test_funds_that_are_there(self):
        self.assertEqual(
            self.check(ACCOUNT, 300),
            {
                "status": "success",
                "account_number": ACCOUNT,
                "has_sufficient_funds": True,
                "error_message": "",
            },
        )

    def test_funds_that_are_not_there(self):
        for number, message in ((POOR_ACCOUNT, "Insufficient funds"), ("9", "Account not found")):
            expected = {
                "status": "failed",
                "account_number": number,
                "has_sufficient_funds": False,
                "error_message": message,
            }
            self.assertEqual(self.check(number, 5000.0), expected)
        self.assertEqual(self.check(ACCOUNT, 1, "EUR")["error_message"], "Account not found")

    def test_a_block_that_fails(self):
        for number, currency, message in (
            (POOR_ACCOUNT, "USD", "Insufficient funds"),
            ("9", "USD", "Account not found"),
            (ACCOUNT, "EUR", "Account not found"),
        ):
            body = {"account_number": number, "currency": currency, "amount": 5000.0}
            self.assertEqual(
                self.bank.ask("/block_funds", body),
                {"status": "failed", "block_reference_no": "", "error_message": message},
            )

    def test_without_a_key_every_block_is_a_new_one(self):
        bank = self.start_bank()
        self.assertNotEqual(self.block(bank), self.block(bank))
        self.assertEqual(bank.account()["available"], "8000.00")

    def test_payments_are_acknowledged_whatever_is_in_them(self):
        reference = self.block(self.bank, 100)
        cases = (
            [payment(1, reference)],
            [payment(1, reference)],
            [],
            [payment(2, "no such block", payment_reference_number="X1")],
        )
        for payments in cases:
            response = self.bank.post("/initiate_payment", payments)
            self.assertEqual((response.status_code, response.json()), (200, RECEIPT))
            self.assertEqual(response.headers["X-Frame-Options"], "DENY")

    def test_a_missing_field_is_named_as_the_captured_bank_does(self):
        incomplete = payment(3)
        del incomplete["beneficiary_account"]
        for path, body, count in (
            ("/check_funds", {"account_number": "9"}, 2),
            ("/block_funds", {}, 3),
            ("/initiate_payment", [payment(4), incomplete], 1),
            ("/generate_account_statement", {}, 1),
        ):
            response = self.bank.post(path, body)
            self.assertEqual(response.status_code, 400)
            self.assertEqual(response.json(), {"errors": [MISSING] * count})

    def test_a_value_of_the_wrong_kind_is_refused(self):
        for number in (True, "abc", None, 10**16, 0.00001, [1]):
            body = {"account_number": ACCOUNT, "currency": "USD", "amount": number}
            response = self.bank.post("/block_funds", body)
            self.assertEqual(response.status_code, 400, number)
        for raw in (b"{", b"NaN", b'{"amount": NaN}', b'"\\ud800"', b"\xff", b"[" * 100_000):
            response = requests.post(self.bank.url + "/block_funds", data=raw, timeout=30)
            self.assertEqual(response.status_code, 400, raw[:20])

    def test_an_account_without_a_statement(self):
        answer = self.bank.ask("/generate_account_statement", {"program_account_number": "9"})
        self.assertEqual(
            answer,
            {
                "status": "failed",
                "account_statement_id": None,
                "error_message": "Account not found",
            },
        )

    def test_unknown_paths_and_methods(self):
        self.assertEqual(self.bank.post("/nothing", {}).status_code, 404)
        self.assertEqual(self.bank.get("/block_funds").status_code, 405)


class TestIdempotency(SimulatorCase):
    """The Idempotency-Key: the same again is the same answer, and nothing is done twice."""

    def test_a_block_under_one_key_is_made_once(self):
        bank = self.start_bank()
        self.assertEqual(self.block(bank, key="k"), self.block(bank, key="k"))
        self.assertEqual(bank.account()["held"], "1000.00")

    def test_a_batch_under_one_key_is_ordered_once(self):
        bank = self.start_bank()
        payments = [payment(1, self.block(bank)), payment(2, "no such block")]
        first = bank.ask("/initiate_payment", payments, key="k")
        self.assertEqual(bank.ask("/initiate_payment", payments, key="k"), first)
        self.assertEqual(
            first["rejected"],
            [
                {
                    "payment_reference_number": payments[1]["payment_reference_number"],
                    "reason_code": "AG01",
                    "reason": "No such block on the remitting account",
                }
            ],
        )
        ledger = bank.ledger()
        self.assertEqual([item["times_ordered"] for item in ledger["payments"]], [1, 1])
        outcomes = [call["outcome"] for call in ledger["calls"] if call["payment_count"]]
        self.assertEqual(outcomes, ["accepted", "replayed"])

    def test_the_same_key_with_another_body_is_refused(self):
        bank = self.start_bank()
        self.block(bank, key="k")
        body = {"account_number": ACCOUNT, "currency": "USD", "amount": 1}
        self.assertEqual(bank.post("/block_funds", body, key="k").status_code, 409)
        self.assertEqual(bank.account()["held"], "1000.00")

    def test_a_refusal_does_not_use_up_the_key(self):
        bank = self.start_bank()
        body = {"account_number": POOR_ACCOUNT, "currency": "USD", "amount": 50}
        self.assertEqual(bank.ask("/block_funds", body, key="k")["status"], "failed")
        top_up = {"account_number": POOR_ACCOUNT, "mark": "C", "amount": "45.00"}
        bank.ask("/admin/postings", top_up)
        self.assertEqual(bank.ask("/block_funds", body, key="k")["status"], "success")

    def test_clients_that_send_one_batch_at_the_same_time_order_it_once(self):
        bank = self.start_bank()
        payments = [payment(number, self.block(bank)) for number in range(5)]
        with ThreadPoolExecutor(8) as pool:
            answers = list(
                pool.map(
                    lambda _: bank.post("/initiate_payment", payments, key="k").text, range(16)
                )
            )
        self.assertEqual(len(set(answers)), 1)
        self.assertEqual({item["times_ordered"] for item in bank.ledger()["payments"]}, {1})


class TestLedger(SimulatorCase):
    """The books judge honestly: what was ordered twice shows, and is paid once."""

    def test_a_reference_ordered_twice_is_paid_once_and_counted(self):
        bank = self.start_bank()
        order = payment(1, self.block(bank))
        bank.ask("/initiate_payment", [order], key="one")
        again = bank.ask("/initiate_payment", [order, order], key="two")
        self.assertEqual([item["reason_code"] for item in again["rejected"]], ["AM05", "AM05"])
        ledger = bank.ledger()
        [paid] = ledger["payments"]
        self.assertEqual((paid["state"], paid["times_ordered"]), ("accepted", 3))
        self.assertEqual(len(ledger["refused_orders"]), 2)
        self.assertEqual(bank.get("/ledger/summary").json()["ordered_more_than_once"], 1)
        bank.ask("/admin/settle")
        self.assertEqual(len(bank.ledger()["postings"]), 1)
        self.assert_books_tie(bank)

    def test_each_reason_to_refuse_an_order(self):
        bank = self.start_bank()
        block = self.block(bank, 100)
        cases = (
            ("CH16", {"payment_reference_number": "longer than sixteen"}),
            ("AC02", {"remitting_account": "9"}),
            ("AM11", {"remitting_account_currency": "EUR"}),
            ("AM12", {"payment_amount": 0}),
            ("AM12", {"payment_amount": -5}),
            ("AM12", {"payment_amount": 1.005}),
            ("AG01", {"funds_blocked_reference_number": "other"}),
            ("AG01", {"remitting_account": POOR_ACCOUNT}),
            ("AM04", {"payment_amount": 100.01}),
        )
        orders = [payment(n, block, **values) for n, (_code, values) in enumerate(cases)]
        answer = bank.ask("/initiate_payment", [*orders, payment(99, block)], key="k")
        self.assertEqual(
            [item["reason_code"] for item in answer["rejected"]], [code for code, _ in cases]
        )
        self.assertEqual(bank.ledger()["blocks"][0]["drawn"], "100.00")
        self.assert_books_tie(bank)

    def test_a_refused_reference_may_be_ordered_again(self):
        bank = self.start_bank()
        bank.ask("/initiate_payment", [payment(1, "none")], key="one")
        answer = bank.ask("/initiate_payment", [payment(1, self.block(bank))], key="two")
        self.assertEqual(answer["rejected"], [])
        self.assertEqual(self.inquire(bank, 1), ["accepted"])

    def test_an_inquiry_tells_what_the_bank_has(self):
        bank = self.start_bank()
        bank.ask("/initiate_payment", [payment(1, self.block(bank)), payment(2, "none")])
        self.assertEqual(self.inquire(bank, 3, 2, 1), ["not_found", "rejected", "accepted"])
        bank.ask("/admin/settle")
        self.assertEqual(self.inquire(bank, 1), ["accepted"])
        self.assertEqual(self.inquire(bank, 1, account=POOR_ACCOUNT), ["not_found"])

    def inquire(self, bank, *numbers, account=ACCOUNT):
        references = [payment(number)["payment_reference_number"] for number in numbers]
        body = {"account_number": account, "payment_reference_numbers": references}
        items = bank.ask("/inquire_payments", body)["payments"]
        self.assertEqual([item["payment_reference_number"] for item in items], references)
        return [item["status"] for item in items]

    def test_a_release_frees_what_no_payment_has_drawn(self):
        bank = self.start_bank()
        block = self.block(bank, 1000)
        bank.ask("/initiate_payment", [payment(1, block)])
        body = {"account_number": ACCOUNT, "block_reference_no": block}
        expected = {"status": "success", "released_amount": 900, "error_message": ""}
        self.assertEqual(bank.ask("/release_funds", body), expected)
        self.assertEqual(bank.ask("/release_funds", body), expected)
        self.assertEqual(bank.account()["held"], "100.00")
        late = bank.ask("/initiate_payment", [payment(2, block)], key="late")
        self.assertEqual([item["reason_code"] for item in late["rejected"]], ["AM04"])
        bank.ask("/admin/settle")
        self.assertEqual(bank.account()["held"], "0.00")
        self.assert_books_tie(bank)

    def test_an_unknown_block_is_not_released(self):
        bank = self.start_bank()
        foreign = {"account_number": POOR_ACCOUNT, "block_reference_no": self.block(bank)}
        for body in (foreign, {**foreign, "block_reference_no": "none"}):
            answer = bank.ask("/release_funds", body)
            self.assertEqual(
                answer,
                {"status": "failed", "released_amount": 0, "error_message": "Block not found"},
            )

    def test_what_was_answered_survives_kill_9(self):
        bank = self.start_bank("--reversal-rate", "1")
        payments = [payment(number, self.block(bank, 100)) for number in range(3)]
        answer = bank.ask("/initiate_payment", payments, key="k")
        before = bank.ledger()
        bank.kill()
        bank.start()
        self.assertEqual(bank.ledger(), before)
        self.assertEqual(bank.ask("/initiate_payment", payments, key="k"), answer)
        bank.ask("/admin/settle")
        bank.ask("/admin/statements", {})
        bank.ask("/admin/clock", {"days": 3})
        before = bank.ledger()
        bank.kill()
        bank.start()
        self.assertEqual(bank.ledger(), before)
        self.assertEqual(bank.account()["balance"], "10000.00")
        self.assert_books_tie(bank)

    def test_a_kill_amid_calls_leaves_each_call_done_or_not_begun(self):
        bank = self.start_bank()
        block = self.block(bank, 5000)
        acknowledged = []

        def send(number):
            order = [payment(number * 2, block, payment_amount=1)]
            order += [payment(number * 2 + 1, block, payment_amount=1)]
            try:
                response = bank.post("/initiate_payment", order, key=f"k{number}")
            except requests.ConnectionError:
                return
            if response.status_code == 200:
                acknowledged.append(number)

        with ThreadPoolExecutor(4) as pool:
            for number in range(200):
                pool.submit(send, number)
            deadline = time.monotonic() + 20
            while len(acknowledged) < 20 and time.monotonic() < deadline:
                time.sleep(0.005)
            bank.kill()
        self.assertGreaterEqual(len(acknowledged), 20)
        bank.start()
        numbers = [int(item["reference"][4:]) for item in bank.ledger()["payments"]]
        for number in acknowledged:
            self.assertIn(number * 2, numbers)
        # no batch is there by half
        self.assertEqual({n ^ 1 for n in numbers}, set(numbers))
        self.assert_books_tie(bank)


class TestSettlement(SimulatorCase):
    """Float, reversals, and the order of the postings."""

    def pay(self, bank, count, **values):
        block = self.block(bank, count * 10)
        orders = [payment(n, block, payment_amount=10, **values) for n in range(count)]
        bank.ask("/initiate_payment", orders)

    def test_a_payment_is_booked_after_the_float(self):
        bank = self.start_bank("--clock", "2026-02-27", "--float-days", "2")
        self.pay(bank, 1)
        for days, settled in ((0, 0), (1, 0), (1, 1), (5, 0)):
            bank.ask("/admin/clock", {"days": days})
            self.assertEqual(bank.ask("/admin/settle")["settled"], settled)
        [posting] = bank.ledger()["postings"]
        self.assertEqual(posting["value_date"], "2026-03-01")
        self.assertEqual((bank.account()["balance"], bank.account()["held"]), ("9990.00", "0.00"))

    def test_a_later_payment_date_is_waited_for(self):
        bank = self.start_bank("--clock", "2026-02-27")
        self.pay(bank, 1, payment_date="2026-03-02")
        self.assertEqual(bank.ask("/admin/settle")["settled"], 0)
        bank.ask("/admin/clock", {"days": 3})
        self.assertEqual(bank.ask("/admin/settle")["settled"], 1)

    def test_who_comes_back_depends_on_seed_and_reference_only(self):
        options = ("--reversal-rate", "0.5", "--seed", "7")
        reasons = []
        for _time in range(2):
            bank = self.start_bank(*options)
            self.pay(bank, 60)
            bank.ask("/admin/settle")
            reversals = [item for item in bank.ledger()["postings"] if item["mark"] == "RD"]
            reasons.append({item["reference"]: item["reason"] for item in reversals})
            self.assert_books_tie(bank)
        self.assertEqual(reasons[0], reasons[1])
        self.assertTrue(10 < len(reasons[0]) < 50)
        self.assertGreaterEqual(len(set(reasons[0].values())), 4)

    def test_reversals_follow_their_debits_after_their_days(self):
        bank = self.start_bank("--reversal-rate", "1", "--reversal-after-days", "2")
        self.pay(bank, 3)
        self.assertEqual(bank.ask("/admin/settle")["reversed"], 0)
        bank.ask("/admin/clock", {"days": 2})
        self.assertEqual(bank.ask("/admin/settle")["reversed"], 3)
        marks = [item["mark"] for item in bank.ledger()["postings"]]
        self.assertEqual(marks, ["D"] * 3 + ["RD"] * 3)
        self.assertEqual({item["state"] for item in bank.ledger()["payments"]}, {"reversed"})
        self.assertEqual(bank.account()["balance"], "10000.00")

    def test_a_flagged_beneficiary_comes_back_by_account_or_by_id(self):
        bank = self.start_bank("--return-mark", "C")
        for beneficiary in ("MADEUP1", "ID2"):
            bank.ask(
                "/admin/beneficiaries", {"beneficiary": beneficiary, "reason": "ACCOUNT_CLOSED"}
            )
        bank.ask("/admin/beneficiaries", {"beneficiary": "MADEUP0", "reason": "ACCOUNT_DORMANT"})
        bank.ask("/admin/beneficiaries", {"beneficiary": "MADEUP0", "reason": ""})
        self.pay(bank, 4)
        bank.ask("/admin/settle")
        returned = {
            item["reference"]: item["reason"]
            for item in bank.ledger()["postings"]
            if item["mark"] == "C"
        }
        expected = {payment(n)["payment_reference_number"]: "ACCOUNT_CLOSED" for n in (1, 2)}
        self.assertEqual(returned, expected)

    def test_the_bank_settles_and_uploads_by_itself(self):
        bridge = Bridge(self)
        bank = self.start_bank("--settle-every", "0.05", "--upload-url", bridge.url)
        self.pay(bank, 2)
        deadline = time.monotonic() + 20
        while not bridge.received and time.monotonic() < deadline:
            time.sleep(0.02)
        self.assertEqual(len(entries_of(bridge.statements[0])), 2)


class TestStatements(SimulatorCase):
    """MT940 that keeps to the standard, ties, and reports each entry once."""

    def pay(self, bank, numbers, **values):
        block = self.block(bank, 100 * len(numbers))
        bank.ask("/initiate_payment", [payment(n, block, **values) for n in numbers])
        bank.ask("/admin/settle")

    def generate(self, bank, **body):
        made = bank.ask("/admin/statements", body)["statements"]
        return [bank.get(f"/admin/statements/{number}").content for number in made]

    def test_a_statement_line_by_line(self):
        bank = self.start_bank("--clock", "2026-03-01")
        bank.ask("/admin/beneficiaries", {"beneficiary": "MADEUP1", "reason": "ACCOUNT_CLOSED"})
        self.pay(bank, [1], payment_amount=99.5)
        [content] = self.generate(bank)
        expected = (
            f":20:1|:25:{ACCOUNT}|:28C:1/1|:60F:C260301USD10000,00|"
            ":61:2603010301D99,50NTRFTEST000000000001//EXB000000000001|"
            ":86:Support for schooling|SCHOOL|2030-01|ID1|||"
            ":61:2603010301RD99,50NTRFTEST000000000001//EXR000000000001|"
            ":86:Support for schooling|SCHOOL|2030-01|ID1||ACCOUNT_CLOSED|"
            ":62F:C260301USD10000,00|-|"
        )
        self.assertEqual(content.decode(), expected.replace("|", "\r\n"))

    def test_the_captured_style(self):
        bank = self.start_bank(
            *("--clock", "2026-03-01", "--mt940-style", "captured", "--mt940-newline", "lf")
        )
        self.pay(bank, [1])
        [content] = self.generate(bank)
        lines = content.decode().split("\n")
        self.assertEqual(
            lines[4], ":61:2603010301D000000000100,00NTRFTEST000000000001//EXB000000000001"
        )
        self.assertEqual(lines[-2:], [":62F:C260301USD9900,00", ""])

    def test_statements_continue_each_other_and_report_each_entry_once(self):
        bank = self.start_bank("--statement-entries", "3", "--reversal-rate", "0.3")
        contents = []
        for first in (0, 10, 20):
            self.pay(bank, range(first, first + 7))
            contents += self.generate(bank)
        self.assertEqual(self.generate(bank), [])
        balance, references = Decimal(10000), []
        for number, content in enumerate(contents, start=1):
            parsed = mt940.parse(content.decode())
            self.assertEqual(parsed.data["statement_number"], str(number))
            self.assertLessEqual(len(entries_of(content)), 3)
            self.assertEqual(parsed.data["final_opening_balance"].amount.amount, balance)
            balance += sum(entry.data["amount"].amount for entry in parsed)
            self.assertEqual(parsed.data["final_closing_balance"].amount.amount, balance)
            references += re.findall(rb"//(EX\w+)", content)
        self.assertEqual(bank.account()["balance"], f"{balance:.2f}")
        self.assertEqual(len(references), len(set(references)))
        self.assertEqual(len(references), len(bank.ledger()["postings"]))

    def test_text_that_swift_does_not_know_is_written_in_its_characters(self):
        bank = self.start_bank()
        long = "x" * 80
        self.pay(bank, [1], narrative_1=":Café, 5 €\n:61:", narrative_2="-", narrative_3=long)
        [content] = self.generate(bank)
        lines = content.decode("ascii").split("\r\n")
        self.assertEqual(lines[5:9], [":86:.Cafe, 5 . :61:", ".", "x" * 65, "ID1"])
        self.assertEqual(len(entries_of(content)), 1)

    def test_currencies_without_or_with_three_decimals(self):
        bank = self.start_bank("--account", "8:UGX:1000", "--account", "9:KWD:1.005")
        for number, amount in (("8", 1), ("9", 0.001)):
            body = {"account_number": number, "mark": "D", "amount": amount, "reference": "FEE"}
            bank.ask("/admin/postings", body)
        whole, three = self.generate(bank)
        self.assertIn(b"UGX1000,\r\n", whole)
        self.assertIn(b"D1,NTRFFEE//", whole)
        self.assertIn(b"KWD1,005\r\n", three)
        self.assertIn(b"KWD1,004\r\n", three)

    def test_an_account_that_is_overdrawn_has_a_debit_balance(self):
        bank = self.start_bank()
        bank.ask("/admin/postings", {"account_number": POOR_ACCOUNT, "mark": "D", "amount": 7.5})
        [content] = self.generate(bank, account_number=POOR_ACCOUNT)
        self.assertRegex(content.decode(), r":62F:D\d{6}USD2,50\r\n")

    def test_the_captured_call_answers_with_an_id_even_for_an_empty_statement(self):
        bank = self.start_bank()
        answer = bank.ask("/generate_account_statement", {"program_account_number": ACCOUNT})
        self.assertEqual(
            answer, {"status": "success", "account_statement_id": "1", "error_message": None}
        )
        content = bank.get("/admin/statements/1").content
        self.assertEqual(entries_of(content), [])
        self.assertEqual(content.count(b"USD10000,00"), 2)


class TestUpload(SimulatorCase):
    """What the bridge gets, and what happens when it does not take it."""

    def setUp(self):
        super().setUp()
        self.bridge = Bridge(self)
        self.bank = self.start_bank(
            *("--upload-url", self.bridge.url),
            environment={"EXAMPLE_BANK_UPLOAD_KEY": "made-up-key"},
        )

    def charge(self):
        self.bank.ask("/admin/postings", {"account_number": ACCOUNT, "mark": "D", "amount": 1})
        return self.bank.ask("/admin/statements", {})

    def test_the_statement_arrives_as_a_form_file(self):
        [upload] = self.charge()["uploads"]
        self.assertTrue(upload["is_uploaded"])
        self.assertEqual(upload["http_status"], 200)
        [headers] = self.bridge.headers
        self.assertEqual(headers["Authorization"], "Bearer made-up-key")
        [body] = self.bridge.received
        self.assertIn(b'name="statement_file"', body)
        self.assertIn(b"Content-Type: text/plain", body)
        self.assertEqual(self.bridge.statements, [self.bank.get("/admin/statements/1").content])
        self.assertNotIn("made-up-key", self.bank.log)

    def test_what_was_taken_is_not_sent_again(self):
        self.charge()
        self.assertEqual(self.bank.ask("/admin/statements", {})["uploads"], [])
        self.assertEqual(len(self.bridge.received), 1)

    def test_what_was_not_taken_is_sent_again_unchanged_and_in_order(self):
        rejected = json.dumps({"header": {"status": "rjct"}, "message": "no"}).encode()
        self.bridge.answers = [(500, b"oops"), (200, b"no JSON"), (200, rejected), (302, b"")]
        for _failure in range(4):
            [upload] = self.charge()["uploads"]
            self.assertFalse(upload["is_uploaded"])
        uploads = self.charge()["uploads"]
        self.assertEqual([item["id"] for item in uploads], ["1", "2", "3", "4", "5"])
        self.assertTrue(all(item["is_uploaded"] for item in uploads))
        first = self.bank.get("/admin/statements/1").content
        self.assertEqual(self.bridge.statements[:5], [first] * 5)
        self.assertEqual(len(set(self.bridge.statements)), 5)

    def test_a_bridge_that_is_down_gets_it_later(self):
        self.bank.ask("/admin/uploader", {"url": "http://127.0.0.1:9/nobody"})
        [upload] = self.charge()["uploads"]
        self.assertEqual((upload["is_uploaded"], upload["http_status"]), (False, None))
        self.assertEqual(upload["answer"], "ConnectionError")
        self.bank.kill()
        self.bank.start()
        [upload] = self.bank.ask("/admin/statements", {})["uploads"]
        self.assertTrue(upload["is_uploaded"])


class TestFaults(SimulatorCase):
    """Each fault does what it says, as often as it was told to, and to the right call."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.bank = BankProcess(*ACCOUNTS)
        cls.addClassCleanup(cls.bank.stop)

    def setUp(self):
        super().setUp()
        self.addCleanup(self.bank.clear_faults)
        self.before = self.held()

    def held(self):
        return Decimal(self.bank.account()["held"])

    def try_block(self, timeout=30):
        return requests.post(
            self.bank.url + "/block_funds",
            json={"account_number": ACCOUNT, "currency": "USD", "amount": 1},
            timeout=timeout,
        )

    def test_before_the_work(self):
        self.bank.fault("error_before", "/block_funds", status=503)
        self.assertEqual(self.try_block().status_code, 503)
        self.bank.fault("reset", "/block_funds")
        with self.assertRaises(requests.ConnectionError) as caught:
            self.try_block()
        self.assertIn("ConnectionResetError", repr(caught.exception))
        self.assertEqual(self.held(), self.before)
        self.assertTrue(self.try_block().ok)

    def test_after_the_work(self):
        self.bank.fault("error_after", "/block_funds")
        self.assertEqual(self.try_block().status_code, 500)
        self.bank.fault("garbage", "/block_funds")
        with self.assertRaises(requests.JSONDecodeError):
            self.try_block().json()
        self.bank.fault("drop", "/block_funds")
        with self.assertRaises(requests.ConnectionError):
            self.try_block()
        self.bank.fault("half", "/block_funds")
        with self.assertRaises(requests.exceptions.ChunkedEncodingError):
            self.try_block()
        self.assertEqual(self.held(), self.before + 4)

    def test_a_late_answer_to_what_was_done_at_once(self):
        self.bank.fault("delay", "/block_funds", seconds=2)
        with self.assertRaises(requests.ReadTimeout):
            self.try_block(timeout=0.5)
        self.assertEqual(self.held(), self.before + 1)

    def test_a_call_that_is_done_late(self):
        self.bank.fault("delay_before", "/block_funds", seconds=1)
        with self.assertRaises(requests.ReadTimeout):
            self.try_block(timeout=0.3)
        self.assertEqual(self.held(), self.before)
        deadline = time.monotonic() + 20
        while self.held() == self.before and time.monotonic() < deadline:
            time.sleep(0.05)
        self.assertEqual(self.held(), self.before + 1)

    def test_a_closed_port(self):
        self.bank.fault("refuse", seconds=0.5)
        with self.assertRaises(requests.ConnectionError) as caught:
            self.try_block()
        self.assertIn("NewConnectionError", repr(caught.exception))
        self.bank.clear_faults()
        self.assertTrue(self.try_block().ok)

    def test_a_fault_hits_its_endpoint_so_often_and_not_before_its_turn(self):
        self.bank.fault("error_before", "/block_funds", count=2, skip=1)
        check = {"account_number": ACCOUNT, "account_currency": "USD", "total_funds_needed": 1}
        self.assertTrue(self.bank.post("/check_funds", check).ok)
        codes = [self.try_block().status_code for _call in range(4)]
        self.assertEqual(codes, [200, 500, 500, 200])
        [fault] = self.bank.get("/admin/faults").json()["faults"]
        self.assertEqual(fault["hits"], 2)

    def test_a_fault_may_be_meant_for_one_account(self):
        self.bank.fault("error_before", "/block_funds", account_number="another")
        self.assertEqual(self.try_block().status_code, 200)
        self.bank.fault("error_before", "/block_funds", account_number=ACCOUNT)
        self.assertEqual(self.try_block().status_code, 500)

    def test_calls_under_way_at_the_same_time_are_counted_for_each_account(self):
        bank = self.start_bank()
        bank.fault("delay", "/block_funds", count=2, seconds=1)
        body = {"account_number": ACCOUNT, "currency": "USD", "amount": 1}
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda _call: bank.ask("/block_funds", body), range(2)))
        bank.ask("/block_funds", body)
        [count] = bank.get("/admin/calls").json()["calls"]
        self.assertEqual(count["account_number"], ACCOUNT)
        self.assertEqual([count[name] for name in ("calls", "under_way", "peak")], [3, 0, 2])

    def test_a_chance_is_the_same_for_the_same_seed(self):
        patterns = set()
        for _time in range(2):
            bank = self.start_bank("--seed", "5")
            bank.fault("error_before", count=None, probability=0.5)
            check = {"account_number": "9", "account_currency": "USD", "total_funds_needed": 1}
            codes = [bank.post("/check_funds", check).status_code for _call in range(20)]
            patterns.add(tuple(codes))
        self.assertEqual(len(patterns), 1)
        self.assertEqual(set(codes), {200, 500})

    def test_a_fault_that_makes_no_sense_is_refused(self):
        for body in (
            {"fault": "explode"},
            {"fault": "drop", "when": 1},
            {"fault": "drop", "probability": 2},
            {"fault": "drop", "count": -1},
            {"fault": "drop", "count": "x"},
            {"fault": "error_after", "status": 200},
            {"fault": "refuse"},
            {},
            [],
        ):
            self.assertEqual(self.bank.post("/admin/faults", body).status_code, 400, body)
        self.assertEqual(self.bank.get("/admin/faults").json(), {"faults": []})


class TestOperation(SimulatorCase):
    """The command line, access, the page."""

    def test_the_page_shows_the_books_escaped_and_says_what_it_is(self):
        bank = self.start_bank()
        account = {
            "account_number": "5",
            "currency": "USD",
            "balance": 1,
            "account_holder": "<script>alert(1)</script>",
        }
        bank.ask("/admin/accounts", account)
        for _posting in range(60):
            bank.ask("/admin/postings", {"account_number": ACCOUNT, "mark": "D", "amount": 1})
        first, second = bank.get("/").text, bank.get("/?page=2").text
        self.assertIn("TEST DOUBLE", first)
        self.assertIn("&lt;script&gt;", first)
        self.assertNotIn("<script>", first)
        self.assertIn("ENTRY60<", first)
        self.assertNotIn("ENTRY10<", first)
        self.assertIn("ENTRY10<", second)

    def test_with_an_api_key_nobody_gets_in_without_it(self):
        bank = BankProcess(*ACCOUNTS, environment={"EXAMPLE_BANK_API_KEY": "made-up-token"})
        self.addCleanup(bank.stop)
        body = {"account_number": ACCOUNT, "account_currency": "USD", "total_funds_needed": 1}
        for token in (None, "other", "made-up-tokeñ"):
            self.assertEqual(bank.post("/check_funds", body, token=token).status_code, 401)
        for path in ("/", "/ledger", "/ledger/summary", "/admin/faults", "/admin/statements/1"):
            self.assertEqual(bank.get(path).status_code, 401, path)
        self.assertTrue(bank.post("/check_funds", body, token="made-up-token").ok)
        self.assertTrue(bank.get("/", auth=("anybody", "made-up-token")).ok)
        self.assertTrue(bank.get("/ping").ok)

    def test_with_a_public_key_only_its_owner_gets_in(self):
        key, other = (rsa.generate_private_key(65537, 2048) for _number in range(2))
        with tempfile.NamedTemporaryFile() as file:
            public = serialization.PublicFormat.SubjectPublicKeyInfo
            file.write(key.public_key().public_bytes(serialization.Encoding.PEM, public))
            file.flush()
            bank = self.start_bank("--require-signature", file.name)
        content = json.dumps(
            {"account_number": ACCOUNT, "account_currency": "USD", "total_funds_needed": 1}
        ).encode()

        def ask(body, signature):
            headers = {"Content-Type": "application/json", "Signature": signature}
            return requests.post(
                f"{bank.url}/check_funds", data=body, headers=headers, timeout=30
            ).status_code

        good = jws(key, content)
        self.assertEqual(ask(content, good), 200)
        for body, signature in (
            (content, None),
            (content, ""),
            (content, "a.b.c"),
            (content, jws(other, content)),
            (content, jws(key, content, b'{"alg":"none"}')),
            (content, good.replace("..", f".{encode(content)}.")),
            (content, good[:-8] + "AAAAAAAA"),
            (content + b" ", good),
        ):
            self.assertEqual(ask(body, signature), 401, signature)
        self.assertTrue(bank.get("/ledger").ok)
        self.assertTrue(bank.post("/admin/settle", {}).ok)

    def test_an_account_is_opened_once(self):
        bank = self.start_bank()
        account = {
            "account_number": ACCOUNT,
            "currency": "USD",
            "balance": "99",
            "account_holder": "Somebody",
        }
        self.assertEqual(bank.post("/admin/accounts", account).status_code, 409)
        self.assertEqual(bank.account()["balance"], "10000.00")

    def test_admin_calls_refuse_nonsense(self):
        bank = self.start_bank()
        for path, body, status in (
            ("/admin/postings", {"account_number": ACCOUNT, "mark": "X", "amount": 1}, 400),
            ("/admin/postings", {"account_number": ACCOUNT, "mark": "D", "amount": 0}, 400),
            ("/admin/postings", {"account_number": ACCOUNT, "mark": "D", "amount": "1e99"}, 400),
            ("/admin/postings", {"account_number": "9", "mark": "D", "amount": 1}, 404),
            ("/admin/clock", {"days": -1}, 400),
            ("/admin/clock", {"days": True}, 400),
            ("/admin/statements", {"account_number": "9"}, 404),
            ("/admin/statements", {"acount_number": "9"}, 400),
        ):
            self.assertEqual(bank.post(path, body).status_code, status, (path, body))
        self.assertEqual(bank.ledger()["postings"], [])

    def test_more_payments_than_the_limit_are_refused_as_a_whole(self):
        bank = self.start_bank("--batch-limit", "2")
        orders = [payment(number) for number in range(3)]
        self.assertEqual(bank.post("/initiate_payment", orders).status_code, 400)
        self.assertEqual(bank.ledger()["payments"], [])

    def test_no_account_number_is_logged(self):
        bank = self.start_bank("--verbose")
        order = payment(1, self.block(bank))
        bank.ask("/initiate_payment", [order])
        bank.get(f"/ledger?account_number={ACCOUNT}")
        self.assertIn("/initiate_payment 200", bank.log)
        for word in (ACCOUNT, order["beneficiary_account"], order["beneficiary_name"]):
            self.assertNotIn(word, bank.log)


class Bridge:
    """What the bank uploads to: keeps what comes and answers by script, then ``succ``."""

    def __init__(self, case):
        self.received, self.headers, self.answers = [], [], []
        bridge = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                bridge.headers.append(dict(self.headers))
                bridge.received.append(self.rfile.read(int(self.headers["Content-Length"])))
                default = (200, json.dumps({"header": {"status": "succ"}, "message": "1"}).encode())
                status, body = bridge.answers.pop(0) if bridge.answers else default
                self.send_response(status)
                self.send_header("Content-Length", f"{len(body)}")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_arguments):
                """Quiet."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{server.server_port}/g2p_bridge/upload_mt940"
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}).start()
        case.addCleanup(server.server_close)
        case.addCleanup(server.shutdown)

    @property
    def statements(self):
        """The content of each uploaded file."""
        return [body.split(b"\r\n\r\n", 1)[1].rsplit(b"\r\n--", 1)[0] for body in self.received]


def entries_of(content):
    """The :61: lines of a statement, each of which has to keep to the standard."""
    lines = [line for line in content.split(b"\r\n") if line.startswith(b":61:")]
    shape = rb":61:\d{10}(D|C|RD|RC)\d+,\d*NTRF[\w-]{1,16}//\w{1,16}"
    for line in lines:
        if not re.fullmatch(shape, line):
            raise AssertionError(f"not by the standard: {line}")
    return lines
