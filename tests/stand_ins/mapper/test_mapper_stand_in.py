"""The stand-in of the account mapper answers as SPAR does, and misbehaves when told to."""

import json
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

import requests

PROGRAM = Path(__file__).resolve().parent
FA = (
    "account_number:MADEUP1.branch_code:B1.bank_code:SOME_BANK"
    ".mobile_number:.email_address:.fa_type:BANK_ACCOUNT"
)


class TestMapperStandIn(unittest.TestCase):
    """One process with a file of links for the class."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        with tempfile.TemporaryDirectory() as folder:
            links = Path(folder) / "links.json"
            links.write_text(json.dumps({"ID1": FA, "ID2": FA}))
            cls.url = cls.start("--links", str(links))

    @classmethod
    def start(cls, *options):
        process = subprocess.Popen(
            [sys.executable, str(PROGRAM), "--port", "0", *options],
            stdout=subprocess.PIPE,
            text=True,
        )
        cls.addClassCleanup(process.stdout.close)
        cls.addClassCleanup(process.wait, 30)
        cls.addClassCleanup(process.terminate)
        line = process.stdout.readline()
        if not line.startswith("listening on "):
            raise AssertionError(f"the mapper did not start: {line!r}")
        return line.split()[-1]

    def setUp(self):
        super().setUp()
        self.addCleanup(self.behave)

    def behave(self, **behaviour):
        response = requests.post(self.url + "/admin/behaviour", json=behaviour, timeout=30)
        response.raise_for_status()

    def post(self, ids, *, url=None, action="resolve", scope="details"):
        items = [
            {"reference_id": f"ref-{number}", "id": item, "fa": "", "scope": scope, "locale": "en"}
            for number, item in enumerate(ids)
        ]
        body = {
            "header": {
                "version": "1.0.0",
                "message_id": "message-1",
                "message_ts": "2030-01-01T00:00:00",
                "action": action,
                "sender_id": "g2p-bridge",
                "receiver_id": "",
                "total_count": len(items),
                "is_msg_encrypted": False,
            },
            "message": {"transaction_id": "txn-1", "resolve_request": items},
        }
        return requests.post(f"{url or self.url}/sync/resolve", json=body, timeout=30)

    def resolve(self, *ids, **options):
        body = self.post(ids, **options).json()
        return [
            (item["reference_id"], item["id"], item["fa"], item["status_reason_code"])
            for item in body["message"]["resolve_response"]
        ]

    def test_linked_not_linked_and_empty_with_the_rejected_ones_first(self):
        self.assertEqual(
            self.resolve("ID1", "NOBODY", "", "ID2"),
            [
                ("ref-2", None, "", "rjct.reference_id.invalid"),
                ("ref-0", "ID1", FA, None),
                ("ref-1", None, "", "succ.fa.not_linked_to_id"),
                ("ref-3", "ID2", FA, None),
            ],
        )

    def test_the_header_is_that_of_the_request(self):
        body = self.post(["ID1", ""]).json()
        header = body["header"]
        self.assertEqual(header.pop("message_ts")[10], "T")
        self.assertEqual(
            header,
            {
                "version": "1.0.0",
                "message_id": "message-1",
                "action": "resolve",
                "status": "succ",
                "status_reason_code": None,
                "status_reason_message": None,
                "total_count": 2,
                "completed_count": 1,
                "sender_id": "g2p-bridge",
                "receiver_id": "",
                "is_msg_encrypted": False,
                "meta": {},
            },
        )
        self.assertEqual(body["message"]["transaction_id"], "txn-1")

    def test_yes_no_gives_no_address(self):
        self.assertEqual(
            self.resolve("ID1", "NOBODY", scope="yes_no"),
            [("ref-0", "ID1", "", None), ("ref-1", None, "", "succ.fa.not_linked_to_id")],
        )

    def test_a_wrong_action_is_refused_as_a_whole(self):
        body = self.post(["ID1"], action="link").json()
        self.assertEqual(body["message"], {})
        self.assertEqual(body["header"]["status"], "rjct")
        self.assertEqual(body["header"]["status_reason_code"], "rjct.action.not_supported")

    def test_a_signature_that_is_not_accepted(self):
        self.behave(fault="jwt", count=1)
        body = self.post(["ID1"]).json()
        self.assertEqual((body["header"]["status"], body["message"]), ("rjct", {}))
        self.assertEqual(body["header"]["status_reason_message"], "rjct.jwt.invalid")

    def test_a_body_of_the_wrong_shape(self):
        for body in ({}, [], {"header": {}, "message": {"resolve_request": [{}]}}):
            response = requests.post(self.url + "/sync/resolve", json=body, timeout=30)
            self.assertEqual(response.status_code, 400)

    def test_link_once(self):
        item = {"reference_id": "1", "id": "LATER", "fa": FA, "name": "", "phone_number": ""}
        body = {
            "header": {"message_id": "m", "action": "link"},
            "message": {"transaction_id": "t", "link_request": [item]},
        }
        answers = []
        for _time in range(2):
            response = requests.post(self.url + "/sync/link", json=body, timeout=30).json()
            [answer] = response["message"]["link_response"]
            answers.append((answer["status"], answer["status_reason_code"]))
        self.assertEqual(answers, [("succ", None), ("rjct", "rjct.reference_id.duplicate")])
        self.assertEqual(self.resolve("LATER"), [("ref-0", "LATER", FA, None)])

    def test_generated_links_depend_on_the_seed(self):
        ids = [f"BEN{number:06d}" for number in range(1, 201)]
        answers = []
        for seed in ("1", "1", "2"):
            url = self.start("--count", "150", "--missing-rate", "0.2", "--seed", seed)
            answers.append([code for _ref, _id, _fa, code in self.resolve(*ids, url=url)])
        self.assertEqual(answers[0], answers[1])
        self.assertNotEqual(answers[0], answers[2])
        self.assertEqual(set(answers[0][150:]), {"succ.fa.not_linked_to_id"})
        self.assertTrue(10 < answers[0][:150].count("succ.fa.not_linked_to_id") < 60)

    def test_it_misbehaves_so_often_as_it_was_told(self):
        self.behave(fault="500", count=1)
        self.assertEqual(self.post(["ID1"]).status_code, 500)
        self.assertEqual(self.post(["ID1"]).status_code, 200)
        self.behave(fault="garbage")
        for _time in range(2):
            with self.assertRaises(requests.JSONDecodeError):
                self.post(["ID1"]).json()
        self.behave(fault="drop")
        with self.assertRaises(requests.ConnectionError):
            self.post(["ID1"])
        self.behave(delay=0.3)
        before = time.monotonic()
        self.resolve("ID1")
        self.assertGreaterEqual(time.monotonic() - before, 0.3)

    def test_it_shuffles_and_forgets_when_told(self):
        ids = ["ID1"] * 50
        straight = self.resolve(*ids)
        self.behave(shuffle=True)
        shuffled = self.resolve(*ids)
        self.assertNotEqual(shuffled, straight)
        self.assertEqual(sorted(shuffled), sorted(straight))
        self.behave(part=0.5)
        self.assertTrue(5 < len(self.resolve(*ids)) < 45)

    def test_nonsense_is_no_behaviour(self):
        for behaviour in ({"fault": "explode"}, {"mood": 1}):
            response = requests.post(self.url + "/admin/behaviour", json=behaviour, timeout=30)
            self.assertEqual(response.status_code, 400)
