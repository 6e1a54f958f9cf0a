from ast import literal_eval

from odoo.exceptions import AccessError
from odoo.tests import Form, tagged
from odoo.tools.misc import file_open

from .common import BridgeCommon

VIEWER_MENUS = {
    "menu_root",
    "menu_home",
    "menu_banks",
    "menu_program_overview",
    "menu_payments",
    "menu_envelopes",
    "menu_disbursements",
    "menu_batches",
    "menu_statements",
    "menu_account_statements",
    "menu_account_statement_lines",
    "menu_certificates",
    "menu_reconciliation_report",
    "menu_register_files",
}
OFFICER_MENUS = VIEWER_MENUS | {
    "menu_import_envelope",
    "menu_envelope_imports",
    "menu_upload_statement",
    "menu_attention",
    "menu_bulk_actions",
    "menu_configuration",
    "menu_account_links",
}
ADMINISTRATOR_MENUS = OFFICER_MENUS | {
    "menu_setup_checklist",
    "menu_programs",
    "menu_sponsor_banks",
    "menu_funding_accounts",
    "menu_webhooks",
    "menu_account_mappers",
    "menu_trusted_keys",
    "menu_technical",
    "menu_bank_calls",
    "menu_certificate_keys",
    "menu_journal",
    "menu_notices",
}
SYSTEM_MENUS = {"menu_settings"}


@tagged("post_install", "-at_install")
class TestViews(BridgeCommon):
    """Every screen opens for whoever has it, and nobody has more than they may use."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.viewer = cls.create_user("test_viewer", "g2p_bridge.group_viewer")
        cls.administrator = cls.create_user("test_administrator", "g2p_bridge.group_administrator")

    # -- helpers --------------------------------------------------------------------------------

    def menus_of(self, user):
        """Return the names of the addon's menus that the user sees."""
        visible = self.env["ir.ui.menu"].with_user(user)._visible_menu_ids()
        rows = self.env["ir.model.data"].search(
            [
                ("module", "=", "g2p_bridge"),
                ("model", "=", "ir.ui.menu"),
                ("res_id", "in", list(visible)),
            ]
        )
        return set(rows.mapped("name"))

    def actions_of(self, user):
        """Return the window actions behind the menus that the user sees."""
        menus = [self.env.ref(f"g2p_bridge.{name}") for name in self.menus_of(user)]
        actions = [menu.action for menu in menus if menu.action]
        return self.env["ir.actions.act_window"].union(
            *(action for action in actions if action._name == "ir.actions.act_window")
        )

    def open(self, action, user):
        """Load the action's views, and the records behind it, as the web client does."""
        context = literal_eval(action.context or "{}")
        model = self.env[action.res_model].with_user(user).with_context(**context)
        kinds = [kind for _view_id, kind in action.views]
        views = model.get_views([*action.views, (False, "search")])["views"]
        self.assertEqual(set(views), {*kinds, "search"})
        if not model.is_transient():
            model.search_read(literal_eval(action.domain or "[]"), ["display_name"], limit=1)
        return views

    # -- tests ----------------------------------------------------------------------------------

    def test_every_screen_opens_for_whoever_has_its_menu(self):
        for user in (
            self.viewer,
            self.officer,
            self.administrator,
            self.env.ref("base.user_admin"),
        ):
            actions = self.actions_of(user)
            self.assertTrue(actions)
            for action in actions:
                with self.subTest(user=user.login, action=action.name):
                    self.open(action, user)

    def test_menus_show_only_to_groups_that_may_use_them(self):
        self.assertEqual(self.menus_of(self.viewer), VIEWER_MENUS)
        self.assertEqual(self.menus_of(self.officer), OFFICER_MENUS)
        self.assertEqual(self.menus_of(self.administrator), ADMINISTRATOR_MENUS)
        both = self.env.ref("base.user_admin")
        self.assertEqual(self.menus_of(both), ADMINISTRATOR_MENUS | SYSTEM_MENUS)

    def test_a_machine_has_no_menu(self):
        for user in (self.pbms_user, self.bank_user):
            with self.assertRaises(AccessError):
                self.menus_of(user)

    def test_every_screen_has_an_address_that_stays(self):
        for action in self.actions_of(self.env.ref("base.user_admin")):
            if action.target != "new":
                self.assertTrue((action.path or "").startswith("g2p-"), action.name)

    def test_a_viewer_is_offered_no_button_that_moves_anything(self):
        for model in ("disbursement.envelope", "disbursement.batch", "account.statement"):
            arch = (
                self.env[f"g2p.{model}"].with_user(self.viewer).get_view(view_type="form")["arch"]
            )
            header = arch[arch.index("<header") : arch.index("</header>")]
            self.assertNotIn("<button", header)

    def test_an_officer_who_is_no_approver_is_not_offered_to_approve(self):
        model = self.env["g2p.disbursement.envelope"]
        self.assertNotIn(
            "action_approve", model.with_user(self.officer).get_view(view_type="form")["arch"]
        )
        self.assertIn(
            "action_approve", model.with_user(self.administrator).get_view(view_type="form")["arch"]
        )

    def test_the_secret_of_a_bank_is_on_the_form_of_system_administrators_only(self):
        banks = self.env["g2p.sponsor.bank"]
        for user, is_shown in (
            (self.administrator, False),
            (self.env.ref("base.user_admin"), True),
        ):
            arch = banks.with_user(user).get_view(view_type="form")["arch"]
            self.assertEqual('name="secret"' in arch, is_shown)
            self.assertEqual('name="has_secret"' in arch, not is_shown)

    def test_full_account_numbers_are_in_the_views_of_their_group_only(self):
        payments = self.env["g2p.disbursement"]
        for user, is_shown in ((self.officer, False), (self.administrator, True)):
            arch = payments.with_user(user).get_view(view_type="form")["arch"]
            self.assertEqual('name="account_number"' in arch, is_shown)
            self.assertIn('name="account_masked"', arch)

    def test_bank_addons_find_the_place_for_the_fields_of_their_connector(self):
        arch = self.env["g2p.sponsor.bank"].get_view(view_type="form")["arch"]
        self.assertIn('<group name="connector"', arch)

    def test_an_administrator_sets_up_a_bank_in_the_form(self):
        form = Form(self.env["g2p.sponsor.bank"].with_user(self.administrator))
        form.name = "Second bank"
        form.code = "SECOND"
        bank = form.save()
        self.assertEqual((bank.code, bank.untied_statement_policy), ("SECOND", "hold"))

    def test_the_settings_page_keeps_what_is_set(self):
        form = Form(self.env["res.config.settings"].with_user(self.env.ref("base.user_admin")))
        form.g2p_rows_per_call = 1234
        form.save().execute()
        self.assertEqual(self.env["g2p.bridge"]._parameter("rows_per_call"), 1234)

    def test_the_settings_page_switches_a_limit_off_and_on(self):
        page = self.env["res.config.settings"].with_user(self.env.ref("base.user_admin"))
        for value in (0, 7, 0):
            form = Form(page)
            form.g2p_uploads_per_minute = value
            form.save().execute()
            self.assertEqual(self.env["g2p.bridge"]._parameter("uploads_per_minute"), value)
            self.assertEqual(Form(page).g2p_uploads_per_minute, value)
        form.g2p_rows_per_call = 0
        form.save().execute()
        self.assertEqual(self.env["g2p.bridge"]._parameter("rows_per_call"), 10_000)

    def test_the_steps_are_in_the_action_menu_of_officers_only(self):
        steps = {
            "Check funds with bank",
            "Block funds with bank",
            "Resolve",
            "Disburse funds from bank",
        }
        for user, expected in ((self.officer, steps), (self.viewer, set())):
            bindings = self.env["ir.actions.actions"].with_user(user)
            found = bindings.get_bindings("g2p.disbursement.envelope").get("action", ())
            self.assertEqual({action["name"] for action in found} & steps, expected)

    def test_a_step_of_the_action_menu_does_what_its_button_does(self):
        envelope = self.create_full_envelope()
        action = self.env.ref("g2p_bridge.g2p_disbursement_envelope_check_funds_with_bank")
        jobs = self.env["queue.job"].search_count([("method_name", "=", "_check_funds_with_bank")])
        action.with_user(self.officer).with_context(
            active_model=envelope._name, active_ids=envelope.ids, active_id=envelope.id
        ).run()
        self.assertEqual(
            self.env["queue.job"].search_count([("method_name", "=", "_check_funds_with_bank")]),
            jobs + 1,
        )

    def test_the_file_of_a_statement_is_for_who_may_see_account_numbers(self):
        group = self.env.ref("g2p_bridge.group_account_viewer")
        attachment = self.env["ir.attachment"].create({"name": "x.mt940", "raw": b":20:X"})
        statement = self.env["g2p.account.statement"].create(
            {"name": "STMTTEST", "account_id": self.account.id, "attachment_id": attachment.id}
        )
        action = self.env.ref("g2p_bridge.g2p_account_statement_download")
        action = action.with_user(self.viewer).with_context(
            active_model=statement._name, active_ids=statement.ids, active_id=statement.id
        )
        with self.assertRaises(AccessError):
            action.run()
        self.viewer.group_ids += group
        self.assertEqual(action.run()["url"], f"/web/content/{attachment.id}?download=true")

    def test_the_import_template_names_fields_that_exist(self):
        [template] = self.env["g2p.account.link"].get_import_templates()
        with file_open(template["template"].lstrip("/")) as file:
            columns = file.readline().strip().split(",")
        self.assertLessEqual(set(columns), set(self.env["g2p.account.link"]._fields))
