"""OpenG2P's SPAR mapper, unchanged, behind our ``g2p_connect`` mapper: captured calls.

``samples/openg2p_mapper.json`` holds requests and answers of release 1.1.0 as they were recorded,
with made-up people and accounts. What we ask has to be what OpenG2P's bridge asked, but for ids and
time stamps; what we make of each answer is what it means.
"""

import json
import os
from pathlib import Path
from unittest.mock import patch

from odoo.tests import tagged

from odoo.addons.g2p_bridge.connectors import signing
from odoo.addons.g2p_bridge.connectors.dto import BANK_ACCOUNT, FinancialAddress
from odoo.addons.g2p_bridge.connectors.errors import BankRejected
from odoo.addons.g2p_bridge.services import financial_address

from .pipeline_case import PipelineCase
from .test_account_mapper import MapperServer
from .test_connector_signing import KEY, assert_verifies, pem_of

SAMPLES = json.loads((Path(__file__).parent / "samples" / "openg2p_mapper.json").read_text())
SENT_BY_THE_BRIDGE = "success, sent by the bridge"


def sample(case, call="resolve"):
    """Return one captured call."""
    return next(each for each in SAMPLES[call] if each["case"] == case)


def asked(captured):
    """Return reference -> beneficiary id of a captured request."""
    items = captured["body"]["message"]["resolve_request"]
    return {item["reference_id"]: item["id"] for item in items}


def address_of(number):
    """Return the address of a made-up person, as the captured mapper has it."""
    return FinancialAddress(
        fa_type=BANK_ACCOUNT,
        account_number=f"ACC{number:06d}",
        bank_code="EXAMPLE_BANK",
        branch_code="BR001",
        mobile_number=f"07{number:08d}",
        email_address=f"ben{number}@example.org",
    )


@tagged("post_install", "-at_install")
class TestOpenG2PMapper(PipelineCase):
    """Replays, over real HTTP."""

    def setUp(self):
        super().setUp()
        self.server = MapperServer()
        self.addCleanup(self.server.close)
        self.mapper.write({"provider": "g2p_connect", "base_url": self.server.url})

    def resolve(self, captured, answers=None):
        """Ask what was asked, get what was answered (or this), and return what we make of it."""
        reply = captured["answer"]
        if answers is not None:
            reply = {**reply, "message": {**reply["message"], "resolve_response": answers}}
        self.server.answer = lambda _body: (captured["status"], reply)
        return self.mapper._resolve_over_http(asked(captured))

    def answers(self, case):
        return sample(case)["answer"]["message"]["resolve_response"]

    # -- what we send -----------------------------------------------------------------------------

    def test_a_question_is_sent_byte_for_byte_but_for_ids_and_time_stamps(self):
        captured = sample(SENT_BY_THE_BRIDGE)
        self.resolve(captured)
        [sent] = self.server.bodies
        ours, theirs = json.loads(sent), json.loads(json.dumps(captured["body"]))
        for part, name in (
            ("header", "message_id"),
            ("header", "message_ts"),
            ("message", "transaction_id"),
        ):
            self.assertIsInstance(ours[part][name], str)
            theirs[part][name] = ours[part][name]
        for item in theirs["message"]["resolve_request"]:
            item["timestamp"] = ours["header"]["message_ts"]
        self.assertEqual(sent, json.dumps(theirs, separators=(",", ":")).encode())

    def test_the_path_and_the_content_type_are_the_captured_ones(self):
        captured = sample(SENT_BY_THE_BRIDGE)
        self.resolve(captured)
        [(path, headers, _body)] = self.server.requests
        self.assertEqual(path, "/mapper" + captured["path"])
        self.assertEqual(headers["Content-Type"], "application/json")

    def test_a_signed_question_carries_a_signature_of_the_captured_form(self):
        captured = sample(SENT_BY_THE_BRIDGE)
        self.mapper.sign_requests = True
        with patch.dict(os.environ, {signing.KEY: pem_of(KEY).decode()}):
            os.environ.pop(signing.KEY_FILE, None)
            self.resolve(captured)
        [(_path, headers, _body)] = self.server.requests
        ours, theirs = headers["Signature"], captured["headers"]["signature"]
        assert_verifies(KEY.public_key(), ours, self.server.bodies[0])
        self.assertEqual([ours.split(".")[:2], len(ours)], [theirs.split(".")[:2], len(theirs)])

    # -- what we make of the answers --------------------------------------------------------------

    def test_who_is_linked_has_an_address_though_no_code_says_so(self):
        captured = sample(SENT_BY_THE_BRIDGE)
        self.assertEqual(
            {answer["status_reason_code"] for answer in self.answers(SENT_BY_THE_BRIDGE)}, {None}
        )
        found = self.resolve(captured)
        self.assertEqual(
            [found[reference].address for reference in asked(captured)],
            [address_of(11), address_of(12), address_of(13)],
        )

    def test_who_is_not_linked_succeeds_without_id_and_is_told_by_reference(self):
        found = self.resolve(sample("linked and not linked"))
        self.assertEqual(found["ref-BEN000002"].address, address_of(2))
        missing = found["ref-NOLINK1"]
        self.assertEqual((missing.address, missing.reason_code), (None, "succ.fa.not_linked_to_id"))

    def test_an_answer_without_an_address_is_no_link(self):
        """As to a question of scope yes_no: it has the id, and says succ."""
        [missing] = self.resolve(sample("scope yes_no")).values()
        self.assertEqual((missing.address, missing.reason_code), (None, "succ.fa.not_found"))

    def test_an_empty_id_is_rejected_alone(self):
        [missing] = self.resolve(sample("id empty")).values()
        self.assertEqual(
            (missing.address, missing.reason_code), (None, "rjct.reference_id.invalid")
        )

    def test_the_rejected_come_first_and_any_order_will_do(self):
        captured = json.loads(json.dumps(sample("linked and not linked")))
        linked, not_linked = self.answers("linked and not linked")
        [rejected] = self.answers("id empty")
        captured["body"]["message"]["resolve_request"].append({"reference_id": "ref-", "id": ""})
        expected = self.resolve(captured, [linked, not_linked, rejected])
        for answers in ([rejected, linked, not_linked], [not_linked, rejected, linked]):
            self.assertEqual(self.resolve(captured, answers), expected)
        self.assertEqual(len(expected), 3)

    def test_a_request_that_is_refused_as_a_whole_has_its_code(self):
        for case, code in (
            ("wrong signature", "rjct.jwt.invalid"),
            ("wrong action", "rjct.action.not_supported"),
        ):
            with self.subTest(case), self.assertRaises(BankRejected) as caught:
                self.resolve(sample(case))
            self.assertEqual(caught.exception.code, code)

    def test_every_captured_case_is_replayed(self):
        cases = {each["case"] for each in SAMPLES["resolve"]}
        self.assertEqual(
            cases,
            {
                SENT_BY_THE_BRIDGE,
                "linked and not linked",
                "scope yes_no",
                "id empty",
                "wrong signature",
                "wrong action",
            },
        )

    # -- links ------------------------------------------------------------------------------------

    def test_what_a_registry_links_is_what_we_take_apart(self):
        """The bridge links nobody; a registry does, in the form that comes back to us."""
        for case in ("success", "already linked"):
            captured = sample(case, "link")
            [item] = captured["body"]["message"]["link_request"]
            [answer] = captured["answer"]["message"]["link_response"]
            self.assertEqual(answer["fa"], item["fa"])
            self.assertEqual(
                financial_address.parse(item["fa"]),
                FinancialAddress(
                    fa_type=BANK_ACCOUNT,
                    account_number="ACC900001",
                    bank_code="EXAMPLE_BANK",
                    branch_code="BR001",
                    mobile_number="0711111111",
                    email_address="new1@example.org",
                ),
            )
