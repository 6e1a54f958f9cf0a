from decimal import Decimal

from odoo.tests import Form, tagged

from odoo.addons.g2p_bridge.models.g2p_bridge_error import BridgeError
from odoo.addons.g2p_bridge.services import mt940
from odoo.addons.g2p_bridge.services.disbursement_id import is_valid, new_ids

from .statement_case import StatementCase, entry, statement_text
from .vacuum import vacuum_past


@tagged("post_install", "-at_install")
class TestForms(StatementCase):
    """One statement in every form in which banks send it: the same payment is reconciled."""

    def setUp(self):
        super().setUp()
        self.plain = self.text([entry("D", 100, self.ids[0], narrative=["Fran\u00e7ois"])])

    def assertBooked(self, content):
        statements = self.env["g2p.account.statement"].sudo()._upload(content, "", self.bank)
        self.env.flush_all()
        for statement in statements:
            self.process(statement)
        self.assertEqual(statements.mapped("state"), ["processed"] * len(statements))
        self.assertStates(self.envelope, "reconciled", "sent", "sent")
        return statements

    def test_every_line_end(self):
        for end in (b"\r\n", b"\r", b"\r\r\n"):
            with self.subTest(end=end), self.env.cr.savepoint() as savepoint:
                statement = self.assertBooked(self.plain.encode().replace(b"\n", end))
                self.assertEqual(statement.line_ids.narrative, "Fran\u00e7ois")
                savepoint.rollback()
                self.env.invalidate_all()

    def test_every_encoding(self):
        for encoding in ("utf-8", "utf-8-sig", "utf-16", "latin-1", "cp852"):
            with self.subTest(encoding=encoding), self.env.cr.savepoint() as savepoint:
                statement = self.assertBooked(self.plain.encode(encoding))
                self.assertEqual(statement.line_ids.narrative, "Fran\u00e7ois")
                savepoint.rollback()
                self.env.invalidate_all()

    def test_blocks_of_a_swift_message(self):
        head = "{1:F01BANKDEFFAXXX0000000000}{2:O9400000261123BANKDEFFAXXX00000000002611230000N}"
        body = self.plain.replace("\n-\n", "\n-}{5:{CHK:1234567890AB}}\n")
        for text in (head + "{4:\n" + body, head + "{3:{108:X}}{4:" + body):
            with self.subTest(text=text[:120]), self.env.cr.savepoint() as savepoint:
                self.assertBooked(text.encode())
                savepoint.rollback()
                self.env.invalidate_all()

    def test_several_pages(self):
        first = self.text([entry("D", 100, self.ids[0])], number="5/1", page="FM")
        last = self.text([entry("D", "5,00", "FEE")], number="5/2", opening="900,00", page="MF")
        statement = self.assertBooked((first + last).encode())
        self.assertEqual((len(statement), statement.line_count), (1, 2))
        self.assertEqual((statement.opening_balance, statement.closing_balance), (1000, 895))

    def test_one_bad_statement_of_several_refuses_the_file(self):
        """Nothing of it is booked, and the same statements can come again without it."""
        good = self.text([entry("D", 100, self.ids[0])])
        for bad in (
            self.text([], account="9876543210", number="2/1"),
            self.text([], currency="EUR", number="2/1"),
            self.text([], number="2/1")[:-40],
        ):
            for text in (good + bad, bad + good):
                with self.assertRaises(BridgeError):
                    self.upload(text)
        self.assertFalse(self.env["g2p.account.statement"].search([]))
        self.assertBooked(good.encode())

    def test_the_turn_of_the_year_between_value_and_entry_date(self):
        text = self.plain.replace(":61:2611231123", ":61:2612310102").replace("261123", "270102")
        statement = self.assertBooked(text.encode())
        line = statement.line_ids
        self.assertEqual((str(line.value_date), str(line.entry_date)), ("2026-12-31", "2027-01-02"))


@tagged("post_install", "-at_install")
class TestReturns(StatementCase):
    """Returns before their debit, twice and in part."""

    def test_a_return_before_its_debit_is_booked_once_the_debit_comes(self):
        early = self.book(entry("RD", 100, self.ids[0], narrative=["Grant", "AC04"]))
        self.assertEqual(self.outcomes(early), [("error", "INVALID_REVERSAL")])
        self.assertStates(self.envelope, "sent", "sent", "sent")
        later = self.book(entry("D", 100, self.ids[0]), number="2/1", opening="1100,00")
        self.assertEqual(self.outcomes(early), [("reversed", False)])
        self.assertEqual(self.outcomes(later), [("reconciled", False)])
        self.assertStates(self.envelope, "reversed", "sent", "sent")
        self.assertEqual(self.disbursements(self.envelope)[0].reason_code, "AC04")
        self.assertEqual((early.problem_count, self.envelope.reversed_amount), (0, 100))
        [answer] = self.api.get_disbursement_status([self.ids[0]])
        [recon] = answer["disbursement_recon_records"]["disbursement_recon_payloads"]
        self.assertEqual(
            (recon["remittance_statement_id"], recon["reversal_statement_id"]),
            (later.name, early.name),
        )

    def test_of_two_returns_before_the_debit_one_counts(self):
        early = self.book(entry("RD", 100, self.ids[0]), entry("C", 100, self.ids[0]))
        later = self.book(
            entry("D", 100, self.ids[0]),
            entry("RD", 100, self.ids[0]),
            number="2/1",
            opening="1200,00",
        )
        self.assertEqual(
            self.outcomes(early) + self.outcomes(later),
            [
                ("reversed", False),
                ("error", "INVALID_REVERSAL"),
                ("reconciled", False),
                ("error", "INVALID_REVERSAL"),
            ],
        )
        self.assertEqual((self.envelope.reversed_count, self.envelope.reversed_amount), (1, 100))

    def test_an_early_return_that_an_officer_handled_stays_handled(self):
        early = self.book(entry("RD", 100, self.ids[0]))
        early.line_ids.with_user(self.officer)._dismiss("the bank says it was a mistake")
        self.book(entry("D", 100, self.ids[0]), number="2/1", opening="1100,00")
        self.assertStates(self.envelope, "reconciled", "sent", "sent")

    def test_an_early_return_of_another_amount_is_never_booked(self):
        early = self.book(entry("RD", "40,00", self.ids[0]))
        self.assertEqual(self.outcomes(early), [("error", "AMOUNT_MISMATCH")])
        self.book(entry("D", 100, self.ids[0]), number="2/1", opening="1040,00")
        self.assertEqual(self.outcomes(early), [("error", "AMOUNT_MISMATCH")])
        self.assertStates(self.envelope, "reconciled", "sent", "sent")

    def test_an_early_return_is_booked_after_a_debit_that_is_matched_by_hand(self):
        early = self.book(entry("RD", 100, self.ids[0]))
        debit = self.book(entry("D", 100, "GARBLED"), number="2/1", opening="1100,00")
        payment = self.disbursements(self.envelope)[0]
        debit.line_ids.with_user(self.officer)._match_by_hand(payment, "the bank cut it")
        self.assertEqual(self.outcomes(early), [("reversed", False)])
        self.assertStates(self.envelope, "reversed", "sent", "sent")

    def test_returns_twice_and_in_part_change_nothing(self):
        self.book(entry("D", 100, self.ids[0]), entry("D", 100, self.ids[1]))
        later = self.book(
            entry("RD", 100, self.ids[0]),
            entry("C", 100, self.ids[0]),
            entry("RD", "40,00", self.ids[1]),
            number="2/1",
            opening="800,00",
        )
        again = self.book(entry("RD", 100, self.ids[0]), number="3/1", opening="1040,00")
        self.assertEqual(
            self.outcomes(later) + self.outcomes(again),
            [
                ("reversed", False),
                ("error", "INVALID_REVERSAL"),
                ("error", "AMOUNT_MISMATCH"),
                ("error", "INVALID_REVERSAL"),
            ],
        )
        self.assertStates(self.envelope, "reversed", "reconciled", "sent")
        self.assertEqual(self.envelope.reversed_amount, 100)


@tagged("post_install", "-at_install")
class TestReferences(StatementCase):
    """Where a payment's id may stand, and what only looks like it."""

    def test_another_field_or_case(self):
        given = self.ids[0]
        for number, (reference, bank_reference, narrative) in enumerate(
            (
                (given.lower(), "B1", ["Grant"]),
                (f" {given} ", "B1", ["Grant"]),
                ("NONREF", given, ["Grant"]),
                ("NONREF", "B1", ["Grant", given]),
                ("NONREF", "B1", [f"Grant of {given.lower()}, November"]),
                ("", "B1", [f"166?00PAYMENT?20EREF+{given}?21KREF+77?32A PERSON"]),
                ("NONREF", "B1", [f"166?00PAYMENT?20{given}?21GRANT"]),
                ("KREF+77", "B1", [f"/EREF/{given}/REMI/GRANT"]),
                ("OTHER", "B1", [f"EREF: {given}"]),
                ("NONREF", given, [f"EREF+{given}", given.lower()]),
            ),
            start=1,
        ):
            with self.subTest(number=number), self.env.cr.savepoint() as savepoint:
                statement = self.book(
                    entry("D", 100, reference, bank_reference=bank_reference, narrative=narrative)
                )
                self.assertEqual(self.outcomes(statement), [("reconciled", False)])
                self.assertStates(self.envelope, "reconciled", "sent", "sent")
                savepoint.rollback()
                self.env.invalidate_all()

    def test_what_is_not_surely_ours_is_for_an_officer(self):
        given, other = self.ids[:2]
        wrong = given[:-1] + ("A" if given[-1] != "A" else "B")
        dotless = given.replace("I", "\u0131").replace("S", "\u017f").replace("K", "\u212a")
        cases = [
            ("NONREF", "B1", [given, other]),
            ("NONREF", given, [f"EREF+{other}"]),
            ("NONREF", "B1", [wrong]),
            ("NONREF", "B1", [f"{given}X"]),
            ("NONREF", "B1", [f"X{given}"]),
            ("NONREF", "B1", [f"7{given} {given}8"]),
            ("NONREF", "B1", [f"{given}-2", f"INV-{given}", f"{given}_2"]),
            ("NONREF", "B1", [f"{given}/2", f"2/{given}"]),
            ("NONREF", "B1", [f"\u00e9{given}", f"{given}\u00e9"]),
            ("NONREF", "B1", [given[:8], given[8:]]),
            (f"{given}X", "B1", ["Grant"]),
            (f"{given}-2", "B1", ["Grant"]),
            (f"{given}/2", "B1", ["Grant"]),
            (given[:15], "B1", ["Grant"]),
        ]
        if dotless != given:
            cases += [(dotless, "B1", ["Grant"]), ("NONREF", "B1", [dotless])]
        statement = self.book(
            *(
                entry("D", 100, reference, bank_reference=bank, narrative=narrative)
                for reference, bank, narrative in cases
            ),
            entry("D", 100, self.ids[2]),
        )
        self.assertEqual(
            self.outcomes(statement),
            [("error", "INVALID_DISBURSEMENT_ID")] * len(cases) + [("reconciled", False)],
        )
        self.assertStates(self.envelope, "sent", "sent", "reconciled")

    def test_letters_whose_capitals_are_a_to_z_make_no_id(self):
        hooks = self.env["g2p.bank.connector"].sudo()
        given = next(text for text in new_ids(5000) if "S" in text)
        for text in (given.replace("S", "\u017f", 1), given.replace("S", "\u017f", 1).lower()):
            self.assertTrue(is_valid(text.upper()))
            [parsed] = mt940.parse(self.text([entry("D", 1, text, narrative=[text])]))
            self.assertEqual(hooks.retrieve_disbursement_id(parsed.entries[0]), "")

    def test_what_the_id_stands_in_must_agree_wherever_it_stood(self):
        statement = self.book(
            entry("D", "5,00", "NONREF", narrative=[f"Fee for {self.ids[0]}"]),
            entry("C", 100, "NONREF", narrative=[f"Return of {self.ids[1]}"]),
            entry("D", 100, self.ids[2]),
        )
        self.assertEqual(
            self.outcomes(statement),
            [("error", "AMOUNT_MISMATCH"), ("error", "INVALID_REVERSAL"), ("reconciled", False)],
        )


@tagged("post_install", "-at_install")
class TestLibraryTraps(StatementCase):
    """What the library mt-940 does by itself, and must not do here."""

    def test_a_reference_that_it_would_cut_to_ours_is_not_ours(self):
        statement = self.book(entry("D", 100, self.ids[0] + "7"), entry("D", 100, self.ids[1]))
        self.assertEqual(
            statement.line_ids.sorted("entry_sequence").mapped("customer_reference"),
            [self.ids[0] + "7", self.ids[1]],
        )
        self.assertStates(self.envelope, "sent", "reconciled", "sent")

    def test_empty_lines_of_the_text_stay_where_they_are(self):
        """Banks say what a line means by its place: the sixth is the reason of a return."""
        lines = ["Grant", "", "", "BEN1", "", "AC04"]
        statement = self.book(entry("D", 100, self.ids[0], narrative=lines))
        self.assertEqual(statement.line_ids.narrative.split("\n"), lines)

    def test_fragments_are_refused_and_leave_nothing(self):
        whole = self.text([entry("D", 100, self.ids[0])])
        lines = whole.split("\n")
        for part in (
            "\n".join(lines[:-3]),
            "\n".join(lines[1:]),
            "\n".join(lines[4:]),
            "\n".join(line for line in lines if not line.startswith(":60F:")),
            "\n".join(line for line in lines if not line.startswith(":25:")),
            "Dear customer,\nno movements today.\n",
            "/etc/hostname",
            __file__,
        ):
            self.assertRefused("INVALID_STATEMENT", self.bank_api.upload_mt940, part)
        self.assertFalse(self.env["g2p.account.statement"].search([]))
        self.assertEqual(self.book(entry("D", 100, self.ids[0])).state, "processed")


@tagged("post_install", "-at_install")
class TestForeignEntries(StatementCase):
    """Charges, top-ups and the like: normal, and quickly off the worklist."""

    def test_a_thousand_charges_are_dismissed_in_one_go(self):
        statement = self.book(
            *(entry("D", "1,00", "NONREF") for _charge in range(1000)),
            entry("D", 100, self.ids[0]),
            opening="5000,00",
        )
        self.assertEqual((statement.state, statement.problem_count), ("processed", 1000))
        self.assertFalse(statement.hold_reason)
        charges = statement.line_ids.filtered(lambda line: line.outcome == "error")
        self.env.flush_all()
        self.env.invalidate_all()
        before = self.env.cr.sql_log_count
        context = {"active_model": charges._name, "active_ids": charges.ids}
        wizards = self.env["g2p.dismiss.entry"].with_user(self.officer).with_context(**context)
        with Form(wizards) as form:
            form.note = "charges of November"
        form.record.action_dismiss()
        self.env.flush_all()
        self.assertLess(self.env.cr.sql_log_count - before, 60)  # not one for each
        self.env.invalidate_all()
        self.assertEqual(statement.problem_count, 0)
        self.assertEqual(set(charges.mapped("handling_note")), {"charges of November"})
        self.assertEqual(charges.handled_by_id, self.officer)
        self.assertStates(self.envelope, "reconciled", "sent", "sent")

    def test_a_file_of_nothing_but_foreign_entries_is_no_error(self):
        statement = self.book(
            entry("D", "5,00", "NONREF"), entry("C", "900,00", "NONREF"), entry("D", "1,00", "")
        )
        self.assertEqual(
            (statement.state, statement.hold_reason, statement.continuity_note),
            ("processed", False, False),
        )
        self.assertEqual(self.outcomes(statement), [("error", "INVALID_DISBURSEMENT_ID")] * 3)

    def test_payments_never_sent_stay_as_they_are_and_the_others_book(self):
        envelope = self.create_full_envelope(2, cycle_code_mnemonic="2026-12")
        waiting, cancelled = self.disbursements(envelope)
        self.api.cancel_disbursements([cancelled.disbursement_id], reason="died")
        statement = self.book(
            entry("D", 100, waiting.disbursement_id),
            entry("D", 100, self.ids[0]),
            entry("D", 100, cancelled.disbursement_id),
            entry("RD", 100, cancelled.disbursement_id),
            entry("D", 100, self.ids[1]),
        )
        self.assertEqual(
            self.outcomes(statement),
            [
                ("error", "NOT_SENT"),
                ("reconciled", False),
                ("error", "CANCELLED_DISBURSEMENT"),
                ("error", "INVALID_REVERSAL"),
                ("reconciled", False),
            ],
        )
        self.assertStates(envelope, "received", "cancelled")
        self.assertStates(self.envelope, "reconciled", "reconciled", "sent")
        self.assertEqual((envelope.reconciled_count, self.envelope.reconciled_count), (0, 2))


@tagged("post_install", "-at_install")
class TestLimits(StatementCase):
    """How much a file may hold."""

    def test_a_file_with_too_many_entries_is_refused_and_leaves_nothing(self):
        set_param = self.env["ir.config_parameter"].set_param
        set_param("g2p_bridge.statement_max_entries", "2")
        entries = [entry("D", 100, given) for given in self.ids]
        self.assertRefused(
            "STATEMENT_TOO_MANY_ENTRIES", self.bank_api.upload_mt940, self.text(entries)
        )
        two_files = self.text(entries[:2]) + self.text(entries[2:], number="2/1")
        self.assertRefused("STATEMENT_TOO_MANY_ENTRIES", self.bank_api.upload_mt940, two_files)
        self.assertFalse(self.env["g2p.account.statement"].search([]))
        self.assertEqual(self.book(*entries[:2]).state, "processed")

    def test_an_amount_that_would_be_rounded_refuses_the_file(self):
        good = entry("D", 100, self.ids[0])
        for text in (
            self.text([good, entry("D", "100,001", self.ids[1])]),
            self.text([good]).replace("USD1000,00\n", "USD1000,001\n"),
            self.text([good]).replace("USD900,00\n", "USD900,009\n"),
        ):
            with self.assertRaisesRegex(BridgeError, "more decimals than USD"):
                self.upload(text)
        self.assertFalse(self.env["g2p.account.statement"].search([]))
        self.book(entry("D", "100,00000", self.ids[0]))
        self.assertStates(self.envelope, "reconciled", "sent", "sent")

    def test_an_officer_reads_the_limit_in_words(self):
        self.env["ir.config_parameter"].set_param("g2p_bridge.statement_max_entries", "1")
        entries = [entry("D", 100, given) for given in self.ids]
        with self.assertRaisesRegex(BridgeError, "more than 1 entries: send it in parts"):
            self.bank_api.upload_mt940(self.text(entries))

    def test_a_hundred_thousand_entries_in_one_file(self):
        envelope, statement = self.full_statement(100_000)
        # rows that are not committed look to autovacuum like none: as bad as its notes can be
        vacuum_past(self.env.cr, "g2p_account_statement_line")
        self.assertAllReconciled(envelope, statement, 100_000)

    def test_twenty_thousand_entries_where_the_planner_thinks_of_three_payments(self):
        with self.env.cr.savepoint() as before:
            self.full_statement(100_000)
            before.rollback()
        self.env.invalidate_all()
        # a few rows in thousands of pages: so few it expects, and an index seems as long to read
        self.env.cr.execute("ANALYZE g2p_disbursement")
        full = self.full_statement(20_000)
        self.env.cr.execute("ANALYZE g2p_account_statement_line")
        self.assertAllReconciled(*full, 20_000)
        self.env.cr.execute("SELECT reltuples FROM pg_class WHERE relname = 'g2p_disbursement'")
        self.assertGreaterEqual(self.env.cr.fetchone()[0], 20_000)  # it was counted

    def full_statement(self, count):
        """Return an envelope whose payments were all sent, and a statement of all of them."""
        envelope = self.create_envelope(count, cycle_code_mnemonic="2026-12")
        for first in range(1, count, 10_000):
            self.api.create_disbursements(
                envelope.disbursement_envelope_id, self.rows(10_000, first=first)
            )
        self.send_all(envelope)
        self.env.cr.execute(
            "SELECT disbursement_id FROM g2p_disbursement WHERE envelope_id = %s", [envelope.id]
        )
        entries = [entry("D", 100, given) for (given,) in self.env.cr.fetchall()]
        text = statement_text("TEST0001", entries, opening="99999999,00")
        return envelope, self.statement(self.upload(text))

    def assertAllReconciled(self, envelope, statement, count):
        """Have a statement matched, and check that it left nothing."""
        self.process(statement)
        self.assertEqual(
            (statement.state, statement.line_count, statement.problem_count),
            ("processed", count, 0),
        )
        self.assertEqual(envelope.reconciled_count, count)
        self.assertEqual(Decimal(str(envelope.reconciled_amount)), count * 100)
