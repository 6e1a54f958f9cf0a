"""Secrets, accounts and people are where they belong, and nowhere else.

Each has a text of its own. An envelope with everything that can go wrong is run through the real
system at its most talkative; then logs and the whole database are searched for these texts.
"""

import base64
import json
import threading
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from sweep import columns_with
from test_bank_faults import PARAMETERS, forward
from test_whole_way import today

from bridge_stack.rpc import RpcError
from bridge_stack.stack import Stack
from bridge_stack.world import CURRENCY, World

pytestmark = pytest.mark.stack

DEADLINE_S = 120
COUNT = 4
BANK_SECRET, MAPPER_SECRET = "canary-secret-bank", "canary-secret-mapper"
NAME, NARRATIVE = "Canaria Namesmith", "Canary narrative"
ACCOUNT, MOBILE, MAIL = "CANARYACC", "CANARYMOB", "canarymail"
#: where each may stand; account numbers are read there by those alone who may see them
ALLOWED = {
    BANK_SECRET: {"g2p_sponsor_bank.secret"},
    MAPPER_SECRET: {"g2p_account_mapper.secret"},
    # a person's row of an imported file, until it is a payment; its cells are nobody's to read
    NAME: {
        "g2p_disbursement.beneficiary_name",
        "g2p_envelope_import_row.beneficiary_name",
        "g2p_envelope_import_row.cells",
        "g2p_envelope_import_column.values",
        "g2p_envelope_import.sample",
    },
    ACCOUNT: {
        "g2p_disbursement.account_number",
        "g2p_account_link.account_number",
        "g2p_envelope_import_row.cells",
        "g2p_envelope_import.sample",
    },
    MOBILE: {"g2p_disbursement.mobile_number", "g2p_account_link.mobile_number"},
    MAIL: {"g2p_disbursement.email_address", "g2p_account_link.email_address"},
}


class Gossip:
    """Stands before a bank or mapper, and tells all that it hears.

    :param script: path -> list of HTTP statuses; the next calls there get them, with headers and
        body of the request repeated in JSON, in a sentence and as garbage; then they are passed on
    """

    def __init__(self, script):
        self.script = {path: list(answers) for path, answers in script.items()}
        self.told = []
        self.target = None
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status, answer = outer.answer(self.path, dict(self.headers), body)
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_arguments):
                """Say nothing here."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    @contextmanager
    def before(self, target):
        self.target = target
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        yield self
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path, headers, body):
        waiting = self.script.get(path)
        if waiting:
            status, is_json = waiting.pop(0)
            self.told.append((path, status))
            return status, repeated(headers, body, is_json)
        passed = {
            name: value
            for name, value in headers.items()
            if name.lower() not in ("host", "content-length", "connection", "accept-encoding")
        }
        answer = requests.post(f"{self.target}{path}", data=body, headers=passed, timeout=60)
        return answer.status_code, answer.content


def repeated(headers, body, is_json):
    """Return an answer that holds all of a request: in fields, in sentences, or as garbage."""
    if not is_json:
        return b"<html>" + repr(headers).encode() + body + b"</html>"
    said = json.loads(body)
    texts = [text for text in texts_of(said) if text]
    return json.dumps(
        {
            "request": said,
            "headers": headers,
            "error_message": f"Refused {' and '.join(texts)[:300]}",
            "details": [f"{text} is wrong, {headers.get('Authorization')}" for text in texts][:20],
        }
    ).encode()


def texts_of(value):
    """Yield all texts in JSON data."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from texts_of(item)
    elif isinstance(value, str):
        yield value


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """Return the paths of a private key for signing, and of its public key."""
    folder = tmp_path_factory.mktemp("keys")
    key = rsa.generate_private_key(65537, 2048)
    encoding, private = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    public = serialization.PublicFormat.SubjectPublicKeyInfo
    (folder / "private.pem").write_bytes(
        key.private_bytes(encoding, private, serialization.NoEncryption())
    )
    (folder / "public.pem").write_bytes(key.public_key().public_bytes(encoding, public))
    return folder / "private.pem", folder / "public.pem"


@pytest.fixture(scope="module")
def gossiping(request, keys, tmp_path_factory):
    """Yield a system that logs all but SQL, and signs; its bank and mapper ask for signatures."""
    private, public = keys
    links = tmp_path_factory.mktemp("links") / "links.json"
    links.write_text(json.dumps({f"BEN00000{number}": address(number) for number in range(1, 4)}))
    signature = ("--require-signature", str(public))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("G2P_BRIDGE_SIGNING_KEY_FILE", str(private))
        stack = Stack(
            channels="root:3",
            log_level="debug",
            bank_options=("--verbose", *signature),
            mapper=True,
            mapper_options=("--links", str(links), *signature),
        )
        stack.odoo_options = (
            "--log-handler=:DEBUG",
            "--log-handler=odoo.sql_db:INFO",
            f"--log-db={stack.db}",
        )
        with stack:
            for key, value in PARAMETERS.items():
                stack.admin.execute("ir.config_parameter", "set_param", key, value)
            yield stack
            stack.keep_logs = bool(request.session.testsfailed)


def address(number):
    return (
        f"account_number:{ACCOUNT}000{number}.branch_code:B1.bank_code:EXAMPLE_BANK"
        f".mobile_number:{MOBILE}{number}.email_address:{MAIL}{number}@example.org"
        ".fa_type:BANK_ACCOUNT"
    )


JSON, GARBAGE = True, False
BANK_SCRIPT = {
    "/check_funds": [(500, JSON), (200, GARBAGE), (429, JSON)],
    "/block_funds": [(500, JSON), (429, GARBAGE)],
    "/initiate_payment": [(500, JSON), (429, JSON), (500, GARBAGE)],
    "/inquire_payments": [(500, JSON), (200, JSON)],
}
MAPPER_SCRIPT = {"/sync/resolve": [(500, JSON), (200, JSON), (200, GARBAGE)]}


@pytest.fixture(scope="module")
def run_through(gossiping):
    """Return the stack after all that it was told, and the texts that it must not repeat."""
    stack = gossiping
    bank, mapper = Gossip(BANK_SCRIPT), Gossip(MAPPER_SCRIPT)
    with bank.before(stack.bank_url), mapper.before(stack.mapper_url):
        remote = set_up(stack, bank, mapper, "g2p_connect")
        pay(remote)
        assert {path for path, _status in bank.told} == set(BANK_SCRIPT)
        assert {path for path, _status in mapper.told} == set(MAPPER_SCRIPT)
        bank.script = {"/initiate_payment": [(422, JSON)]}
        refused = set_up(stack, bank, mapper, "local")
        refused.link([f"BEN00000{number}" for number in (1, 2)], account_number=f"{ACCOUNT}55")
        wallet = {"fa_type": "MOBILE_WALLET", "account_number": False, "mobile_number": MOBILE}
        refused.link(["BEN000003"], **wallet)
        mail = {"fa_type": "EMAIL_WALLET", "account_number": False, "email_address": f"{MAIL}@x.y"}
        refused.link(["BEN000004"], **mail)
        send(refused)
        wait_for(refused, "rejected", COUNT)
    offend(refused)
    import_file(refused)
    stack.odoo_shell(_PAPERS)
    return stack, [remote, refused]


#: what is written about payments: registers, reports, certificates
_PAPERS = """
from odoo.addons.g2p_bridge.models.pdf_fonts import fonts
from odoo.addons.g2p_bridge.services.report import to_pdf, to_xlsx

for envelope in env["g2p.disbursement.envelope"].search([]).filtered("total_received_count"):
    for kind in ("csv", "xlsx"):
        env["g2p.register.file"]._request(envelope, kind)
    for kind in ("summary", "reconciliation"):
        report = envelope._report(kind)
        assert to_pdf(report, fonts(), "en_US") and to_xlsx(report, "en_US")
    certificate = env["g2p.certificate"]._create_next(envelope)
    certificate._issue()
for account in env["g2p.funding.account"].search([]):
    account._reconciliation(*[env["g2p.bridge"]._today(account.company_id)] * 2)
env.cr.commit()
"""


#: the daily e-mail of somebody who is told everything; it is not sent, so nothing of it stays
_MAILS = """
user = env["res.users"].with_context(no_reset_password=True).create(
    {
        "login": "told", "name": "Told", "email": "told@example.org",
        "group_ids": [(6, 0, [env.ref("g2p_bridge.group_officer").id])],
    }
)
env["g2p.benefit.program"].search([]).responsible_ids = user
env["g2p.notice"]._update()
notices = env["g2p.notice"].search([])
notices._send_digest(user, env.cr.now())
env.flush_all()
mails = env["mail.mail"].search([("email_to", "ilike", "told")]) or env["mail.mail"].search([])
activities = env["mail.activity"].search([("g2p_notice_id", "in", notices.ids)])
result = {
    "mails": mails.mapped("body_html"),
    "activities": [[a.summary or "", str(a.note or "")] for a in activities],
    "notices": notices.mapped("display_name"),
}
"""


def import_file(world):
    """Import a file with a column of accounts, and rows that are refused."""
    lines = ["Reference,Beneficiary ID,Name,Amount,Account"]
    lines += [f"IMP{n},BEN{n},{NAME} {n},{n - 1}.00,{ACCOUNT}99{n}" for n in range(1, 4)]
    execute = world.admin.execute
    values = {
        "program_id": world.program_id,
        "cycle_code_mnemonic": "2027-01",
        "filename": "payments.csv",
        "file": base64.b64encode("\n".join(lines).encode()).decode(),
    }
    model = "g2p.envelope.import"
    [record] = execute(model, "create", [values])
    execute(model, "action_look", [record])
    execute(model, "action_check", [record])

    def state():
        return execute(model, "read", [record], ["state", "bad_count", "good_count", "problem"])[0]

    world.stack.wait_until(lambda: state()["state"] == "checked", DEADLINE_S, "checked")
    assert (state()["bad_count"], state()["good_count"]) == (1, 2)


def set_up(stack, bank, mapper, kind):
    world = World(stack, mapper=kind, bank_values={"read_timeout": 5, "sign_requests": True})
    world.admin.execute(
        "g2p.sponsor.bank", "write", [world.bank_id], {"base_url": bank.url, "secret": BANK_SECRET}
    )
    if kind == "g2p_connect":
        values = {"base_url": mapper.url, "secret": MAPPER_SECRET, "sign_requests": True}
        world.admin.execute("g2p.account.mapper", "write", [world.mapper_id], values)
    return world


def rows(count=COUNT):
    return [
        {
            "mis_reference_number": f"MIS{number}",
            "beneficiary_id": f"BEN00000{number}",
            "beneficiary_name": f"{NAME} {number}",
            "disbursement_amount": "10.00",
            "narrative": NARRATIVE,
        }
        for number in range(1, count + 1)
    ]


def send(world):
    pbms = world.pbms
    pbms.draw_amounts(COUNT)
    pbms.amounts = dict.fromkeys(pbms.amounts, 10)
    pbms.create_envelope("2026-11", CURRENCY, today())
    pbms.call(
        "create_disbursements",
        disbursement_envelope_id=pbms.envelope_id,
        disbursements=rows(),
    )


def wait_for(world, state, count):
    def reached():
        forward(world.stack)
        with suppress(RpcError):  # the real cron is at it in this very second
            world.run_cron()
        return world.pbms.status()[f"number_of_disbursements_{state}"] == count

    world.stack.wait_until(reached, DEADLINE_S, f"{count} {state}: {world.pbms.status()}")


def pay(world):
    """Send an envelope that all faults meet; one of its people is linked nowhere."""
    send(world)
    wait_for(world, "shipped", COUNT - 1)
    world.settle()
    wait_for(world, "reconciled", COUNT - 1)


def offend(world):
    """Make the mistakes of callers: each is refused, and no log repeats it."""
    pbms, admin, stack = world.pbms, world.admin, world.stack
    bad = [{**row, "disbursement_amount": "-1", "narrative": ""} for row in rows()]
    for values in (bad, rows(), [NAME], NAME):
        with pytest.raises(RpcError):
            pbms.call(
                "create_disbursements",
                disbursement_envelope_id=pbms.envelope_id,
                disbursements=values,
            )
    double = {
        "mapper_id": world.mapper_id,
        "beneficiary_id": "BEN000001",
        "account_number": f"{ACCOUNT}77",
    }
    incomplete = {
        "mapper_id": world.mapper_id,
        "beneficiary_id": "BEN9",
        "fa_type": "MOBILE_WALLET",
        "account_number": f"{ACCOUNT}88",
    }
    for values in (double, incomplete):
        with pytest.raises(RpcError):
            admin.execute("g2p.account.link", "create", values)
    for content in (f"{ACCOUNT} {NAME}", f":20:X\n:25:{ACCOUNT}\n:61:{NAME}\n"):
        requests.post(
            f"{stack.url}/g2p_bridge/upload_mt940",
            files={"statement_file": (f"{NAME}.sta", content, "text/plain")},
            headers={"Authorization": f"Bearer {stack.bank_key}"},
            timeout=60,
        )
    with pytest.raises(RpcError):
        stack.rpc(world.login, f"wrong {BANK_SECRET}").execute("g2p.bridge", "x")


def test_they_are_in_no_log(run_through, keys):
    stack, worlds = run_through
    private = keys[0].read_text().splitlines()[1]
    secrets = [BANK_SECRET, MAPPER_SECRET, private, stack.bank_key, *[w.key for w in worlds]]
    numbers = [world.account_number for world in worlds]
    for name in ("server", "bank", "mapper"):
        log = stack.log(name).read_text(encoding="utf-8", errors="replace")
        for text in (*secrets, NAME, NARRATIVE, ACCOUNT, MOBILE, MAIL, *numbers):
            lines = [line for line in log.splitlines() if text in line]
            assert lines == [], (name, text)
    log = stack.log("server").read_text(encoding="utf-8")
    # it was as talkative as it can be, and every call is in it
    assert " DEBUG " in log
    assert "urllib3.connectionpool" in log
    for path in (*BANK_SCRIPT, *MAPPER_SCRIPT):
        assert f"POST {path}: HTTP_" in log


def test_they_are_in_the_database_where_they_belong(run_through):
    stack, worlds = run_through
    texts = [*ALLOWED, stack.bank_key, *[world.key for world in worlds]]
    found = columns_with(stack.postgres, stack.db, texts)
    for text, columns in found.items():
        assert set(columns) - ALLOWED.get(text, set()) == set(), text
    # what is searched for is found where it has to be
    assert {text for text, columns in found.items() if columns} == set(ALLOWED)


def test_a_funding_account_is_named_where_statements_are(run_through):
    stack, worlds = run_through
    numbers = [world.account_number for world in worlds]
    found = columns_with(stack.postgres, stack.db, numbers)
    allowed = {"g2p_funding_account.account_number"}
    assert set().union(*found.values()) <= allowed


def test_papers_registers_and_mails_are_there_and_say_nothing(run_through):
    """What is kept in files is not in the database: it is read here."""
    stack, worlds = run_through
    found = stack.odoo_shell(_READ_FILES)
    assert {"g2p.certificate", "g2p.register.file"} <= set(found["kinds"])
    assert found["imports"]
    told = stack.odoo_shell(_MAILS)
    assert told["mails"] and told["notices"], told
    secrets = [BANK_SECRET, MAPPER_SECRET, ACCOUNT, MOBILE, MAIL, stack.bank_key]
    numbers = [world.account_number for world in worlds]
    text = json.dumps(found["texts"])
    assert [word for word in (*secrets, *numbers) if word in text] == []
    assert "****" in text  # the accounts are in the registers, masked
    assert NAME in text
    mails = json.dumps(told)
    assert [word for word in (*secrets, *numbers, NAME, NARRATIVE) if word in mails] == []


#: texts of all files of ours but the files that people uploaded, which are not for everybody
_READ_FILES = """
import gzip, io, zipfile

def text_of(raw):
    if raw[:2] == b"\\x1f\\x8b":
        raw = gzip.decompress(raw)
    if raw[:2] == b"PK":
        book = zipfile.ZipFile(io.BytesIO(raw))
        raw = b"\\n".join(book.read(name) for name in book.namelist())
    return raw.decode(errors="replace")

files = env["ir.attachment"].search(
    [("res_model", "=like", "g2p.%"), ("res_field", "in", [False, "document", "pdf"])]
)
uploads = env["ir.attachment"].search(
    [("res_model", "=", "g2p.envelope.import"), ("res_field", "=", "attachment_id")]
)
result = {
    "kinds": sorted(set(files.mapped("res_model"))),
    "texts": [text_of(file.raw) for file in files],
    "imports": uploads.ids,
}
"""


def test_calls_are_recorded_all_the_same(run_through):
    stack, _worlds = run_through
    calls = stack.admin.execute(
        "g2p.bank.call", "search_read", [], ["operation", "request_masked", "response_masked"]
    )
    assert {call["operation"] for call in calls} >= {"check_funds", "initiate_payment", "resolve"}
    assert all(call["request_masked"] for call in calls)
    told = [call["response_masked"] for call in calls if "Refused" in call["response_masked"]]
    assert told
    assert all("****" in text for text in told)
