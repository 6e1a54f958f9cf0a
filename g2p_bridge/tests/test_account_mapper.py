import json
import os
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from unittest.mock import patch

from odoo.exceptions import AccessError, ValidationError
from odoo.tests import tagged

from odoo.addons.g2p_bridge.connectors.errors import BankRejected, BankUnavailable

from .pipeline_case import PipelineCase

FA = (
    "account_number:ACCOUNT-{0}.branch_code:BR001.bank_code:DEST"
    ".mobile_number:0700000001.email_address:a.b@example.org.fa_type:BANK_ACCOUNT"
)
NOT_LINKED = {
    "fa": "",
    "id": None,
    "status": "succ",
    "status_reason_code": "succ.fa.not_linked_to_id",
    "status_reason_message": "ID doesn't exist, please link first",
}


class MapperServer:
    """A G2P Connect mapper over real HTTP whose answers a test decides."""

    def __init__(self):
        self.requests = []
        self.bodies = []  # their bytes
        self.answer = self.linked
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                outer.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
                body = json.loads(outer.bodies[-1])
                outer.requests.append((self.path, dict(self.headers), body))
                status, content = outer.answer(body)
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(
                    content if isinstance(content, bytes) else json.dumps(content).encode()
                )

            def log_message(self, *_arguments):
                """Say nothing."""

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/mapper"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    @staticmethod
    def asked(body):
        return body["message"]["resolve_request"]

    def linked(self, body):
        """Answer every question with a bank account."""
        return 200, self.reply(body, [self.one(item) for item in self.asked(body)])

    @staticmethod
    def one(item, **values):
        return {
            "reference_id": item["reference_id"],
            "id": item["id"],
            "fa": FA.format(item["id"]),
            "status": "succ",
            "status_reason_code": None,
            "status_reason_message": None,
            **values,
        }

    @staticmethod
    def reply(body, answers, **header):
        return {
            "header": {"message_id": body["header"]["message_id"], "status": "succ", **header},
            "message": {"transaction_id": "1", "resolve_response": answers},
        }


@tagged("post_install", "-at_install")
class TestG2PConnectMapper(PipelineCase):
    """Look-ups over HTTP: what is asked, and what is made of each answer."""

    def setUp(self):
        super().setUp()
        self.server = MapperServer()
        self.addCleanup(self.server.close)
        self.mapper.write({"provider": "g2p_connect", "base_url": f"{self.server.url}/"})

    def resolve(self, *beneficiaries):
        return self.mapper._resolve_over_http({f"REF-{one}": one for one in beneficiaries})

    def test_the_request_is_as_captured(self):
        self.mapper.secret = "let me in"
        self.resolve("BEN1")
        [(path, headers, body)] = self.server.requests
        self.assertEqual(
            (path, headers["Authorization"]), ("/mapper/sync/resolve", "Bearer let me in")
        )
        self.assertEqual((body["header"]["action"], body["header"]["total_count"]), ("resolve", 1))
        [item] = body["message"]["resolve_request"]
        item.pop("timestamp")
        self.assertEqual(
            item,
            {
                "reference_id": "REF-BEN1",
                "fa": "",
                "id": "BEN1",
                "name": None,
                "scope": "details",
                "additional_info": None,
                "locale": "en",
            },
        )

    def test_a_netrc_file_does_not_take_the_place_of_the_key(self):
        self.mapper.secret = "let me in"
        with tempfile.NamedTemporaryFile("w") as netrc:
            netrc.write("default login somebody password else\n")
            netrc.flush()
            with patch.dict(os.environ, NETRC=netrc.name):
                self.resolve("BEN1")
        [(_path, headers, _body)] = self.server.requests
        self.assertEqual(headers["Authorization"], "Bearer let me in")

    def test_answers_are_matched_by_reference_in_whatever_order_they_come(self):
        self.server.answer = lambda body: (
            200,
            self.server.reply(
                body, [self.server.one(i) for i in reversed(self.server.asked(body))]
            ),
        )
        found = self.resolve("BEN1", "BEN2", "BEN3")
        self.assertEqual(
            [found[f"REF-BEN{n}"].address.account_number for n in (1, 2, 3)],
            ["ACCOUNT-BEN1", "ACCOUNT-BEN2", "ACCOUNT-BEN3"],
        )

    def test_two_payments_of_one_person_both_get_the_account_and_are_made(self):
        envelope = self.create_envelope(2)
        rows = self.rows(2)
        rows[1]["beneficiary_id"] = rows[0]["beneficiary_id"]
        self.run_jobs(
            lambda: self.api.create_disbursements(envelope.disbursement_envelope_id, rows)
        )
        self.assertStates(envelope, "sent", "sent")
        self.assertEqual(len(self.fake.ordered), 2)

    def test_more_than_a_request_takes_are_asked_in_several(self):
        self.mapper.batch_size = 2
        self.assertEqual(len(self.resolve("BEN1", "BEN2", "BEN3")), 3)
        self.assertEqual(len(self.server.requests), 2)

    def test_who_is_not_linked_or_not_answered_holds_up_nobody(self):
        def answer(body):
            first, second, _third = self.server.asked(body)
            foreign = self.server.one({"reference_id": "not asked", "id": "X"})
            answers = [
                foreign,
                self.server.one(first, **NOT_LINKED),
                self.server.one(second),
                "odd",
            ]
            return 200, self.server.reply(body, answers)

        self.server.answer = answer
        envelope = self.ready_envelope()
        self.run_envelope(envelope)
        self.assertStates(envelope, "unresolved", "sent", "unresolved")
        first, _second, third = self.disbursements(envelope)
        self.assertEqual(
            (first.reason_code, first.reason),
            ("succ.fa.not_linked_to_id", "ID doesn't exist, please link first"),
        )
        self.assertEqual(third.reason_code, "NO_ANSWER")
        self.server.answer = self.server.linked
        self.run_jobs(envelope._cron_resolve_again)
        self.assertStates(envelope, "sent", "sent", "sent")
        self.assertNothingTwice()

    def test_an_address_that_no_rule_takes_apart_is_unresolved(self):
        self.server.answer = lambda body: (
            200,
            self.server.reply(body, [self.server.one(i, fa="??") for i in self.server.asked(body)]),
        )
        self.assertEqual(self.resolve("BEN1")["REF-BEN1"].reason_code, "rjct.fa.invalid")

    def test_an_administrator_configures_other_forms(self):
        self.mapper.rule_ids = [
            (
                0,
                0,
                {
                    "name": "M-Pesa",
                    "fa_type": "MOBILE_WALLET",
                    "expression": r"tel:(?P<mobile_number>\d+)@(?P<wallet_provider>\w+)",
                },
            )
        ]
        self.server.answer = lambda body: (
            200,
            self.server.reply(
                body, [self.server.one(i, fa="tel:0700123@mpesa") for i in self.server.asked(body)]
            ),
        )
        envelope = self.ready_envelope(1)
        self.run_envelope(envelope)
        payment = self.disbursements(envelope)
        self.assertEqual(
            (payment.fa_type, payment.mobile_number, payment.wallet_provider),
            ("MOBILE_WALLET", "0700123", "mpesa"),
        )
        with self.assertRaises(ValidationError):
            self.mapper.rule_ids.expression = "tel:(?P<mobile_number"

    def test_a_mapper_that_is_down_is_asked_again_later(self):
        for answer in ((500, b"oops"), (200, b"<html>"), (200, {"header": 1}), (200, [])):
            self.server.answer = lambda body, answer=answer: answer
            with self.assertRaises(BankUnavailable):
                self.resolve("BEN1")
        envelope = self.ready_envelope()
        postponed = self.run_jobs(lambda: envelope._enqueue_resolve())
        self.assertEqual(len(postponed), 1)
        self.assertStates(envelope, *["received"] * 3)

    def test_a_mapper_that_refuses_the_request_is_told_to_an_officer(self):
        self.server.answer = lambda body: (
            200,
            self.server.reply(body, [], status="rjct", status_reason_code="rjct.jwt.invalid"),
        )
        with self.assertRaises(BankRejected):
            self.resolve("BEN1")
        envelope = self.ready_envelope()
        self.run_jobs(lambda: envelope._enqueue_resolve())
        self.assertEqual(
            (envelope.state, envelope.attention_code), ("needs_attention", "rjct.jwt.invalid")
        )

    def test_no_address_is_kept_in_the_call(self):
        envelope = self.ready_envelope()
        self.run_envelope(envelope)
        calls = self.env["g2p.bank.call"].search(
            [("envelope_id", "=", envelope.id), ("operation", "=", "resolve")]
        )
        self.assertTrue(calls)
        for call in calls:
            kept = f"{call.request_masked}{call.response_masked}"
            self.assertNotIn("ACCOUNT-BEN", kept)
            self.assertNotIn("0700000001", kept)


@tagged("post_install", "-at_install")
class TestLinks(PipelineCase):
    """The built-in table."""

    def test_links_come_in_by_odoos_own_import(self):
        result = self.env["g2p.account.link"].load(
            ["mapper_id/.id", "beneficiary_id", "fa_type", "account_number", "mobile_number"],
            [
                [str(self.mapper.id), "CSV1", "BANK_ACCOUNT", "111", ""],
                [str(self.mapper.id), "CSV2", "MOBILE_WALLET", "", "0700"],
            ],
        )
        self.assertEqual(len(result["ids"]), 2)

    def test_a_link_without_its_address_is_refused(self):
        for kind in ("BANK_ACCOUNT", "MOBILE_WALLET", "EMAIL_WALLET"):
            result = self.env["g2p.account.link"].load(
                ["mapper_id/.id", "beneficiary_id", "fa_type"],
                [[str(self.mapper.id), "CSV1", kind]],
            )
            self.assertFalse(result["ids"])
            self.assertTrue(result["messages"])


@tagged("post_install", "-at_install")
class TestLinksAreKeptOutOfTheLog(PipelineCase):
    """The database's refusal would put account numbers into the log: ours comes before it."""

    def setUp(self):
        super().setUp()
        self.links = self.env["g2p.account.link"]
        self.values = {"mapper_id": self.mapper.id, "beneficiary_id": "NEW", "account_number": "A1"}

    def assertRefusedQuietly(self, function, *arguments):
        with self.assertNoLogs("odoo.sql_db"), self.assertRaises(ValidationError) as caught:
            function(*arguments)
        self.assertNotIn("A1", str(caught.exception))

    def test_a_second_link_of_a_beneficiary(self):
        self.assertRefusedQuietly(self.links.create, [self.values, dict(self.values)])
        link = self.links.create(self.values)
        self.assertRefusedQuietly(self.links.create, self.values)
        link.active = False
        self.assertRefusedQuietly(self.links.create, self.values)
        other = self.links.create({**self.values, "beneficiary_id": "OTHER"})
        self.assertRefusedQuietly(other.write, {"beneficiary_id": "NEW"})
        self.assertRefusedQuietly((link + other).write, {"beneficiary_id": "BOTH"})
        link.write({"beneficiary_id": "NEW", "account_number": "A12"})
        self.assertEqual(link.account_number, "A12")

    def test_a_link_without_what_it_needs(self):
        for values in (
            {"account_number": False},
            {"fa_type": "MOBILE_WALLET"},
            {"beneficiary_id": False},
            {"mapper_id": False},
        ):
            self.assertRefusedQuietly(self.links.create, {**self.values, **values})
        link = self.links.create(self.values)
        self.assertRefusedQuietly(link.write, {"fa_type": "EMAIL_WALLET"})
        self.assertRefusedQuietly(link.write, {"account_number": ""})

    def test_who_may_not_add_links_is_not_told_what_is_there(self):
        self.links.create(self.values)
        officer = self.links.with_user(self.officer)
        with self.assertRaises(AccessError):
            officer.create(self.values)
        with self.assertRaises(AccessError):
            officer.search([("beneficiary_id", "=", "NEW")]).write({"beneficiary_id": "BEN1"})
