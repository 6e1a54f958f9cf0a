"""A bank by ISO 20022 alone: the bridge, a real SFTP server, and somebody else's bank behind it.

The bank is the package mock-bank. It takes what the SFTP server gets, and lays down what it says
where that server shows it: neither knows the bridge.
"""

import secrets
from collections import Counter
from datetime import datetime, timezone
from decimal import Decimal

import pytest

from odoo.addons.g2p_bridge.tests.mock_bank_process import AFTERNOON, MORNING, MockBankProcess
from odoo.addons.g2p_bridge_bank_iso20022.tests.sftp_process import SftpProcess

from bridge_stack.pbms import Pbms
from bridge_stack.world import PBMS_GROUP

pytestmark = pytest.mark.stack

CURRENCY = "EUR"
DEADLINE_S = 90
#: at mock-bank: the debtor, an account of its own that is closed, and one at another bank
DEBTOR, CLOSED, OTHER = "NL41MOCK0000000001", "NL84MOCK0000000003", "NL30MOCK0000000005"
BALANCE = Decimal("125000.00")


class MockBank(MockBankProcess):
    """mock-bank with the folders of the SFTP server."""

    def __init__(self, out, pickup, hour):
        super().__init__(
            *("--drop-dir", str(out), "--pickup-dir", str(pickup)),
            *("--drop-settle-ms", "0", "--drop-interval-ms", "3600000"),
            hour=hour,
        )

    def take(self):
        """Have it take what lies in its folder."""
        return self.ask("POST", "/_mock/drop/scan")

    def pass_days(self, days):
        return self.ask("POST", f"/_mock/advance?days={days}")

    def balance(self):
        return Decimal(self.ask("GET", "/_mock/accounts/ACME")["balance"]) / 100


class FileWorld:
    """Bank, account, program and mapper for files in euro, as an administrator sets them up."""

    def __init__(self, stack, server):
        self.stack, self.admin = stack, stack.admin
        mark, settings = secrets.token_hex(4).upper(), server.settings
        [euro] = self.admin.execute(
            "res.currency", "search", [("name", "=", CURRENCY)], context={"active_test": False}
        )
        self.admin.execute("res.currency", "write", [euro], {"active": True})
        self.bank_id = self.create(
            "g2p.sponsor.bank",
            name="File bank",
            code=f"FILEBANK{mark}",
            connector="iso20022",
            iso20022_transport="sftp",
            iso20022_out_path="in",
            iso20022_taken_path="in/processed",
            iso20022_in_path="out",
            iso20022_sftp_host=settings["host"],
            iso20022_sftp_port=settings["port"],
            iso20022_sftp_user=settings["user"],
            iso20022_sftp_host_key=settings["host_key"],
            iso20022_sftp_private_key=settings["private_key"],
            iso20022_initiating_party_name="Ministry of Social Affairs",
            iso20022_agent_bic="MOCKNL2A",
            iso20022_service_level="SEPA",
            iso20022_funds_policy="execution",
            has_statement_numbers=False,
        )
        self.account_id = self.create(
            "g2p.funding.account",
            name="File account",
            bank_id=self.bank_id,
            account_number=DEBTOR,
            currency_id=euro,
        )
        mapper_id = self.create("g2p.account.mapper", name="File mapper", provider="local")
        self.admin.execute(
            "g2p.account.link",
            "create",
            [
                {
                    "mapper_id": mapper_id,
                    "beneficiary_id": f"BEN{number:06d}",
                    "account_number": CLOSED if number == 2 else OTHER,
                }
                for number in range(1, 11)
            ],
        )
        login = f"pbms-{mark}"
        key = stack.create_user(login, [PBMS_GROUP])
        users = self.admin.execute("res.users", "search", [("login", "=", login)])
        self.program_id = self.create(
            "g2p.benefit.program",
            name="Paid by files",
            mnemonic=f"FILES{mark}",
            funding_account_id=self.account_id,
            mapper_id=mapper_id,
            api_user_ids=[(6, 0, users)],  # its payments are no news for other program systems
        )
        self.pbms = Pbms(stack, login, key, f"FILES{mark}", 7)

    def create(self, model, **values):
        return self.admin.execute(model, "create", values)

    def fetch(self):
        """Have the bank's files fetched as an officer does, by the button."""
        self.admin.execute("g2p.sponsor.bank", "action_fetch_bank_files", [self.bank_id])

    def files(self, kind):
        return self.admin.execute(
            "g2p.bank.file",
            "search_read",
            [("bank_id", "=", self.bank_id), ("kind", "=like", f"{kind}%")],
            ["name", "state", "note", "error_code", "is_tidied", "tidy_error", "accepted_count"],
        )

    def payments(self):
        found = self.admin.execute(
            "g2p.disbursement",
            "search_read",
            [("program_id", "=", self.program_id)],
            ["disbursement_id", "state", "amount", "reason_code", "beneficiary_id"],
            order="id",
        )
        return {each["beneficiary_id"]: each for each in found}

    def wait_for(self, what, condition):
        try:
            self.stack.wait_until(condition, DEADLINE_S, what)
        except AssertionError as error:
            left = [each for each in self.files("") if not each["is_tidied"]]
            raise AssertionError(f"{error}: at {self.states()}, with {left}") from error

    def states(self):
        return Counter(payment["state"] for payment in self.payments().values())

    def wait_for_states(self, expected):
        self.wait_for(str(expected), lambda: self.states() == expected)


@pytest.fixture
def server():
    running = SftpProcess()
    yield running
    running.stop()


@pytest.fixture
def bank(server, hour):
    running = MockBank(server.root / "in", server.root / "out", hour)
    yield running
    running.stop()


@pytest.mark.parametrize(
    ("hour", "taken"),
    [
        # what the bank gets in the morning it has paid when it says that it has it
        pytest.param(MORNING, {"reconciled": 9, "rejected": 1}, id="morning"),
        pytest.param(AFTERNOON, {"sent": 9, "rejected": 1}, id="afternoon"),
    ],
)
def test_people_are_paid_by_files_and_every_cent_agrees(stack, server, bank, taken):
    world = FileWorld(stack, server)
    pbms = world.pbms
    pbms.draw_amounts(10)
    pbms.create_envelope("2026-11", CURRENCY, datetime.now(timezone.utc).date())
    pbms.send_disbursements()
    world.wait_for_states({"sent": 10})
    [name] = [path.name for path in (server.root / "in").iterdir() if path.is_file()]
    payments = world.payments()
    returned = payments["BEN000005"]
    bank.ask(
        "PATCH",
        "/_mock/accounts/ACME",
        json={
            "behaviour": "return-later",
            "parameters": {
                "days": 1,
                "reason": "AC06",
                "end_to_end_id": returned["disbursement_id"],
            },
        },
    )

    # pain.001 taken: nine accepted, one refused, for its account is closed
    bank.take()
    assert (server.root / "in/processed" / name).exists()
    world.fetch()
    world.wait_for_states(taken)
    assert world.payments()["BEN000002"]["reason_code"] == "AC04"
    [report] = world.files("pain.002")
    assert (report["state"], report["accepted_count"]) == ("processed", 9)

    # all settled, one back: camt.054 on the day, camt.053 at its end
    bank.pass_days(4)
    world.fetch()
    paid = {"reconciled": 8, "rejected": 1, "reversed": 1}
    world.wait_for_states(paid)
    assert world.payments()["BEN000005"]["reason_code"] == "AC06"

    # the bank sends the same again, and nothing moves
    archived = [path for path in (server.root / "out/archive").iterdir() if "camt" in path.name]
    assert archived
    for path in archived:
        (server.root / "out" / f"again-{path.name}").write_bytes(path.read_bytes())
    world.fetch()
    world.wait_for("an empty folder", lambda: not waiting(server))
    world.wait_for_states(paid)

    assert_every_cent_agrees(world, bank, paid)
    # statements of the bank's other customers came along, and stopped nothing
    bad = [each for each in world.files("") if each["state"] == "error"]
    assert bad
    assert {each["error_code"] for each in bad} == {"UNKNOWN_ACCOUNT"}
    assert not [each for each in bad if "ACME" in each["name"]]
    assert len(list((server.root / "out/error").iterdir())) == len(bad)


def assert_every_cent_agrees(world, bank, paid):
    """Bank, bridge and program say the same, and the bridge's own check finds nothing."""
    payments, status = world.payments(), world.pbms.status()
    by_state = {
        state: sum(
            Decimal(str(each["amount"])) for each in payments.values() if each["state"] == state
        )
        for state in paid
    }
    assert sum(by_state.values()) == world.pbms.declared_total
    assert BALANCE - bank.balance() == by_state["reconciled"]
    assert status["number_of_disbursements_reconciled"] == 9
    assert status["number_of_disbursements_reversed"] == 1
    [envelope] = world.admin.execute(
        "g2p.disbursement.envelope",
        "search_read",
        [("program_id", "=", world.program_id)],
        ["state"],
    )
    assert envelope["state"] == "settled"
    assert differences(world, envelope["id"]) == []


def waiting(server):
    return [path for path in (server.root / "out").iterdir() if path.is_file()]


def differences(world, envelope_id):
    world.admin.execute("g2p.disbursement.envelope", "action_check_ledger", [envelope_id])
    return world.admin.execute(
        "g2p.ledger.difference",
        "search_read",
        [("envelope_id", "=", envelope_id), ("is_gone", "=", False)],
        ["rule", "subject", "expected", "found"],
    )
