"""An administrator's first hour, with the example bank at the other end."""

from odoo.tests.common import HttpCase, new_test_user, tagged

from .bank_process import BankProcess

ACCOUNT = "4001234501"


@tagged("post_install", "-at_install", "g2p_browser")
class TestSetupTour(HttpCase):
    """In a real browser; an error in its console fails the test."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.bank = BankProcess("--account", f"{ACCOUNT}:USD:5000")
        cls.addClassCleanup(cls.bank.stop)
        company = cls.env["res.company"].create(
            {"name": "Empty ministry", "currency_id": cls.env.ref("base.USD").id}
        )
        cls.user = new_test_user(
            cls.env,
            "tour_administrator",
            name=f"Tour administrator {cls.bank.url}",  # the tour reads it there
            password="tour_administrator",
            groups="g2p_bridge.group_administrator",
            company_id=company.id,
            company_ids=[(6, 0, company.ids)],
        )

    def test_from_an_empty_installation_to_a_program(self):
        self.start_tour(
            "/odoo/g2p-setup", "g2p_bridge_setup", login="tour_administrator", timeout=180
        )
        program = self.env["g2p.benefit.program"].search([("mnemonic", "=", "CHILD_BENEFIT")])
        account = program.funding_account_id
        self.assertEqual(
            (program.company_id, program.mapper_id.name, account.account_number),
            (self.user.company_id, "National register", ACCOUNT),
        )
        self.assertEqual(account.bank_id.code, "TOUR_SAVINGS_BANK")
        call = self.env["g2p.bank.call"].search([("bank_id", "=", account.bank_id.id)])
        self.assertEqual((call.operation, call.state), ("test_connection", "answered"))
        self.assertEqual(self.bank.account(ACCOUNT)["available"], "5000.00")
