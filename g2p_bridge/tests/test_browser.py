from odoo.tests.common import HttpCase, new_test_user, tagged
from odoo.tools import SQL


class BrowserCase(HttpCase):
    """An officer, and an envelope with a payment that came back."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        new_test_user(
            cls.env, "tour_officer", password="tour_officer", groups="g2p_bridge.group_officer"
        )

    def create_envelope_with_a_reversed_payment(self):
        """Return a disbursed envelope: two of its three payments are paid, one came back."""
        bank = self.env["g2p.sponsor.bank"].create({"name": "Tour bank", "code": "TOUR"})
        account = self.env["g2p.funding.account"].create(
            {"name": "Tour account", "bank_id": bank.id, "account_number": "TOUR1"}
        )
        program = self.env["g2p.benefit.program"].create(
            {
                "name": "Tour program",
                "mnemonic": "TOUR",
                "funding_account_id": account.id,
                "id_mapper_resolution_required": False,
            }
        )
        envelope = self.env["g2p.disbursement.envelope"].create(
            {
                "disbursement_envelope_id": "TOURENVELOPE",
                "program_id": program.id,
                "funding_account_id": account.id,
                "currency_id": account.currency_id.id,
                "disbursement_frequency": "Monthly",
                "cycle_code_mnemonic": "TOUR-CYCLE",
                "number_of_beneficiaries": 3,
                "number_of_disbursements": 3,
                "total_disbursement_amount": 300,
                "disbursement_schedule_date": "2026-11-01",
                "state": "disbursed",
            }
        )
        self.store_payments(envelope)
        return envelope

    def store_payments(self, envelope):
        """Write three payments as the pipeline leaves them: by SQL, with their journal."""
        self.env.flush_all()
        self.env.cr.execute(
            SQL(
                """
                INSERT INTO g2p_disbursement
                       (envelope_id, disbursement_id, mis_reference_number, beneficiary_id,
                        beneficiary_name, amount, narrative, state, reason_code, reason,
                        received_at, state_since, changed_xid)
                SELECT %s, 'TOURPAYMENT' || n, 'MIS' || n, 'BEN' || n, 'Person ' || n, 100,
                       'Monthly grant', CASE WHEN n = 3 THEN 'reversed' ELSE 'reconciled' END,
                       CASE WHEN n = 3 THEN 'AC04' END, CASE WHEN n = 3 THEN 'Account closed' END,
                       now() AT TIME ZONE 'utc', now() AT TIME ZONE 'utc', 1
                  FROM generate_series(1, 3) n
                """,
                envelope.id,
            )
        )
        for source, target, count in (
            (None, "received", 3),
            ("received", "resolved", 3),
            ("resolved", "batched", 3),
            ("batched", "sent", 3),
            ("sent", "reconciled", 3),
            ("reconciled", "reversed", 1),
        ):
            self.env["g2p.disbursement.journal"].create(
                {
                    "envelope_id": envelope.id,
                    "source": source,
                    "target": target,
                    "disbursement_count": count,
                    "amount": 100 * count,
                    "created_at": "2026-11-01 08:00:00",
                }
            )
        self.env.flush_all()


@tagged("post_install", "-at_install", "g2p_browser")
class TestBrowser(BrowserCase):
    """What an officer does, in a real browser; an error in its console fails the test."""

    def test_an_officer_finds_out_why_a_payment_came_back(self):
        envelope = self.create_envelope_with_a_reversed_payment()
        self.assertEqual((envelope.reconciled_count, envelope.reversed_count), (2, 1))
        self.start_tour("/odoo/g2p-envelopes", "g2p_bridge_reversed", login="tour_officer")

    def test_html_of_a_caller_is_shown_as_text(self):
        """In a list and in the chatter: it neither runs nor becomes bold."""
        html = "<img src=x onerror=\"document.title='hacked'\"><b>bold</b>"
        envelope = self.create_envelope_with_a_reversed_payment()
        envelope.message_post(body=html)
        self.env.cr.execute("UPDATE g2p_disbursement SET beneficiary_name = %s", [html])
        is_shown = "document.body.innerText.includes('<b>bold</b>')"
        code = """
            const found = document.querySelector("img[src=x]") || document.title === "hacked";
            if (found) { throw new Error("HTML of a caller became a part of the page"); }
            console.log("test successful");
        """
        for path in (
            f"g2p.disbursement.envelope/{envelope.id}",
            "action-g2p_bridge.g2p_disbursement_action",
        ):
            self.browser_js(f"/odoo/{path}", code, is_shown, login="tour_officer")
