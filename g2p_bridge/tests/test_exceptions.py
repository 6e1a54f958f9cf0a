from odoo.tests import TransactionCase, tagged
from odoo.tools import SQL

from odoo.addons.g2p_bridge.models.reason_words import WORDS
from odoo.addons.g2p_bridge.services.iso_reasons import CODES, iso_reason
from odoo.addons.queue_job.tests.common import trap_jobs

from .reissue_case import ReissueCase
from .statement_case import entry


@tagged("post_install", "-at_install")
class TestIsoReasons(TransactionCase):
    """What mappers, banks and statements say, in the codes of ISO 20022."""

    def test_each_code_of_the_table_has_plain_words(self):
        for code in {*CODES.values(), "NARR", "MS03", "AC01", "AC04", "AC06", "AG01", "BE01"}:
            self.assertIn(code, WORDS)

    def test_what_is_said_gets_its_code(self):
        for code, words, expected in (
            ("AC04", "Account closed", "AC04"),
            ("succ.fa.not_linked_to_id", "No account is linked", "AC03"),
            ("rjct.fa.invalid", "", "AC01"),
            ("ACCOUNT_DORMANT", None, "AC06"),
            ("Account closed.", None, "AC04"),
            ("AC06 blocked by court", None, "AC06"),
            ("X99", "name mismatch", "BE01"),
            ("ZZ99", None, "NARR"),  # looks like a code, and is none
            ("DECIDED_NOT_PAID", "asked the bank by phone", "NARR"),
            (None, "something else", "NARR"),
            (None, None, "MS03"),
            ("", "", "MS03"),
        ):
            with self.subTest(code=code, words=words):
                self.assertEqual(iso_reason(code, words, WORDS), expected)


@tagged("post_install", "-at_install")
class TestExceptions(ReissueCase):
    """Who could not be paid, as the program system asks for it."""

    def exceptions(self, **arguments):
        self.env.flush_all()
        return self.api.get_disbursement_exceptions(**arguments)

    def ids_of(self, **arguments):
        return [row["disbursement_id"] for row in self.exceptions(**arguments)["exceptions"]]

    def leave_out(self, payment, code="LEFT_OUT"):
        self.env["g2p.disbursement"]._bulk_transition(
            "cancelled",
            SQL("d.id = %s", payment.id),
            cause="test",
            assign=SQL("reason_code = %s, reason = 'nobody knows them'", code),
        )

    def unresolved_envelope(self, count=3, **values):
        """Return an envelope whose payments have no account."""
        with trap_jobs():
            envelope = self.create_full_envelope(count, **values)
        self.env["g2p.disbursement"]._bulk_transition(
            "unresolved",
            SQL("d.envelope_id = %s", envelope.id),
            cause="test",
            assign=SQL("reason_code = 'succ.fa.not_linked_to_id', reason = 'no link'"),
        )
        return envelope

    def test_who_was_refused_or_came_back_is_told_with_the_reason_and_nobody_else(self):
        answer = self.exceptions(disbursement_envelope_id=self.envelope.disbursement_envelope_id)
        returned, refused = answer["exceptions"]
        self.assertFalse(answer["has_more"])
        self.assertEqual(
            [returned["disbursement_id"], refused["disbursement_id"]],
            [self.returned.disbursement_id, self.refused.disbursement_id],
        )
        self.assertEqual(
            {name: refused[name] for name in refused if name not in ("since", "disbursement_id")},
            {
                "disbursement_envelope_id": self.envelope.disbursement_envelope_id,
                "mis_reference_number": self.refused.mis_reference_number,
                "beneficiary_id": self.refused.beneficiary_id,
                "disbursement_amount": 100.0,
                "disbursement_currency_code": "USD",
                "kind": "rejected",
                "status": "rejected",
                "iso_status": "RJCT",
                "iso_reason_code": "AC04",
                "iso_reason": "account closed",
                "reason_code": "AC04",
                "reason": "Account closed",
                "reissued_as_disbursement_id": "",
                "is_correctable": True,
                "not_correctable_code": "",
            },
        )
        self.assertEqual((returned["kind"], returned["status"]), ("reversed", "reversed"))
        self.assertTrue(refused["since"])

    def test_each_kind_of_exception_is_there_and_what_goes_on_is_not(self):
        other = self.unresolved_envelope(3, cycle_code_mnemonic="2026-12")
        unresolved, left_out, withdrawn = self.disbursements(other)
        self.leave_out(left_out)
        self.leave_out(withdrawn, code=None)
        rows = self.exceptions(disbursement_envelope_id=other.disbursement_envelope_id)
        kinds = {row["disbursement_id"]: row["kind"] for row in rows["exceptions"]}
        self.assertEqual(
            kinds,
            {unresolved.disbursement_id: "unresolved", left_out.disbursement_id: "left_out"},
        )
        self.assertEqual({row["iso_reason_code"] for row in rows["exceptions"]}, {"AC03"})
        with trap_jobs():
            other._set_cancelled("not this month", "test")
        self.assertEqual(self.ids_of(disbursement_envelope_id=other.disbursement_envelope_id), [])

    def test_a_name_that_does_not_fit_is_a_kind_of_its_own(self):
        self.env.cr.execute(
            "UPDATE g2p_disbursement SET reason_code = 'NAME_MISMATCH' WHERE id = %s",
            [self.returned.id],
        )
        row = self.exceptions()["exceptions"][0]
        self.assertEqual(
            (row["kind"], row["iso_reason_code"], row["status"]),
            ("name_mismatch", "BE01", "reversed"),
        )

    def test_all_envelopes_page_by_page_give_each_payment_once(self):
        for number in range(3):
            self.unresolved_envelope(3, cycle_code_mnemonic=f"cycle {number}")
        everything = self.ids_of()
        self.assertEqual(len(everything), 2 + 9)
        for limit in (1, 2, 4, 11):
            found, cursor, has_more = [], None, True
            while has_more:
                page = self.exceptions(cursor=cursor, limit=limit)
                found += [row["disbursement_id"] for row in page["exceptions"]]
                cursor, has_more = page["cursor"], page["has_more"]
                self.assertLessEqual(len(page["exceptions"]), limit)
            self.assertEqual(found, everything, limit)

    def test_what_was_dealt_with_says_so_and_is_not_open(self):
        self.reissue({"ids": [self.refused.id]}, expected=(1, 100))
        with trap_jobs():
            self.envelope.with_user(self.officer)._hand_back(
                "reversed", self.returned.reason_code, "by cheque"
            )
        returned, refused = self.exceptions()["exceptions"]
        self.assertEqual(
            refused["reissued_as_disbursement_id"], self.refused.reissue_id.disbursement_id
        )
        self.assertEqual(refused["not_correctable_code"], "DISBURSEMENT_ALREADY_REISSUED")
        self.assertEqual(returned["not_correctable_code"], "DISBURSEMENT_LEFT_TO_PROGRAM")
        self.assertFalse(refused["is_correctable"] or returned["is_correctable"])
        self.assertEqual(self.ids_of(only_open=True), [])
        self.refused.reissue_id.envelope_id._set_cancelled("wrong day", "test")
        self.assertEqual(self.ids_of(only_open=True), [self.refused.disbursement_id])

    def test_what_the_bank_shows_as_paid_is_not_correctable(self):
        self.book(entry("D", 100, self.ids[2]), number="2/1")
        returned, refused = self.exceptions()["exceptions"]
        self.assertEqual(refused["not_correctable_code"], "DISBURSEMENT_SHOWN_AS_PAID")
        self.assertTrue(returned["is_correctable"])

    def test_nobody_sees_the_exceptions_of_another_s_program(self):
        other = self.create_user("other_pbms", "g2p_bridge.group_pbms_api")
        self.program.api_user_ids = self.pbms_user
        bridge = self.env["g2p.bridge"].with_user(other)
        self.env.flush_all()
        self.assertEqual(bridge.get_disbursement_exceptions()["exceptions"], [])
        self.assertRefused(
            "DISBURSEMENT_ENVELOPE_NOT_FOUND",
            bridge.get_disbursement_exceptions,
            self.envelope.disbursement_envelope_id,
        )

    def test_wrong_arguments_are_refused_with_their_codes(self):
        for arguments, code in (
            ({"limit": 0}, "INVALID_LIMIT"),
            ({"limit": 10_001}, "INVALID_LIMIT"),
            ({"only_open": "yes"}, "INVALID_ONLY_OPEN"),
            ({"only_open": 0}, "INVALID_ONLY_OPEN"),
            ({"cursor": "x"}, "INVALID_CURSOR"),
            ({"cursor": 5}, "INVALID_CURSOR"),
            ({"cursor": "1-99999999999"}, "INVALID_CURSOR"),
            ({"cursor": "²-1"}, "INVALID_CURSOR"),
            ({"disbursement_envelope_id": 7}, "INVALID_DISBURSEMENT_ENVELOPE_ID"),
        ):
            with self.subTest(**arguments):
                self.assertRefused(code, self.api.get_disbursement_exceptions, **arguments)

    def test_the_number_of_queries_is_the_same_however_many_there_are(self):
        def count():
            self.env.flush_all()
            self.env.invalidate_all()
            before = self.env.cr.sql_log_count
            found = len(self.exceptions(limit=10_000)["exceptions"])
            return self.env.cr.sql_log_count - before, found

        count()
        few, length = count()
        for number in range(4):
            self.unresolved_envelope(20, cycle_code_mnemonic=f"cycle {number}")
        many, more = count()
        self.assertEqual(more, length + 80)
        self.assertEqual(many, few)
