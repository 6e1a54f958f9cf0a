from odoo.exceptions import ValidationError
from odoo.tests import Form, tagged

from odoo.addons.g2p_bridge.models.form_hints import code_of

from .common import BridgeCommon

#: models whose forms guide, and fields that say enough by their name
FORMS = {
    "g2p.sponsor.bank": {"company_id", "active"},
    "g2p.funding.account": {"company_id", "active"},
    "g2p.account.mapper": {"company_id", "active"},
    "g2p.account.link": {"company_id", "active", "fa_type"},
    "g2p.benefit.program": {"company_id", "active", "currency_id"},
}


@tagged("post_install", "-at_install")
class TestFormHints(BridgeCommon):
    """The forms of the set-up explain their fields, and fill in what is obvious."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.company = cls.env["res.company"].create({"name": "New ministry"})
        cls.administrator = cls.create_user("hint_admin", "g2p_bridge.group_administrator")
        cls.administrator.write(
            {"company_ids": [(4, cls.company.id)], "company_id": cls.company.id}
        )

    def form(self, model):
        return Form(self.env[model].with_user(self.administrator).with_company(self.company))

    def test_every_field_that_is_filled_in_explains_itself(self):
        for model, plain in FORMS.items():
            arch = self.env[model].get_views([(False, "form")])["models"][model]["fields"]
            for name, described in arch.items():
                field = self.env[model]._fields[name]
                is_input = not field.compute and not field.related and not field.readonly
                is_own = field._module == "g2p_bridge" and field.type != "one2many"
                if is_input and is_own and name not in plain:
                    with self.subTest(model=model, field=name):
                        self.assertTrue(described.get("help"))

    def test_codes_are_made_of_names(self):
        self.assertEqual(code_of("Crédit Agricole & Fils"), "CREDIT_AGRICOLE_FILS")
        self.assertEqual(code_of("بنك"), "")
        self.assertEqual(code_of("x" * 90), "X" * 32)
        self.assertEqual(code_of(False), "")

    def test_a_bank_gets_a_code_and_a_whole_address(self):
        form = self.form("g2p.sponsor.bank")
        form.name = "First Bank"
        form.base_url = "  api.bank.example/g2p "
        self.assertEqual((form.code, form.base_url), ("FIRST_BANK", "https://api.bank.example/g2p"))
        form.code = "first-bank 2"
        bank = form.save()
        self.assertEqual(bank.code, "FIRST_BANK_2")
        self.assertEqual(bank.company_id, self.company)

    def test_a_wrong_address_is_refused_in_plain_words(self):
        form = self.form("g2p.sponsor.bank")
        form.name = "First Bank"
        form.base_url = "https://user:password@bank.example"
        with self.assertRaisesRegex(ValidationError, "without user, password"):
            form.save()

    def test_what_there_is_only_one_of_is_filled_in(self):
        form = self.form("g2p.sponsor.bank")
        form.name = "First Bank"
        bank = form.save()
        form = self.form("g2p.funding.account")
        form.name = "Treasury"
        self.assertEqual(form.bank_id, bank)
        form.account_number = "4001 2345 01"
        account = form.save()
        self.assertEqual(account.account_number, "4001234501")
        form = self.form("g2p.account.mapper")
        form.name = "Register"
        mapper = form.save()
        with self.assertLogs("odoo.tests.form.onchange", "WARNING") as logs:
            form = self.form("g2p.benefit.program")
        form.name = "Child benefit"
        self.assertIn("has no connector", "".join(logs.output))
        self.assertEqual(
            (form.mnemonic, form.funding_account_id, form.mapper_id),
            ("CHILD_BENEFIT", account, mapper),
        )
        self.assertEqual(form.save().currency_id, account.currency_id)

    def test_what_stands_there_is_left_alone(self):
        form = Form(self.program.with_user(self.administrator).sudo())
        form.name = "Another name"
        self.assertEqual((form.mnemonic, form.funding_account_id), ("TESTPROG", self.account))
