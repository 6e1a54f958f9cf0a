from datetime import timedelta

from odoo import fields
from odoo.tests.common import TransactionCase, new_test_user

from odoo.addons.g2p_bridge.models.g2p_bridge_error import BridgeError

PBMS_GROUP = "g2p_bridge.group_pbms_api"
BANK_GROUP = "g2p_bridge.group_bank_api"


class BridgeCommon(TransactionCase):
    """A world with one bank, one account, one program and a built-in mapper.

    Own cursors of the product are savepoints of the test's transaction here.
    """

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.registry_enter_test_mode_cls()
        cls.env = cls.env(
            context={**cls.env.context, "tracking_disable": True, "no_reset_password": True}
        )
        # tests upload more in a minute than any bank does
        cls.env["ir.config_parameter"].set_param("g2p_bridge.uploads_per_minute", "0")
        cls.currency = cls.env.ref("base.USD")
        cls.currency.active = True
        cls.bank = cls.create_bank()
        cls.account = cls.create_account(cls.bank)
        cls.mapper = cls.env["g2p.account.mapper"].create({"name": "Test mapper"})
        cls.program = cls.create_program()
        cls.pbms_user = cls.create_user("test_pbms", PBMS_GROUP)
        cls.bank_user = cls.create_user("test_bank", BANK_GROUP)
        cls.officer = cls.create_user("test_officer", "g2p_bridge.group_officer")

    # -- factories ------------------------------------------------------------------------------

    @classmethod
    def create_user(cls, login, groups):
        """Return a user; a machine's user has its API group and nothing else."""
        return new_test_user(cls.env, login, groups=groups)

    @classmethod
    def create_bank(cls, **values):
        return cls.env["g2p.sponsor.bank"].create(
            {"name": "Test bank", "code": "TEST", "base_url": "http://bank.invalid", **values}
        )

    @classmethod
    def create_account(cls, bank, **values):
        return cls.env["g2p.funding.account"].create(
            {
                "name": "Test account",
                "bank_id": bank.id,
                "account_number": "TEST0001",
                "currency_id": cls.currency.id,
                **values,
            }
        )

    @classmethod
    def create_program(cls, **values):
        return cls.env["g2p.benefit.program"].create(
            {
                "name": "Test program",
                "mnemonic": "TESTPROG",
                "funding_account_id": cls.account.id,
                "mapper_id": cls.mapper.id,
                **values,
            }
        )

    @classmethod
    def link(cls, *beneficiary_ids):
        """Give each of the beneficiaries an account in the built-in mapper."""
        return cls.env["g2p.account.link"].create(
            [
                {
                    "mapper_id": cls.mapper.id,
                    "beneficiary_id": beneficiary_id,
                    "account_number": f"ACCOUNT-{beneficiary_id}",
                    "bank_code": "DEST",
                }
                for beneficiary_id in beneficiary_ids
            ]
        )

    @property
    def api(self):
        """The facade, as the PBMS sees it."""
        return self.env["g2p.bridge"].with_user(self.pbms_user)

    @property
    def bank_api(self):
        """The facade, as the bank sees it."""
        return self.env["g2p.bridge"].with_user(self.bank_user)

    def envelope_request(self, **values):
        return {
            "benefit_program_mnemonic": "TESTPROG",
            "disbursement_frequency": "Monthly",
            "cycle_code_mnemonic": "2026-11",
            "number_of_beneficiaries": 3,
            "number_of_disbursements": 3,
            "total_disbursement_amount": 300,
            "disbursement_currency_code": "USD",
            "disbursement_schedule_date": fields.Date.today().isoformat(),
            **values,
        }

    def create_envelope(self, count=3, amount=100, **values):
        """Return an envelope that declares ``count`` payments of ``amount``."""
        answer = self.api.create_disbursement_envelope(
            **self.envelope_request(
                **{
                    "number_of_beneficiaries": count,
                    "number_of_disbursements": count,
                    "total_disbursement_amount": str(count * amount),
                    **values,
                }
            )
        )
        return self.env["g2p.disbursement.envelope"].search(
            [("disbursement_envelope_id", "=", answer["disbursement_envelope_id"])]
        )

    def rows(self, count=3, amount=100, first=1):
        return [
            {
                "mis_reference_number": f"MIS{index}",
                "beneficiary_id": f"BEN{index}",
                "beneficiary_name": f"Person {index}",
                "disbursement_amount": amount,
                "narrative": "Monthly grant",
            }
            for index in range(first, first + count)
        ]

    def create_full_envelope(self, count=3, amount=100, **values):
        """Return an envelope with all its disbursements received."""
        envelope = self.create_envelope(count, amount, **values)
        self.api.create_disbursements(envelope.disbursement_envelope_id, self.rows(count, amount))
        return envelope

    # -- assertions -----------------------------------------------------------------------------

    def assertRefused(self, code, function, *args, **kwargs):
        """Assert that the facade refuses with ``code``, and return its row errors."""
        with self.assertRaises(BridgeError) as caught, self.env.cr.savepoint():
            function(*args, **kwargs)
        self.assertEqual(caught.exception.args[0], code)
        return caught.exception.args[1]

    def disbursements(self, envelope):
        return self.env["g2p.disbursement"].search([("envelope_id", "=", envelope.id)], order="id")

    def assertStates(self, envelope, *states):
        self.env.invalidate_all()
        self.assertEqual(self.disbursements(envelope).mapped("state"), list(states))

    @staticmethod
    def tomorrow():
        return (fields.Date.today() + timedelta(days=1)).isoformat()
