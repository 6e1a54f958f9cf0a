import tracemalloc
from itertools import pairwise, permutations

from odoo.exceptions import AccessError, UserError
from odoo.tests import tagged

from odoo.addons.queue_job.exception import RetryableJobError
from odoo.addons.queue_job.tests.common import trap_jobs

from .statement_case import StatementCase, entry


@tagged("post_install", "-at_install")
class TestStatementUpload(StatementCase):
    """What is taken as a statement, and what is refused and changes nothing."""

    def test_it_is_stored_with_its_balances_and_entries(self):
        with trap_jobs() as trap:
            answer = self.upload(self.text([entry("D", 100, self.ids[0])]))
            trap.assert_jobs_count(1)
            self.assertEqual(trap.enqueued_jobs[0].method_name, "_process_statement")
        statement = self.statement(answer)
        self.assertEqual(
            (statement.statement_number, statement.opening_balance, statement.closing_balance),
            ("1", 1000.0, 900.0),
        )
        self.assertTrue(statement.is_tied)
        self.assertEqual(statement.line_ids.mapped("customer_reference"), self.ids[:1])
        self.assertEqual(
            statement.attachment_id.raw.decode(), self.text([entry("D", 100, self.ids[0])])
        )
        self.assertFalse(statement.attachment_id.index_content)  # account numbers are in it

    def test_entries_are_stored_as_they_are_written(self):
        """Whatever means something to PostgreSQL's COPY."""
        narrative = ["\\N", "a\tb", "\\n \\\\ \\", "\\.", "", "\u00e9\u4e2d"]
        answer = self.upload(self.text([entry("D", 100, "\\N", narrative=narrative)] * 2))
        for line in self.statement(answer).line_ids.sudo():
            self.assertEqual(line.customer_reference, "\\N")
            self.assertEqual(line.narrative, "\n".join(narrative))
            self.assertEqual((line.bank_reference, line.disbursement_reference), ("B1", False))

    def test_an_upload_takes_little_more_memory_than_its_file(self):
        count = 20_000
        text = self.text([entry("D", "0,01", "NONREF")] * count).encode()
        statements = self.env["g2p.account.statement"].sudo()
        with trap_jobs():
            statements._upload(self.text([entry("D", 100, self.ids[0])]).encode(), "", self.bank)
            tracemalloc.start()
            try:
                [statement] = statements._upload(text, "", self.bank)
                _now, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
        self.assertEqual((statement.line_count, statement.is_tied), (count, True))
        # the entries alone, as objects, would take some 20 MB
        self.assertLess(peak, 6 * 1024 * 1024)

    def test_the_same_file_again_gets_the_first_answer(self):
        text = self.text([entry("D", 100, self.ids[0])])
        first = self.upload(text)
        self.env.flush_all()
        with trap_jobs() as trap:
            self.assertEqual(self.upload(text), first)
            trap.assert_jobs_count(0)

    def test_what_is_no_statement_is_refused_and_leaves_nothing(self):
        before = self.env["g2p.account.statement"].search_count([])
        for text in ("hello, not a statement", ":20:1\n", "1234567890\n" * 10, "/etc/hostname"):
            self.assertRefused("INVALID_STATEMENT", self.bank_api.upload_mt940, text)
        for value in ("", "  ", None, 7):
            self.assertRefused("INVALID_STATEMENT", self.bank_api.upload_mt940, value)
        self.assertEqual(self.env["g2p.account.statement"].search_count([]), before)

    def test_an_account_that_is_not_ours_is_refused_without_its_number(self):
        text = self.text([], account="9876543210")
        with self.assertRaises(UserError) as caught:
            self.bank_api.upload_mt940(text)
        self.assertEqual(caught.exception.args[0], "UNKNOWN_ACCOUNT")
        self.assertNotIn("9876543210", str(caught.exception))

    def test_an_account_is_known_in_each_way_that_banks_write_it(self):
        for number, written in enumerate(("TEST 0001", "BANKCODE/TEST0001", "BANK/TEST0001USD"), 1):
            answer = self.upload(self.text([], account=written, number=f"{number}/1"))
            self.assertEqual(self.statement(answer).account_id, self.account)

    def test_another_currency_is_refused(self):
        self.assertRefused(
            "STATEMENT_CURRENCY_MISMATCH",
            self.bank_api.upload_mt940,
            self.text([], currency="EUR"),
        )

    def test_a_file_beyond_the_limit_is_refused(self):
        self.env["ir.config_parameter"].set_param("g2p_bridge.statement_max_bytes", "50")
        self.assertRefused("STATEMENT_TOO_LARGE", self.bank_api.upload_mt940, self.text([]))

    def test_a_bank_speaks_for_its_own_accounts_only(self):
        self.bank.api_user_ids = self.create_user("another_bank", "g2p_bridge.group_bank_api")
        self.assertRefused("UNKNOWN_ACCOUNT", self.bank_api.upload_mt940, self.text([]))
        owner = self.env["g2p.bridge"].with_user(self.bank.api_user_ids)
        owner.upload_mt940(self.text([]))
        self.env.flush_all()
        self.assertRefused("UNKNOWN_ACCOUNT", self.bank_api.upload_mt940, self.text([]))
        with self.assertRaises(AccessError):
            self.api.upload_mt940(self.text([]))

    def test_one_that_does_not_tie_is_held_until_an_officer_decides(self):
        text = self.text([entry("D", 100, self.ids[0])], closing="950,00")
        answer = self.upload(text)
        self.assertEqual(answer["statements"][0]["status"], "held")
        self.assertIn("50", answer["statements"][0]["hold_reason"])
        statement = self.statement(answer)
        self.process(statement)
        self.assertStates(self.envelope, "sent", "sent", "sent")
        statement.with_user(self.officer)._decide(True, "bank confirmed by phone")
        self.process(statement)
        self.assertStates(self.envelope, "reconciled", "sent", "sent")

    def test_a_dismissed_one_books_nothing(self):
        statement = self.statement(
            self.upload(self.text([entry("D", 100, self.ids[0])], closing="950,00"))
        )
        statement.with_user(self.officer)._decide(False, "wrong file")
        self.process(statement)
        self.assertEqual(statement.state, "dismissed")
        self.assertStates(self.envelope, "sent", "sent", "sent")

    def test_where_the_bank_is_known_for_it_one_that_does_not_tie_is_booked_and_flagged(self):
        self.bank.untied_statement_policy = "book"
        statement = self.statement(
            self.upload(self.text([entry("D", 100, self.ids[0])], closing="950,00"))
        )
        self.process(statement)
        self.assertEqual((statement.state, statement.is_tied), ("processed", False))
        self.assertStates(self.envelope, "reconciled", "sent", "sent")

    def test_several_statements_in_a_file_are_stored_one_by_one(self):
        text = self.text([entry("D", 100, self.ids[0])]) + self.text(
            [entry("D", 100, self.ids[1])], number="2/1", opening="900,00"
        )
        answer = self.upload(text)
        self.assertEqual(len(answer["statements"]), 2)
        for statement in self.env["g2p.account.statement"].search(
            [("name", "in", [row["statement_id"] for row in answer["statements"]])], order="id"
        ):
            self.process(statement)
        self.assertStates(self.envelope, "reconciled", "reconciled", "sent")


@tagged("post_install", "-at_install")
class TestMatching(StatementCase):
    """Each kind of entry has one outcome, and disturbs no other."""

    def test_a_debit_reconciles_its_payment(self):
        statement = self.book(entry("D", 100, self.ids[0]))
        self.assertEqual(self.outcomes(statement), [("reconciled", False)])
        self.assertEqual(statement.state, "processed")
        self.assertStates(self.envelope, "reconciled", "sent", "sent")
        self.assertEqual(self.envelope.reconciled_amount, 100)

    def test_a_debit_and_its_return_in_one_statement(self):
        statement = self.book(
            entry("RD", 100, self.ids[1], narrative=["Grant", "ACCOUNT_CLOSED"]),
            entry("D", 100, self.ids[0]),
            entry("D", 100, self.ids[1]),
        )
        self.assertEqual(
            [o for o, _r in self.outcomes(statement)], ["reversed", "reconciled", "reconciled"]
        )
        self.assertStates(self.envelope, "reconciled", "reversed", "sent")
        self.assertEqual(self.disbursements(self.envelope)[1].reason_code, "ACCOUNT_CLOSED")

    def test_a_return_days_later_as_a_credit_with_its_id(self):
        self.book(entry("D", 100, self.ids[0]))
        self.book(entry("C", 100, self.ids[0]), number="2/1", opening="900,00")
        self.assertStates(self.envelope, "reversed", "sent", "sent")

    def test_the_same_debit_twice_counts_once(self):
        statement = self.book(entry("D", 100, self.ids[0]), entry("D", 100, self.ids[0]))
        self.assertEqual(
            self.outcomes(statement),
            [("reconciled", False), ("error", "DUPLICATE_DISBURSEMENT")],
        )
        later = self.book(entry("D", 100, self.ids[0]), number="2/1", opening="800,00")
        self.assertEqual(self.outcomes(later), [("error", "DUPLICATE_DISBURSEMENT")])
        self.assertEqual(self.envelope.reconciled_count, 1)

    def test_the_same_return_twice_counts_once(self):
        statement = self.book(
            entry("D", 100, self.ids[0]),
            entry("RD", 100, self.ids[0]),
            entry("RD", 100, self.ids[0]),
        )
        self.assertEqual(
            self.outcomes(statement)[1:], [("reversed", False), ("error", "INVALID_REVERSAL")]
        )
        later = self.book(entry("RD", 100, self.ids[0]), number="2/1", opening="1100,00")
        self.assertEqual(self.outcomes(later), [("error", "INVALID_REVERSAL")])
        self.assertEqual(self.envelope.reversed_count, 1)

    def test_another_amount_never_reconciles_nor_reverses(self):
        statement = self.book(entry("D", "999,00", self.ids[0]), entry("D", 100, self.ids[1]))
        self.assertEqual(
            self.outcomes(statement), [("error", "AMOUNT_MISMATCH"), ("reconciled", False)]
        )
        later = self.book(entry("RD", "50,00", self.ids[1]), number="2/1", opening="-99,00")
        self.assertEqual(self.outcomes(later), [("error", "AMOUNT_MISMATCH")])
        self.assertStates(self.envelope, "sent", "reconciled", "sent")

    def test_bank_charges_and_foreign_credits_disturb_nothing(self):
        statement = self.book(
            entry("D", "5,00", "CHARGES"),
            entry("D", 100, self.ids[0]),
            entry("C", "70,00", "NONREF"),
            entry("RD", "1,00", "SOMETHING"),
        )
        self.assertEqual(
            self.outcomes(statement),
            [
                ("error", "INVALID_DISBURSEMENT_ID"),
                ("reconciled", False),
                ("error", "INVALID_DISBURSEMENT_ID"),
                ("error", "INVALID_REVERSAL"),
            ],
        )
        self.assertStates(self.envelope, "reconciled", "sent", "sent")

    def test_a_longer_reference_that_begins_like_ours_is_not_ours(self):
        statement = self.book(entry("D", 100, self.ids[0] + "X"))
        self.assertEqual(self.outcomes(statement), [("error", "INVALID_DISBURSEMENT_ID")])

    def test_a_return_without_debit_is_refused(self):
        statement = self.book(entry("RD", 100, self.ids[0]))
        self.assertEqual(self.outcomes(statement), [("error", "INVALID_REVERSAL")])
        self.assertStates(self.envelope, "sent", "sent", "sent")

    def test_payments_that_cannot_have_been_debited_say_why(self):
        payments = self.disbursements(self.envelope)
        payments[0].state, payments[1].state, payments[2].state = (
            "cancelled",
            "rejected",
            "resolved",
        )
        self.env.flush_all()
        statement = self.book(*(entry("D", 100, given) for given in self.ids))
        self.assertEqual(
            [reason for _outcome, reason in self.outcomes(statement)],
            ["CANCELLED_DISBURSEMENT", "REJECTED_DISBURSEMENT", "NOT_SENT"],
        )
        self.assertStates(self.envelope, "cancelled", "rejected", "resolved")

    def test_a_payment_whose_batch_has_no_known_outcome_is_proved_by_its_debit(self):
        self.disbursements(self.envelope)[0].state = "unknown"
        self.env.flush_all()
        self.book(entry("D", 100, self.ids[0]))
        self.assertStates(self.envelope, "reconciled", "sent", "sent")

    def test_a_payment_whose_batch_was_not_called_for_is_proved_by_nothing(self):
        payment = self.disbursements(self.envelope)[0]
        payment.state = "batched"
        self.env.flush_all()
        statement = self.book(entry("D", 100, self.ids[0]))
        self.assertEqual(self.outcomes(statement), [("error", "NOT_SENT")])
        with trap_jobs(), self.assertRaisesRegex(UserError, "does not allow this match"):
            statement.line_ids.with_user(self.officer)._match_by_hand(payment, "by phone")
        for status in ("accepted", "rejected"):
            with trap_jobs():
                [answer] = self.bank_api.update_status_of_disbursements(
                    [{"disbursement_id": self.ids[0], "status": status}]
                )
            self.assertEqual(answer["response_error_codes"], ["STATUS_CONTRADICTS"])
        self.assertStates(self.envelope, "batched", "sent", "sent")
        self.env["g2p.bank.call"]._start("initiate_payment", "made", payment.batch_id)
        self.book(entry("D", 100, self.ids[0]), number="2/1", opening="900,00")
        self.assertStates(self.envelope, "reconciled", "sent", "sent")

    def test_a_debit_from_another_of_our_accounts_is_not_booked(self):
        self.create_account(self.bank, name="Other", account_number="TEST0002")
        statement = self.book(entry("D", 100, self.ids[0]), account="TEST0002")
        self.assertEqual(self.outcomes(statement), [("error", "ACCOUNT_MISMATCH")])
        self.assertStates(self.envelope, "sent", "sent", "sent")

    def test_a_reversed_credit_waits_for_an_officer(self):
        statement = self.book(entry("RC", 100, self.ids[0]))
        self.assertEqual(self.outcomes(statement), [("error", "REVERSED_CREDIT")])

    def test_an_envelope_whose_payments_all_ended_is_settled(self):
        self.book(*(entry("D", 100, given) for given in self.ids))
        self.envelope._advance()
        self.assertEqual(self.envelope.state, "settled")

    def test_a_statement_waits_for_the_ones_before_it(self):
        first = self.statement(self.upload(self.text([entry("D", 100, self.ids[0])])))
        text = self.text([entry("RD", 100, self.ids[0])], number="2/1", opening="900,00")
        second = self.statement(self.upload(text))
        with self.assertRaisesRegex(RetryableJobError, "comes first") as caught:
            second._process_statement()
        self.assertTrue(caught.exception.ignore_retry, "waiting is no attempt")
        self.process(first)
        self.process(second)
        self.assertStates(self.envelope, "reversed", "sent", "sent")

    def test_slices_meet_the_same_end(self):
        self.env["ir.config_parameter"].set_param("g2p_bridge.match_size", "1")
        self.book(
            entry("D", 100, self.ids[0]),
            entry("RD", 100, self.ids[0]),
            entry("D", 100, self.ids[1]),
        )
        self.assertStates(self.envelope, "reversed", "reconciled", "sent")

    def test_slices_meet_the_same_end_in_any_order_and_however_often(self):
        self.env["ir.config_parameter"].set_param("g2p_bridge.match_size", "2")
        for number, order in enumerate(permutations(range(3)), start=1):
            envelope = self.sent_envelope(3)
            ids = self.disbursements(envelope).mapped("disbursement_id")
            entries = [
                entry("RD", 100, ids[0]),
                entry("D", 100, ids[0]),
                entry("D", 100, ids[1]),
                entry("D", 1, "CHARGES"),
                entry("D", 100, ids[0]),
            ]
            statement = self.statement(self.upload(self.text(entries, number=f"{number}/1")))
            jobs = self.matching_jobs(statement, statement._process_statement)
            self.assertEqual([job.args for job in jobs], [("debits", n, n + 2) for n in (0, 2, 4)])
            todo = []
            for index in (*order, order[0], order[2]):
                self.assertEqual(statement.state, "received")
                todo += self.matching_jobs(statement, jobs[index].perform)
            # again, for the last slice cannot know that it was the last before
            self.assertEqual({job.args for job in todo}, {("credits", 0, None)})
            for job in todo:
                job.perform()
            self.env.invalidate_all()
            self.assertEqual(statement.state, "processed")
            self.assertStates(envelope, "reversed", "reconciled", "sent")
            first, _charge, _second, again = self.outcomes(statement)[1:]
            twice = {("reconciled", False), ("error", "DUPLICATE_DISBURSEMENT")}
            self.assertEqual({first, again}, twice)

    def test_returns_wait_until_the_last_slice_of_debits_is_matched(self):
        self.env["ir.config_parameter"].set_param("g2p_bridge.match_size", "1")
        entries = [entry("D", 100, given) for given in self.ids]
        statement = self.statement(
            self.upload(self.text([*entries, entry("RD", 100, self.ids[0])]))
        )
        first, second, third = self.matching_jobs(statement, statement._process_statement)
        self.assertEqual(self.matching_jobs(statement, first.perform), [])
        self.assertEqual(self.matching_jobs(statement, third.perform), [])
        [returns] = self.matching_jobs(statement, second.perform)
        self.assertEqual(returns.args, ("credits", 0, None))

    def test_a_job_of_an_earlier_version_leaves_no_entry_out(self):
        """It counts by the ids of entries, not by their places."""
        statement = self.statement(
            self.upload(self.text([entry("D", 100, self.ids[0]), entry("RD", 100, self.ids[0])]))
        )
        for step in ("credits", "debits"):
            jobs = self.matching_jobs(
                statement, lambda step=step: statement._process_statement(step, 1_000_000)
            )
            if step == "credits":
                self.assertEqual([job.args for job in jobs], [("debits", 0, None)])
        self.env.invalidate_all()
        self.assertEqual(statement.state, "processed")
        self.assertStates(self.envelope, "reversed", "sent", "sent")

    def test_statements_of_an_account_are_matched_one_after_the_other_without_a_wait(self):
        with trap_jobs() as trap:
            statements = [
                self.statement(
                    self.upload(self.text([entry("D", 100, given)], number=f"{number}/1"))
                )
                for number, given in enumerate(self.ids, start=1)
            ]
        self.assertEqual([job.recordset for job in trap.enqueued_jobs], statements[:1])
        with self.assertRaises(RetryableJobError):
            statements[1]._process_statement()
        for statement, following in pairwise(statements):
            with trap_jobs() as trap:
                statement._process_statement()
            found = [
                job.recordset.id
                for job in trap.enqueued_jobs
                if job.method_name == "_process_statement"
            ]
            self.assertEqual(found, [following.id])
        with trap_jobs() as trap:
            statements[0]._enqueue_unprocessed(limit=10)  # the cron
        self.assertEqual([job.recordset for job in trap.enqueued_jobs], statements[2:])

    def test_several_statements_of_a_file_are_matched_one_after_the_other(self):
        texts = [
            self.text([entry("D", 100, given)], number=f"{number}/1")
            for number, given in enumerate(self.ids[:2], start=1)
        ]
        with trap_jobs() as trap:
            self.upload("".join(texts))
        [job] = trap.enqueued_jobs
        following = self.env["g2p.account.statement"].search([], limit=1, order="id desc")
        self.assertGreater(following.id, job.recordset.id)
        with trap_jobs() as trap:
            job.perform()
        self.assertIn(following.id, [job.recordset.id for job in trap.enqueued_jobs])

    def test_the_pbms_reads_the_captured_recon_fields(self):
        statement = self.book(
            entry("D", 100, self.ids[0], bank_reference="BANKREF1"),
            entry("RD", 100, self.ids[0], bank_reference="BANKREF2", narrative=["x", "DORMANT"]),
            entry("D", 100, self.ids[0]),
        )
        [answer] = self.api.get_disbursement_status([self.ids[0]])
        records = answer["disbursement_recon_records"]
        [recon] = records["disbursement_recon_payloads"]
        [error] = records["disbursement_error_recon_payloads"]
        self.assertEqual(
            {name: recon[name] for name in recon if name != "bank_disbursement_batch_id"},
            {
                "disbursement_id": self.ids[0],
                "disbursement_envelope_id": self.envelope.disbursement_envelope_id,
                "beneficiary_name_from_bank": "",
                "remittance_reference_number": "BANKREF1",
                "remittance_statement_id": statement.name,
                "remittance_statement_number": "1",
                "remittance_statement_sequence": "1",
                "remittance_entry_sequence": "1",
                "remittance_entry_date": "2026-11-23T00:00:00",
                "remittance_value_date": "2026-11-23T00:00:00",
                "reversal_found": True,
                "reversal_statement_id": statement.name,
                "reversal_statement_number": "1",
                "reversal_statement_sequence": "1",
                "reversal_entry_sequence": "2",
                "reversal_entry_date": "2026-11-23T00:00:00",
                "reversal_value_date": "2026-11-23T00:00:00",
                "reversal_reason": "DORMANT",
            },
        )
        self.assertEqual(
            (error["error_reason"], error["entry_sequence"]), ("DUPLICATE_DISBURSEMENT", "3")
        )

    def test_matching_costs_the_same_queries_for_any_number_of_entries(self):
        counts = {3: [], 60: []}
        for number, size in enumerate((3, 60) * 3, start=1):  # the first fill caches
            envelope = self.sent_envelope(size)
            ids = self.disbursements(envelope).mapped("disbursement_id")
            statement = self.statement(
                self.upload(
                    self.text([entry("D", 100, given) for given in ids], number=f"{number}/1")
                )
            )
            self.env.flush_all()
            self.env.invalidate_all()
            before = self.env.cr.sql_log_count
            statement._process_statement()
            counts[size].append(self.env.cr.sql_log_count - before)
            self.assertEqual(statement.state, "processed")
        self.assertEqual(min(counts[3]), min(counts[60]))

    def test_sharing_out_costs_the_same_queries_for_any_number_of_entries(self):
        """But for the jobs themselves."""
        counts = {3: [], 60: []}
        for number, size in enumerate((3, 60, 3, 60, 3, 60), start=1):
            self.env["ir.config_parameter"].set_param("g2p_bridge.match_size", str(size // 3))
            ids = self.disbursements(self.sent_envelope(size)).mapped("disbursement_id")
            entries = [entry("D", 100, given) for given in ids]
            statement = self.statement(self.upload(self.text(entries, number=f"{number}/1")))
            slices = self.matching_jobs(statement, statement._process_statement)
            self.assertEqual(len(slices), 3)
            self.env.invalidate_all()
            before = self.env.cr.sql_log_count
            todo = self.matching_jobs(statement, slices[1].perform)
            counts[size].append(self.env.cr.sql_log_count - before)
            for job in (slices[0], slices[2]):
                todo += self.matching_jobs(statement, job.perform)
            self.assertEqual(self.matching_jobs(statement, todo[0].perform), [])
            self.assertEqual(statement.state, "processed")
        self.assertEqual(min(counts[3]), min(counts[60]))


@tagged("post_install", "-at_install")
class TestWorklist(StatementCase):
    """What an officer does with entries that did not match."""

    def line(self, *values, **text_values):
        return self.book(entry(*values), **text_values).line_ids.with_user(self.officer)

    def test_a_charge_is_dismissed_with_a_note(self):
        line = self.line("D", "5,00", "CHARGES")
        line._dismiss("bank charge of November")
        self.assertTrue(line.is_handled)
        self.assertEqual(
            (line.handled_by_id, line.handling_note), (self.officer, "bank charge of November")
        )
        with self.assertRaises(UserError):
            line._dismiss("again")

    def test_a_debit_with_a_garbled_reference_is_matched_by_hand(self):
        line = self.line("D", 100, "GARBLED")
        payment = self.disbursements(self.envelope)[0]
        line._match_by_hand(payment, "the bank cut the reference")
        self.assertStates(self.envelope, "reconciled", "sent", "sent")
        self.assertEqual((line.outcome, line.matched_disbursement_id), ("reconciled", payment))

    def test_a_wrong_match_by_hand_is_refused(self):
        payment = self.disbursements(self.envelope)[0]
        with self.assertRaisesRegex(UserError, "amounts"):
            self.line("D", "99,00", "GARBLED")._match_by_hand(payment, "other amount")
        self.create_account(self.bank, name="Other", account_number="TEST0002")
        with self.assertRaisesRegex(UserError, "another account"):
            line = self.line("D", 100, "GARBLED", account="TEST0002")
            line._match_by_hand(payment, "other account")
        payment.state = "cancelled"
        self.env.flush_all()
        self.env.invalidate_all()
        line = self.line("D", 100, "GARBLED2", number="2/1")
        with self.assertRaisesRegex(UserError, "state"), self.env.cr.savepoint():
            line._match_by_hand(payment, "cancelled")
        self.assertStates(self.envelope, "cancelled", "sent", "sent")

    def test_a_viewer_may_not(self):
        line = self.line("D", "5,00", "CHARGES")
        viewer = self.create_user("test_viewer", "g2p_bridge.group_viewer")
        with self.assertRaises(AccessError):
            line.with_user(viewer)._dismiss("no")


@tagged("post_install", "-at_install")
class TestStatusUpdates(StatementCase):
    """update_status_of_disbursements: the bank's word on single payments."""

    def update(self, *rows):
        return self.bank_api.update_status_of_disbursements(
            [
                {"disbursement_id": given, "status": status, "reason_code": code}
                for given, status, code in rows
            ]
        )

    def test_a_rejected_payment_ends_with_its_reason(self):
        answer = self.update((self.ids[0], "rejected", "AC04"), (self.ids[1], "accepted", ""))
        self.assertEqual([row["status"] for row in answer], ["rejected", "sent"])
        self.assertStates(self.envelope, "rejected", "sent", "sent")
        self.assertEqual(self.disbursements(self.envelope)[0].reason_code, "AC04")

    def test_only_who_ends_the_last_payment_has_the_next_step_looked_for(self):
        """A bank tells a million payments in a thousand calls: not each of them has a job."""
        with trap_jobs() as trap:
            self.update((self.ids[0], "accepted", ""), (self.ids[1], "rejected", "AC04"))
            trap.assert_jobs_count(0)
        with trap_jobs() as trap:
            self.update((self.ids[0], "rejected", ""), (self.ids[2], "rejected", "AC04"))
            trap.assert_jobs_count(1, only=self.envelope._advance)

    def test_an_accepted_one_of_unknown_outcome_is_sent(self):
        self.disbursements(self.envelope)[0].state = "unknown"
        self.env.flush_all()
        [answer] = self.update((self.ids[0], "accepted", ""))
        self.assertEqual((answer["status"], answer["response_error_codes"]), ("sent", []))

    def test_what_contradicts_is_said_and_stops_no_other(self):
        self.disbursements(self.envelope)[0].state = "reconciled"
        self.env.flush_all()
        first, second = self.update(
            (self.ids[0], "rejected", "AC04"), (self.ids[1], "rejected", "AC06")
        )
        self.assertEqual(first["response_error_codes"], ["STATUS_CONTRADICTS"])
        self.assertEqual(second["response_error_codes"], [])
        self.assertStates(self.envelope, "reconciled", "rejected", "sent")

    def test_rows_of_a_wrong_form_are_named_and_nothing_changes(self):
        errors = self.assertRefused(
            "INVALID_DISBURSEMENT_PAYLOAD",
            self.bank_api.update_status_of_disbursements,
            [
                {"disbursement_id": self.ids[0], "status": "rejected"},
                {"disbursement_id": "no-such-id", "status": "paid", "value_date": "today"},
                "row",
            ],
        )
        self.assertEqual([error["index"] for error in errors], [1, 2])
        self.assertEqual(
            errors[0]["response_error_codes"],
            ["INVALID_DISBURSEMENT_ID", "INVALID_STATUS", "INVALID_VALUE_DATE"],
        )
        self.assertStates(self.envelope, "sent", "sent", "sent")

    def test_a_pbms_may_not(self):
        with self.assertRaises(AccessError):
            self.api.update_status_of_disbursements([])
