"""Bank, account, program and mapper on a running stack, as an administrator sets them up."""

import secrets

import requests

from bridge_stack.pbms import Pbms

CURRENCY = "USD"
LINKS_PER_CALL = 5000
PBMS_GROUP = "g2p_bridge.group_pbms_api"


class World:
    """What one program needs to pay: set up over JSON-RPC by the administrator.

    Several may stand on one stack: each has a bank record, an account and a program of its own.

    :param stack: a running :class:`~bridge_stack.stack.Stack` with its example bank
    :param name: of the program, in words
    :param mnemonic: of the program; by default one of its own
    :param mapper: ``local``, ``g2p_connect`` (the stack's stand-in) or None for no look-up
    :param balance: of the account at the bank, as decimal text
    :param bank_values: further values of the sponsor bank's record
    :param user: login and API key of the program system's user; by default one of its own, which
        takes three seconds to make
    :param seed: of the amounts that the program system draws

    The program names its one API user, so worlds with a user of their own do not see each other.

    :ivar pbms: the program system, a :class:`~bridge_stack.pbms.Pbms`
    :ivar account_number: of the funding account
    :ivar login: of the program system's user; ``key`` is its API key
    """

    def __init__(
        self,
        stack,
        name="Child benefit",
        *,
        mnemonic=None,
        mapper="local",
        balance="1000000000.00",
        bank_values=None,
        user=None,
        seed=1,
    ):
        self.stack = stack
        self.admin = stack.admin
        mark = secrets.token_hex(4).upper()
        self.mnemonic = mnemonic or f"PROG{mark}"
        self.account_number = f"ACCT{mark}"
        self.at_bank(
            "/admin/accounts",
            account_number=self.account_number,
            currency=CURRENCY,
            balance=balance,
            account_holder="Ministry",
        )
        self.bank_id = self.create(
            "g2p.sponsor.bank",
            name="Example Bank",
            code=f"EXAMPLE_{mark}",
            base_url=stack.bank_url,
            **{"connector": "example", **(bank_values or {})},
        )
        self.account_id = self.create(
            "g2p.funding.account",
            name=name,
            bank_id=self.bank_id,
            account_number=self.account_number,
            currency_id=self._activate_currency(),
        )
        self.mapper_id = self._create_mapper(mapper)
        self.login, self.key = user or self._create_user(f"pbms-{mark.lower()}")
        users = self.admin.execute("res.users", "search", [("login", "=", self.login)])
        self.program_id = self.create(
            "g2p.benefit.program",
            name=name,
            mnemonic=self.mnemonic,
            funding_account_id=self.account_id,
            mapper_id=self.mapper_id,
            id_mapper_resolution_required=mapper is not None,
            api_user_ids=[(6, 0, users)],
        )
        self.pbms = Pbms(stack, self.login, self.key, self.mnemonic, seed)

    def _create_user(self, login):
        return login, self.stack.create_user(login, [PBMS_GROUP])

    def create(self, model, **values):
        """Create one record as the administrator, and return its id."""
        return self.admin.execute(model, "create", values)

    def _activate_currency(self):
        [currency] = self.admin.execute(
            "res.currency",
            "search_read",
            [("name", "=", CURRENCY)],
            ["active"],
            context={"active_test": False},
        )
        if not currency["active"]:  # a write empties the workers' caches, those of log-ins too
            self.admin.execute("res.currency", "write", [currency["id"]], {"active": True})
        return currency["id"]

    def _create_mapper(self, mapper):
        if mapper is None:
            return False
        values = {"base_url": self.stack.mapper_url} if mapper == "g2p_connect" else {}
        return self.create("g2p.account.mapper", name="Account mapper", provider=mapper, **values)

    def link(self, beneficiary_ids, **values):
        """Give beneficiaries an account in the built-in mapper.

        :param values: further fields of their links, such as those of a wallet
        """
        links = [
            {
                "mapper_id": self.mapper_id,
                "beneficiary_id": beneficiary_id,
                "account_number": f"ACC{beneficiary_id.removeprefix('BEN')}",
                "bank_code": "EXAMPLE_BANK",
                "branch_code": "BR001",
                **values,
            }
            for beneficiary_id in beneficiary_ids
        ]
        for start in range(0, len(links), LINKS_PER_CALL):
            self.admin.execute("g2p.account.link", "create", links[start : start + LINKS_PER_CALL])

    # the bank

    def at_bank(self, path, **body):
        """Call the example bank as its clerk, and return its answer."""
        answer = requests.post(f"{self.stack.bank_url}{path}", json=body, timeout=600)
        answer.raise_for_status()
        return answer.json()

    def settle(self):
        """Have the bank settle what is due, write the account's statement and upload it."""
        self.at_bank("/admin/settle")
        return self.at_bank("/admin/statements", account_number=self.account_number)

    def ledger(self):
        """Return the bank's books of the account: the judge of what was paid."""
        answer = requests.get(
            f"{self.stack.bank_url}/ledger",
            params={"account_number": self.account_number},
            timeout=60,
        )
        answer.raise_for_status()
        return answer.json()

    # the bridge

    def differences(self):
        """Have the bridge check all its books of the world's envelopes; return what differs."""
        envelopes = self.admin.execute(
            "g2p.disbursement.envelope", "search", [("program_id", "=", self.program_id)]
        )
        self.admin.execute("g2p.disbursement.envelope", "action_check_ledger", envelopes)
        return self.admin.execute(
            "g2p.ledger.difference",
            "search_read",
            [("envelope_id", "in", envelopes), ("is_gone", "=", False)],
            ["rule", "subject", "expected", "found"],
        )

    def run_cron(self, name="cron_find_due_work"):
        """Have a cron of the bridge run now, instead of waiting for its tick."""
        [record] = self.admin.execute(
            "ir.model.data",
            "search_read",
            [("module", "=", "g2p_bridge"), ("name", "=", name)],
            ["res_id"],
        )
        self.admin.execute("ir.cron", "method_direct_trigger", [record["res_id"]])
