"""Who may what: each group at each model, field, button and route, against the tables below.

What is in no table is denied, at every door.
"""

import json
import re

import pytest
import requests
from doors import ACCESS_ERROR
from test_access import _FIND_PUBLIC_METHODS, BANK_METHODS, BRIDGE, PBMS_METHODS
from test_whole_way import send, today, wait_for

from bridge_stack.rpc import JsonRpc, RpcError

pytestmark = pytest.mark.stack

USER_ERROR = "odoo.exceptions.UserError"
EXPORT = "base.group_allow_export"
#: name -> groups, each with Odoo's own right to export, which must open nothing by itself
ROLES = {
    "employee": ["base.group_user", EXPORT],
    "viewer": ["g2p_bridge.group_viewer", EXPORT],
    "officer": ["g2p_bridge.group_officer", EXPORT],
    "approver": ["g2p_bridge.group_approver", EXPORT],
    "administrator": ["base.group_user", "g2p_bridge.group_administrator", EXPORT],
    "account_viewer": ["g2p_bridge.group_viewer", "g2p_bridge.group_account_viewer", EXPORT],
    "pbms": ["g2p_bridge.group_pbms_api"],
    "bank": ["g2p_bridge.group_bank_api"],
    "portal": ["base.group_portal"],
}
READERS = {"viewer", "officer", "approver", "administrator", "account_viewer"}
OFFICERS = {"officer", "approver", "administrator"}
APPROVERS = {"approver", "administrator"}
SEES_ACCOUNTS = {"administrator", "account_viewer"}
SETS_UP = {"administrator"}
NOBODY = set()

SET_UP = {"read": READERS, "write": SETS_UP, "create": SETS_UP, "unlink": SETS_UP}
ONLY_READ = {"read": READERS, "write": NOBODY, "create": NOBODY, "unlink": NOBODY}
WIZARD = dict.fromkeys(("read", "write", "create", "unlink"), OFFICERS)
#: wizards that print and prove what their user may read
READER_WIZARD = dict.fromkeys(("read", "write", "create", "unlink"), READERS)
#: shown by a button, and made by nobody directly
SHOWN = {"read": OFFICERS, "write": NOBODY, "create": NOBODY, "unlink": NOBODY}
#: nobody else's business, nor is it written by anybody directly
SHOWN_TO_ADMINISTRATORS = {"read": SETS_UP, "write": NOBODY, "create": NOBODY, "unlink": NOBODY}
#: whoever made a record of these is the only one who sees it
TRANSIENT = (WIZARD, READER_WIZARD)
#: model -> operation -> roles
MODELS = {
    "g2p.sponsor.bank": SET_UP,
    "g2p.funding.account": SET_UP,
    "g2p.benefit.program": SET_UP,
    "g2p.account.mapper": SET_UP,
    "g2p.financial.address.rule": SET_UP,
    "g2p.account.link": {
        "read": READERS,
        "write": SEES_ACCOUNTS,
        "create": SEES_ACCOUNTS,
        "unlink": SETS_UP,
    },
    "g2p.disbursement.envelope": ONLY_READ,
    "g2p.disbursement": ONLY_READ,
    "g2p.disbursement.batch": ONLY_READ,
    "g2p.disbursement.journal": ONLY_READ,
    "g2p.bank.call": ONLY_READ,
    "g2p.account.statement": ONLY_READ,
    "g2p.account.statement.line": ONLY_READ,
    "g2p.bank.file": ONLY_READ,
    "g2p.bank.health": ONLY_READ,
    "g2p.envelope.approval": ONLY_READ,
    "g2p.ledger.difference": ONLY_READ,
    "g2p.attention": ONLY_READ,
    "g2p.attention.case": ONLY_READ,
    "g2p.certificate": ONLY_READ,
    "g2p.certificate.key": ONLY_READ,
    "g2p.register.file": ONLY_READ,
    "g2p.notice": ONLY_READ,
    # as good as an API key of its user: a system administrator's, who makes those
    "g2p.trusted.key": {**ONLY_READ, "read": SETS_UP},
    "g2p.webhook": dict.fromkeys(("read", "write", "create", "unlink"), SETS_UP),
    "g2p.webhook.event": SHOWN_TO_ADMINISTRATORS,
    "g2p.certificate.page": READER_WIZARD,
    "g2p.certificate.point": dict(ONLY_READ),
    "g2p.prove.payment": READER_WIZARD,
    "g2p.export.register": READER_WIZARD,
    "g2p.reconciliation.report": READER_WIZARD,
    "g2p.connection.test": dict(SHOWN),
    "g2p.connection.test.line": dict(SHOWN),
    "g2p.upload.attempt": dict.fromkeys(("read", "write", "create", "unlink"), NOBODY),
    "g2p.call.statistic": dict.fromkeys(("read", "write", "create", "unlink"), NOBODY),
    "g2p.cancel.envelope": WIZARD,
    "g2p.decide.block": WIZARD,
    "g2p.decide.batch": WIZARD,
    "g2p.decide.statement": WIZARD,
    "g2p.dismiss.entry": WIZARD,
    "g2p.match.entry": WIZARD,
    "g2p.upload.statement": WIZARD,
    "g2p.reissue": WIZARD,
    "g2p.decide.case": WIZARD,
    "g2p.assign.case": WIZARD,
    "g2p.reissue.group": WIZARD,
    "g2p.start.bulk.action": WIZARD,
    "g2p.bulk.action": SHOWN,
    "g2p.envelope.import": {
        "read": OFFICERS,
        "write": OFFICERS,
        "create": OFFICERS,
        "unlink": NOBODY,
    },
    "g2p.envelope.import.column": {
        "read": OFFICERS,
        "write": OFFICERS,
        "create": NOBODY,
        "unlink": NOBODY,
    },
    "g2p.envelope.import.row": SHOWN,
}
#: models whose records nobody finds but who made them
OWN = {model for model, table in MODELS.items() if table in TRANSIENT} | {
    "g2p.certificate.point",
    "g2p.connection.test",
    "g2p.connection.test.line",
}
#: the key signs for all companies of a database, and its public half is for everybody who checks
SHARED = {"g2p.certificate.key"}
#: (model, field) -> roles that may see what is in it; all other fields are every reader's
FIELDS = {
    ("g2p.account.link", "account_number"): SEES_ACCOUNTS,
    ("g2p.account.link", "mobile_number"): SEES_ACCOUNTS,
    ("g2p.account.link", "email_address"): SEES_ACCOUNTS,
    ("g2p.disbursement", "account_number"): SEES_ACCOUNTS,
    ("g2p.disbursement", "mobile_number"): SEES_ACCOUNTS,
    ("g2p.disbursement", "email_address"): SEES_ACCOUNTS,
    ("g2p.funding.account", "account_number"): SEES_ACCOUNTS,
    ("g2p.account.statement", "attachment_id"): SEES_ACCOUNTS,
    ("g2p.account.statement.line", "narrative"): SEES_ACCOUNTS,
    ("g2p.bank.file", "attachment_id"): SEES_ACCOUNTS,
    ("g2p.sponsor.bank", "secret"): NOBODY,
    ("g2p.sponsor.bank", "iso20022_sftp_password"): NOBODY,
    ("g2p.sponsor.bank", "iso20022_sftp_private_key"): NOBODY,
    ("g2p.account.mapper", "secret"): NOBODY,
    ("g2p.webhook", "secret"): NOBODY,
    ("g2p.webhook", "old_secret"): NOBODY,
    ("g2p.bulk.action", "domain"): NOBODY,
    ("g2p.envelope.import", "attachment_id"): SEES_ACCOUNTS & OFFICERS,
    ("g2p.envelope.import", "sample"): NOBODY,
    ("g2p.envelope.import.row", "cells"): NOBODY,
}
#: ways from another model to a field above, which a search or a group must not go
DETOURS = {
    "g2p.disbursement.batch": ["disbursement_ids.account_number", "disbursement_ids.mobile_number"],
    "g2p.account.mapper": ["link_ids.account_number"],
    "g2p.disbursement": [
        "envelope_id.funding_account_id.account_number",
        "program_id.funding_account_id.account_number",
    ],
    "g2p.disbursement.envelope": [
        "funding_account_id.account_number",
        "batch_ids.disbursement_ids.email_address",
        "bank_id.secret",
    ],
    "g2p.account.statement": ["line_ids.narrative", "account_id.account_number"],
    "g2p.benefit.program": ["funding_account_id.account_number", "mapper_id.secret"],
}
#: buttons by their roles; those that open records (action_view_...) are every reader's
BUTTONS = {
    ("g2p.disbursement.envelope", "action_approve"): APPROVERS,
    ("g2p.disbursement.envelope", "action_ask_bank_first"): SETS_UP,
    ("g2p.disbursement.batch", "action_confirm_decision"): APPROVERS,
    ("g2p.certificate.key", "action_replace"): SETS_UP,
    **{
        ("g2p.webhook", f"action_{what}"): SETS_UP
        for what in ("pause", "resume", "send_test_event")
    },
    ("g2p.webhook", "action_new_secret"): NOBODY,  # for Odoo's system administrators
    # papers are for every reader
    ("g2p.disbursement.envelope", "action_certificate"): READERS,
    ("g2p.disbursement.envelope", "action_print_summary"): READERS,
    ("g2p.disbursement.envelope", "action_print_reconciliation"): READERS,
    ("g2p.disbursement.envelope", "action_print_reconciliation_xlsx"): READERS,
    ("g2p.certificate", "action_download_pdf"): READERS,
    ("g2p.certificate", "action_download_document"): READERS,
    ("g2p.certificate", "action_download_register"): READERS,
    ("g2p.certificate", "action_download_public_key"): READERS,
    ("g2p.register.file", "action_download"): READERS,
    ("g2p.certificate.page", "action_look_again"): READERS,
    ("g2p.certificate.point", "action_show"): READERS,
    ("g2p.prove.payment", "action_prove"): READERS,
    ("g2p.export.register", "action_export"): READERS,
    ("g2p.reconciliation.report", "action_pdf"): READERS,
    ("g2p.reconciliation.report", "action_xlsx"): READERS,
    # the button of the envelope behind it asks for the role: below
    ("g2p.certificate.page", "action_issue"): READERS,
    # these open records of models that are not every reader's
    ("g2p.bulk.action", "action_view_records"): OFFICERS,
    ("g2p.connection.test.line", "action_view_call"): OFFICERS,
    **{
        ("g2p.envelope.import", f"action_view_{what}"): OFFICERS
        for what in ("envelope", "bad_rows", "known_rows")
    },
}
#: other public methods that our addons define: (model, method) -> roles
METHODS = {
    ("g2p.home", "get_home"): READERS,
    ("g2p.setup.checklist", "get_steps"): READERS,
    ("g2p.disbursement.envelope", "review_for_approval"): OFFICERS,
}
#: methods that are of no record, but find what their caller may read
OF_NO_RECORD = {("g2p.disbursement", "action_view_found")}
#: Odoo's own, that our addons extend; they read or show nothing of a record
HARMLESS = {"get_import_templates", "default_get", "onchange"}

_MAKE_USERS = """
from datetime import datetime, timedelta
made = {}
for name, groups in roles.items():
    values = {
        "login": prefix + name, "name": name, "password": prefix + name,
        "group_ids": [(6, 0, [env.ref(group).id for group in groups])],
    }
    if company:
        values.update(company_id=company, company_ids=[(6, 0, [company])])
    user = env["res.users"].with_context(no_reset_password=True).create(values)
    keys = env["res.users.apikeys"].with_user(user).sudo()
    key = keys._generate("rpc", "matrix", datetime.now() + timedelta(days=1))
    made[name] = [user.id, prefix + name, key]
env.cr.commit()
result = made
"""
#: records that only a problem or a second person would bring
_MAKE_RECORDS = """
envelope = env["g2p.disbursement.envelope"].search([], limit=1, order="id desc")
envelope._keep_approval()
file = env["g2p.bank.file"].create(
    {
        "name": "made for a test", "bank_id": envelope.bank_id.id, "kind": "unreadable",
        "content_sha256": f"matrix {envelope.id}", "state": "error", "is_tidied": True,
    }
)
content = env["ir.attachment"].create({"name": "x", "raw": b"for ACC1234567890"})
file.attachment_id = content
content.write({"res_model": file._name, "res_field": "attachment_id", "res_id": file.id})
env["g2p.ledger.difference"].create(
    {"rule": "STATES_DIFFER", "envelope_id": envelope.id, "company_id": envelope.company_id.id}
)
env["g2p.attention.case"].create({"key": "x:1", "company_id": envelope.company_id.id})
key, _record = env["g2p.certificate.key"]._signing_key()
certificate = env["g2p.certificate"]._create_next(envelope)
certificate.write({"state": "refused", "refusal": "made for a test"})
env["g2p.register.file"].create({"envelope_id": envelope.id, "state": "failed"})
env["g2p.notice"].create(
    {
        "kind": "settled", "envelope_id": envelope.id, "company_id": envelope.company_id.id,
        "opened_at": "2026-01-01", "closed_at": "2026-01-02",
    }
)
env["g2p.bulk.action"].create(
    {
        "kind": "retry", "res_model": envelope._name, "domain": [["id", "=", envelope.id]],
        "user_id": env.uid, "company_id": envelope.company_id.id, "state": "done",
    }
)
user = env["res.users"].search([("login", "=", "pbms")], limit=1)
env["g2p.trusted.key"].create({"sender_id": "matrix", "api_user_id": user.id})
webhook = env["g2p.webhook"].search([("program_id", "=", envelope.program_id.id)])
webhook = webhook or env["g2p.webhook"].create(
    {"program_id": envelope.program_id.id, "base_url": "http://localhost:9/", "is_paused": True}
)
env["g2p.webhook.event"]._note_envelopes(envelope, "ready")
imported = env["g2p.envelope.import"].create(
    {"program_id": envelope.program_id.id, "cycle_code_mnemonic": "matrix"}
)
env["g2p.envelope.import.column"].create({"import_id": imported.id, "place": 1})
env["g2p.envelope.import.row"].create({"import_id": imported.id, "row_number": 2, "cells": "[]"})
env.cr.commit()
"""
ACCOUNT, MOBILE, EMAIL = "ACC1234567890", "0712345678", "person.one@example.org"


@pytest.fixture(scope="module")
def world(new_world):
    """Return a world in which each model has a record, with account numbers in all places."""
    world = new_world()
    wallet = {"account_number": False, "wallet_provider": "MPAY"}
    world.link(["BEN000001"], account_number=ACCOUNT)
    world.link(["BEN000002"], fa_type="MOBILE_WALLET", mobile_number=MOBILE, **wallet)
    world.link(["BEN000003"], fa_type="EMAIL_WALLET", email_address=EMAIL, **wallet)
    rule = {"fa_type": "BANK_ACCOUNT", "expression": "(?P<account_number>.+)", "name": "All"}
    world.create("g2p.financial.address.rule", mapper_id=world.mapper_id, **rule)
    for model, record in (
        ("g2p.sponsor.bank", world.bank_id),
        ("g2p.account.mapper", world.mapper_id),
    ):
        world.admin.execute(model, "write", [record], {"secret": "s3cret-of-the-bank"})
    send(world, 3)
    wait_for(world, shipped=3)
    world.at_bank("/admin/settle")
    narrative = f"for {ACCOUNT}, {MOBILE}"
    world.at_bank(
        "/admin/postings",
        account_number=world.account_number,
        mark="D",
        amount="1.00",
        narrative=narrative,
    )
    world.at_bank("/admin/statements", account_number=world.account_number)
    wait_for(world, reconciled=3)
    world.stack.odoo_shell(_MAKE_RECORDS)
    return world


def make_users(world, prefix, company=None):
    given = f"roles, prefix, company = {ROLES!r}, {prefix!r}, {company!r}\n"
    return world.stack.odoo_shell(given + _MAKE_USERS)


class User:
    """One person or machine: the external API, and where they may log in, a session."""

    def __init__(self, world, uid, login, key):
        self.uid, self.login, self.url = uid, login, world.stack.url
        self.rpc = JsonRpc(world.stack.url, world.stack.db, login, key)
        self.session = requests.Session()
        answer = self.post(
            "/web/session/authenticate", db=world.stack.db, login=login, password=login
        )
        self.has_session = "result" in answer

    def post(self, path, **params):
        answer = self.session.post(f"{self.url}{path}", json={"params": params}, timeout=60)
        return answer.json()

    def get(self, path):
        return self.session.get(f"{self.url}{path}", timeout=60)

    def export(self, kind, model, fields):
        """Export all records as the web client does; return the response."""
        token = re.search(r'csrf_token: "([^"]+)"', self.get("/web/login").text)
        page = token or re.search(r'csrf_token: "([^"]+)"', self.get("/odoo").text)
        data = {
            "model": model,
            "fields": [{"name": name, "label": name, "type": "char"} for name in fields],
            "ids": False,
            "domain": [],
            "groupby": [],
            "import_compat": False,
            "context": {},
        }
        return self.session.post(
            f"{self.url}/web/export/{kind}",
            data={"data": json.dumps(data), "csrf_token": page and page[1]},
            timeout=60,
        )

    def outcome(self, model, method, *args, **named):
        """Return what a call answers, or the name of the exception that it ends in."""
        try:
            return self.rpc.execute(model, method, *args, **named)
        except RpcError as error:
            return error.name

    def is_denied(self, model, method, *args, **named):
        """Say whether a call ends in an AccessError; any other end counts as let through.

        Who may not export at all is told so with a UserError.
        """
        found = self.outcome(model, method, *args, **named)
        return found == ACCESS_ERROR or (method == "export_data" and found == USER_ERROR)


@pytest.fixture(scope="module")
def users(world):
    """Return role -> :class:`User` of the world's company."""
    made = make_users(world, "matrix-")
    return {role: User(world, *made[role]) for role in ROLES}


@pytest.fixture(params=ROLES)
def role(request):
    return request.param


@pytest.fixture
def user(users, role):
    return users[role]


@pytest.fixture(scope="module")
def first_ids(world):
    """Return model -> id of a record (wizards have none)."""
    # a case that nobody and no job solves meanwhile
    domains = {"g2p.attention": [("kind", "=", "entry_unmatched")]}
    found = {}
    for model in set(MODELS) - OWN:
        ids = world.admin.execute(model, "search", domains.get(model, []), limit=1)
        found[model] = ids[0] if ids else 0
    assert [model for model, record in found.items() if not record] == []
    # other tests of the same stack may have left some of these
    return found | dict.fromkeys(OWN, 0)


def test_every_model_of_the_bridge_stands_in_the_table(world):
    domain = [("model", "=like", "g2p.%"), ("abstract", "=", False)]
    found = world.admin.execute("ir.model", "search_read", domain, ["model"])
    assert {each["model"] for each in found} == set(MODELS)


def test_every_operation_is_allowed_as_the_table_says(user, role, first_ids):
    wrong = []
    for model, table in MODELS.items():
        ids = [first_ids[model]] if first_ids[model] else []
        for operation, allowed in table.items():
            asked = user.rpc.execute(model, "has_access", ids, operation)
            if asked != (role in allowed):
                wrong.append((model, operation, "record"))
            attempt = {"write": (ids, {}), "create": ([{}],), "unlink": (ids,), "read": (ids,)}
            if (
                role not in allowed
                and (ids or operation == "create")
                and not user.is_denied(model, operation, *attempt[operation])
            ):
                wrong.append((model, operation, "attempt"))
    assert wrong == []


def readings(model, record):
    """Return name of a way to read -> its call's arguments."""
    fields = {"id": {}, "display_name": {}}
    ids = [record] if record else []
    return {
        "search": ("search", []),
        "search_count": ("search_count", []),
        "search_read": ("search_read", [], ["id"]),
        "web_search_read": ("web_search_read", [], fields),
        "read": ("read", ids, ["id"]),
        "web_read": ("web_read", ids, fields),
        "formatted_read_group": ("formatted_read_group", [], ["id"], ["__count"]),
        "read_progress_bar": (
            "read_progress_bar",
            [],
            "id",
            {"field": "state", "colors": {"ready": "success"}},
        ),
        "name_search": ("name_search", ""),
        "export_data": ("export_data", ids, ["display_name"]),
    }


def test_who_may_not_read_a_model_reads_it_in_no_way(user, role, first_ids):
    wrong = []
    for model, table in MODELS.items():
        for way, call in readings(model, first_ids[model]).items():
            needs_record = way in ("read", "web_read", "export_data")
            if role in table["read"] or (needs_record and not first_ids[model]):
                continue
            if not user.is_denied(model, *call):
                wrong.append((model, way))
    assert wrong == []


def test_the_web_clients_export_opens_nothing_that_reading_does_not(user, role):
    for kind in ("csv", "xlsx"):
        for model in ("g2p.disbursement", "g2p.account.link", "g2p.bank.call"):
            answer = user.export(kind, model, ["id"])
            is_file = "attachment" in answer.headers.get("Content-Disposition", "")
            assert is_file == (role in READERS and user.has_session), (kind, model)


def test_a_field_is_seen_by_its_roles_only(user, role, first_ids):
    """By no way: read, export, search, sort, group, sum, or the way over another model."""
    if role not in READERS:
        return
    wrong = []
    for (model, field), allowed in FIELDS.items():
        record = [first_ids[model]]
        asks = {
            "read": ("read", record, [field]),
            "search_read": ("search_read", [], [field]),
            "web_read": ("web_read", record, {field: {}}),
            "export_data": ("export_data", record, [field]),
            "search": ("search", [(field, "=like", "A%")]),
            "search for none": ("search_count", [(field, "=", False)]),
            "search in": ("search_count", [(field, "in", [ACCOUNT])]),
            "search not": ("search_count", ["!", (field, "=", ACCOUNT)]),
            "sort": ("search_read", [], ["id"], 0, None, f"{field} desc"),
            "group": ("formatted_read_group", [], [field], ["__count"]),
            "array": ("formatted_read_group", [], [], [f"{field}:array_agg"]),
            "count": ("formatted_read_group", [], [], [f"{field}:count_distinct"]),
            "filter": ("formatted_read_group", [(field, "ilike", "1")], ["id"], ["__count"]),
            "panel": ("search_panel_select_range", field),
        }
        for way, (method, *arguments) in asks.items():
            if way == "panel" and not field.endswith("_id"):
                continue
            if user.is_denied(model, method, *arguments) == (role in allowed):
                wrong.append((model, field, way))
        shown = user.rpc.execute(model, "fields_get", [field])
        if role in MODELS[model]["read"] and bool(shown) != (role in allowed):
            wrong.append((model, field, "fields_get"))
        if role not in allowed:
            answer = user.export("csv", model, ["id", field])
            if "attachment" in answer.headers.get("Content-Disposition", ""):
                wrong.append((model, field, "/web/export/csv"))
    # required, so Odoo knows the answer without a look: none
    known = {("g2p.bulk.action", "domain", "search for none")}
    assert [each for each in set(wrong) - known if not is_search_on_reference(each)] == []


def is_search_on_reference(each):
    """``attachment_id`` is a number: texts and sums do not fit it for those who may see it."""
    _model, field, way = each
    return field == "attachment_id" and way in ("search", "search in", "search not", "panel")


#: no access; and Odoo groups by no path over a list, and sorts by none at all
NO_WAY = (ACCESS_ERROR, "builtins.ValueError", USER_ERROR)


def test_no_detour_leads_to_a_hidden_field(user, role):
    if role not in READERS - SEES_ACCOUNTS:
        return
    wrong = []
    for model, path in [(model, path) for model, paths in DETOURS.items() for path in paths]:
        # over an empty relation an export is not refused, for there is nothing: so all records
        ids = user.rpc.execute(model, "search", [])
        asks = {
            "search": ("search_count", [(path, "=like", "A%")]),
            "any": ("search_count", [nested(path)]),
            "export": ("export_data", ids, [path.replace(".", "/")]),
            "group": ("formatted_read_group", [], [path], ["__count"]),
            "sort": ("search", [], 0, None, path),
        }
        wrong += [
            (model, path, way)
            for way, call in asks.items()
            if user.outcome(model, *call) not in NO_WAY
        ]
    assert wrong == []


def nested(path):
    """Return the path as a condition of nested ``any``."""
    *steps, last = path.split(".")
    condition = (last, "ilike", "1")
    for step in reversed(steps):
        condition = (step, "any", [condition])
    return condition


def test_nothing_that_a_reader_can_read_holds_a_full_account_number(world, user, role):
    """Every field of every record, and all that was posted in a chatter."""
    if role not in READERS - SEES_ACCOUNTS:
        return
    secrets = [ACCOUNT, MOBILE, EMAIL, world.account_number, "s3cret-of-the-bank"]
    for model, table in MODELS.items():
        if model in OWN or role not in table["read"]:
            continue
        fields = user.rpc.execute(model, "fields_get", [], ["type"])
        readable = [name for name, about in fields.items() if about["type"] != "binary"]
        text = json.dumps(user.rpc.execute(model, "search_read", [], readable))
        assert [secret for secret in secrets if secret in text] == [], model
        assert len(text) > 100, model
    for model in ("mail.message", "mail.tracking.value", "ir.attachment"):
        rows = user.outcome(model, "search_read", [("create_uid", "!=", user.uid)])
        assert [secret for secret in secrets if secret in json.dumps(rows)] == [], model


def test_the_masked_numbers_are_shown_to_every_reader(world, user, role):
    if role not in READERS:
        return
    found = user.rpc.execute("g2p.disbursement", "search_read", [], ["account_masked"])
    assert {"****7890", "****5678", "****@example.org"} <= {row["account_masked"] for row in found}
    [account] = user.rpc.execute(
        "g2p.funding.account", "read", [world.account_id], ["account_masked"]
    )
    assert account["account_masked"] == f"****{world.account_number[-4:]}"
    lines = user.rpc.execute(
        "g2p.account.statement.line",
        "search_read",
        [("amount", "=", 1), ("account_id", "=", world.account_id)],
        ["narrative_masked"],
    )
    assert "for ACC****, ****" in lines[0]["narrative_masked"]


def test_names_are_found_by_name_not_by_account_number(world, user, role):
    if role not in READERS:
        return
    for part in (world.account_number, world.account_number[:6], ACCOUNT, ACCOUNT[:7], MOBILE):
        for model in ("g2p.funding.account", "g2p.account.link", "g2p.disbursement"):
            assert user.rpc.execute(model, "name_search", part) == [], (model, part)


# -- the raw statement --------------------------------------------------------------------------


def test_the_raw_statement_is_for_who_may_see_account_numbers(world, user, role, first_ids):
    statement = first_ids["g2p.account.statement"]
    [file] = world.admin.execute("g2p.account.statement", "read", [statement], ["attachment_id"])
    number = file["attachment_id"][0]
    is_allowed = role in SEES_ACCOUNTS
    for path in (
        f"/web/content/{number}",
        f"/web/content/{number}?download=true",
        f"/web/content/ir.attachment/{number}/raw",
        f"/web/content?model=ir.attachment&id={number}&field=datas",
        f"/web/image/{number}",
    ):
        assert (b":61:" in user.get(path).content) == is_allowed, path
        assert b":61:" not in requests.get(f"{user.url}{path}", timeout=60).content
    for field in ("raw", "datas", "index_content", "name", "checksum"):
        assert user.is_denied("ir.attachment", "read", [number], [field]) != is_allowed
    domain = [("id", "=", number)]
    if not user.is_denied("ir.attachment", "search", domain):
        assert bool(user.rpc.execute("ir.attachment", "search", domain)) == is_allowed
        words = [*domain, ("index_content", "ilike", "61")]  # nobody finds what was not kept
        assert user.rpc.execute("ir.attachment", "search", words) == []
    assert user.is_denied("ir.attachment", "write", [number], {"public": True})
    assert user.is_denied("ir.attachment", "unlink", [number])


# -- methods and routes -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def public_methods(world):
    found = [tuple(pair) for pair in world.stack.odoo_shell(_FIND_PUBLIC_METHODS)]
    assert len(found) > 20
    return [pair for pair in found if pair[0] != BRIDGE]


def roles_of(model, method):
    if (model, method) in BUTTONS:
        return BUTTONS[model, method]
    return READERS if method.startswith("action_view_") else OFFICERS


def test_who_may_not_press_a_button_does_not_by_rpc_either(user, role, public_methods, first_ids):
    opened = [
        (model, method)
        for model, method in public_methods
        if method.startswith("action_")
        and role not in roles_of(model, method)
        and not user.is_denied(model, method, [first_ids[model] or 1])
    ]
    assert opened == []
    # what else is public of ours is in the table, or Odoo's own operations, of the one above
    rest = {pair for pair in public_methods if not pair[1].startswith("action_")}
    odoos = {pair for pair in rest if pair[1] in {"create", "write", "unlink", "copy", *HARMLESS}}
    assert rest - odoos == set(METHODS)
    for (model, method), allowed in METHODS.items():
        arguments = [[first_ids[model]]] if model in MODELS else []
        assert user.is_denied(model, method, *arguments) == (role not in allowed), method


def test_whoever_sees_the_page_of_a_certificate_issues_none_by_it(user, role, first_ids):
    """Its button is the envelope's, and for officers."""
    if role not in READERS:
        return
    envelope = first_ids["g2p.disbursement.envelope"]
    [page] = user.rpc.execute("g2p.certificate.page", "create", [{"envelope_id": envelope}])
    is_denied = user.is_denied("g2p.certificate.page", "action_issue", [page])
    assert is_denied == (role not in OFFICERS)


def test_the_facade_is_for_machines_with_its_group(user, role):
    for methods, allowed in ((PBMS_METHODS, {"pbms"}), (BANK_METHODS, {"bank"})):
        for method in methods:
            assert user.is_denied(BRIDGE, method) == (role not in allowed), method


def test_the_upload_route_is_the_banks(world, users, role):
    user = users[role]
    headers = {"Authorization": f"Bearer {user.rpc._secret}"}
    url = f"{world.stack.url}/g2p_bridge/upload_mt940"
    files = {"statement_file": ("a.sta", b"nothing", "text/plain")}
    answer = requests.post(url, files=files, headers=headers, timeout=60)
    assert answer.status_code == (200 if role == "bank" else 403)
    by_session = user.session.post(url, files=files, timeout=60)
    assert by_session.status_code in (401, 403)  # a browser's cookie is no key


def test_openg2ps_paths_are_the_program_systems(world, users, role):
    """Whoever else has an API key, or a session, gets no answer there."""
    user = users[role]
    header = {"message_id": "1", "message_ts": "", "action": "", "sender_id": "x", "total_count": 1}
    body = {"header": header, "message": "x"}
    url = f"{world.stack.url}/g2p_bridge/openg2p/v1/get_disbursement_envelope_status"
    headers = {"Authorization": f"Bearer {user.rpc._secret}"}
    answer = requests.post(url, json=body, headers=headers, timeout=60)
    assert answer.status_code == (200 if role == "pbms" else 403)
    by_session = user.session.post(url, json=body, timeout=60).json()
    assert by_session["header"]["status_reason_message"] == "rjct.jwt.invalid"


def test_the_chatter_is_read_by_who_may_read_the_record(world, user, role, first_ids):
    threads = ("g2p.disbursement.envelope", "g2p.account.statement", "g2p.sponsor.bank")
    for model in threads:
        record = first_ids[model]
        messages = world.admin.execute(
            "mail.message", "search", [("model", "=", model), ("res_id", "=", record)]
        )
        assert messages
        domain = [("id", "in", messages)]
        if role in READERS:
            assert user.rpc.execute("mail.message", "search", domain)
        elif not user.is_denied("mail.message", "search", domain):
            assert user.rpc.execute("mail.message", "search", domain) == []
        answer = user.post("/mail/thread/messages", thread_model=model, thread_id=record)
        # of a record that they may not read, Odoo gives people what they may read elsewhere
        found = answer.get("result", {}).get("messages", [])
        assert bool(set(found) & set(messages)) == (role in READERS), model
        assert role in READERS or user.is_denied(model, "message_post", [record], body="x")


def test_no_report_prints_what_others_may_not_read(world):
    assert world.admin.execute("ir.actions.report", "search", [("model", "=like", "g2p.%")]) == []


def test_without_a_session_there_is_nothing(world, first_ids):
    url = world.stack.url
    for model, record in first_ids.items():
        call = {"model": model, "method": "read", "args": [[record]], "kwargs": {}}
        answer = requests.post(f"{url}/web/dataset/call_kw", json={"params": call}, timeout=60)
        assert "result" not in answer.json()
        answer = requests.post(f"{url}/json/2/{model}/search_read", json={}, timeout=60)
        assert answer.status_code == 401


# -- HTML ---------------------------------------------------------------------------------------

HTML = "<img src=x onerror=\"document.title='hacked'\"><b>bold</b>"


def test_a_callers_html_is_posted_as_text(new_world):
    world = new_world(mapper=None)
    send(world, 1, today().replace(year=today().year + 1))
    envelope = {"disbursement_envelope_id": world.pbms.envelope_id}
    world.pbms.call("cancel_disbursement_envelope", reason=HTML, **envelope)
    [found] = world.admin.execute(
        "g2p.disbursement.envelope",
        "search_read",
        [("disbursement_envelope_id", "=", world.pbms.envelope_id)],
        ["cancel_reason", "message_ids"],
    )
    assert found["cancel_reason"] == HTML
    posted = world.admin.execute("mail.message", "read", found["message_ids"], ["body"])
    assert "<img" not in json.dumps(posted)
    tracked = world.admin.execute(
        "mail.tracking.value",
        "search_read",
        [("mail_message_id", "in", found["message_ids"])],
        ["new_value_char"],
    )
    assert HTML in {row["new_value_char"] for row in tracked}


def test_an_officers_html_is_posted_as_text(new_world):
    """The note of a decision stands in the body of a message."""
    world = new_world(mapper=None)
    balance = f"USD{1:.2f}".replace(".", ",")
    statement = (
        f":20:HELD\n:25:{world.account_number}\n:28C:1/1\n:60F:C{today():%y%m%d}{balance}\n"
        f":62F:C{today():%y%m%d}USD2,00\n-\n"
    )
    bank = world.stack.rpc("example-bank", world.stack.bank_key)
    answer = bank.execute(BRIDGE, "upload_mt940", statement=statement)
    assert answer["statements"][0]["status"] == "held"
    [record] = world.admin.execute(
        "g2p.account.statement", "search", [("name", "=", answer["statement_id"])]
    )
    wizard = world.create(
        "g2p.decide.statement", statement_id=record, decision="dismiss", note=HTML
    )
    world.admin.execute("g2p.decide.statement", "action_decide", [wizard])
    posted = world.admin.execute(
        "mail.message",
        "search_read",
        [("model", "=", "g2p.account.statement"), ("res_id", "=", record)],
        ["body"],
    )
    assert posted
    assert "<img" not in json.dumps(posted)


# -- companies ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def others(world):
    """Return role -> :class:`User` of another company."""
    company = world.create("res.company", name="Another ministry")
    made = make_users(world, "elsewhere-", company)
    return {role: User(world, *made[role]) for role in ROLES}


def test_companies_are_apart_for_every_group_and_model(others, role, first_ids):
    user = others[role]
    wrong = []
    for model, record in first_ids.items():
        if not record:
            continue
        if model in SHARED:
            assert user.is_denied(model, "write", [record], {})
            continue
        if role in MODELS[model]["read"] and user.rpc.execute(model, "search_count", []):
            wrong.append((model, "search_count"))
        calls = (
            ("read", [record], ["id"]),
            ("web_read", [record], {"display_name": {}}),
            ("export_data", [record], ["display_name"]),
            ("write", [record], {}),
            ("unlink", [record]),
        )
        wrong += [(model, call[0]) for call in calls if not user.is_denied(model, *call)]
    assert wrong == []


def test_no_wizard_shows_or_takes_another_companys_record(others, role, first_ids):
    user = others[role]
    for model, name, subject in (
        ("g2p.cancel.envelope", "envelope_id", "g2p.disbursement.envelope"),
        ("g2p.decide.block", "envelope_id", "g2p.disbursement.envelope"),
        ("g2p.decide.batch", "batch_id", "g2p.disbursement.batch"),
        ("g2p.decide.statement", "statement_id", "g2p.account.statement"),
        ("g2p.match.entry", "line_id", "g2p.account.statement.line"),
        ("g2p.reissue", "envelope_id", "g2p.disbursement.envelope"),
        ("g2p.certificate.page", "envelope_id", "g2p.disbursement.envelope"),
        ("g2p.export.register", "envelope_id", "g2p.disbursement.envelope"),
        ("g2p.prove.payment", "certificate_id", "g2p.certificate"),
        ("g2p.reconciliation.report", "account_id", "g2p.funding.account"),
    ):
        values = {name: first_ids[subject], "reason": "x", "note": "x", "reference": "x"}
        values["disbursement_id"] = "x" if model == "g2p.prove.payment" else False
        values.update(
            decision={"g2p.decide.batch": "paid", "g2p.decide.block": "blocked"}.get(
                model, "accept"
            )
        )
        known = world_fields(user, model) if role in MODELS[model]["create"] else values
        values = {field: value for field, value in values.items() if field in known}
        assert user.is_denied(model, "create", [values]), model
    values = {"line_ids": [(6, 0, [first_ids["g2p.account.statement.line"]])], "note": "x"}
    assert user.is_denied("g2p.dismiss.entry", "create", [values])


def test_no_wizard_tells_of_another_companys_record_before_it_is_stored(others, role, first_ids):
    user = others[role]
    envelope = {"envelope_id": first_ids["g2p.disbursement.envelope"]}
    for model, shown in (
        ("g2p.certificate.page", ["declared_amount", "paid_count"]),
        ("g2p.certificate.page", ["point_ids", "is_closed"]),
        ("g2p.export.register", ["payment_count"]),
        ("g2p.reissue", ["group_ids"]),
    ):
        asked = {name: {} for name in ("envelope_id", *shown)}
        assert user.is_denied(model, "onchange", [], envelope, ["envelope_id"], asked), shown


def test_a_bulk_action_is_no_way_around_what_its_officer_may_see(world, users, others):
    """Whatever selection a caller makes up: it is the caller who searches, when it is done, too."""
    secret = [["account_number", "=", ACCOUNT]]
    every = [["id", ">", 0]]

    def ask(user, domain, model="g2p.disbursement", kind="resolve"):
        values = {"kind": kind, "res_model": model, "domain": domain}
        return user.outcome("g2p.start.bulk.action", "create", [values])

    def counted(user, domain):
        wizard = ask(user, domain)
        if wizard == ACCESS_ERROR:
            return ACCESS_ERROR
        found = user.outcome("g2p.start.bulk.action", "read", wizard, ["selected_count"])
        return found if isinstance(found, str) else found[0]["selected_count"]

    assert counted(users["officer"], secret) == ACCESS_ERROR
    assert counted(users["administrator"], secret) == 1
    assert counted(users["officer"], every) >= 3
    assert counted(others["officer"], every) == 0
    # Odoo's operators that ask for no access, and SQL for a name of a field
    for domain in (
        [["envelope_id", "any!", [["company_id", "!=", 0]]]],
        [['id" = 1 OR "id', "=", 1]],
        [["envelope_id.funding_account_id.account_number", "=", world.account_number]],
    ):
        assert isinstance(counted(users["officer"], domain), str), domain
        assert isinstance(counted(others["officer"], domain), str), domain
    # models and steps that are in no list
    for model, kind in (("res.users", "assign"), ("g2p.disbursement", "retry")):
        wizard = ask(users["administrator"], every, model, kind)
        answer = users["administrator"].outcome("g2p.start.bulk.action", "action_start", wizard)
        assert answer == USER_ERROR, (model, kind)


def world_fields(user, model):
    return user.rpc.execute(model, "fields_get", [], ["type"])


def test_no_button_works_on_another_companys_record(others, role, public_methods, first_ids):
    user = others[role]
    opened = [
        (model, method)
        for model, method in public_methods
        if method.startswith("action_")
        and first_ids[model]
        and model not in SHARED
        and (model, method) not in OF_NO_RECORD
        and not user.is_denied(model, method, [first_ids[model]])
    ]
    assert opened == []


@pytest.fixture
def open_to_all(world):
    """Have program and bank name no user for the time of a test: open to all of their company."""
    records = [("g2p.benefit.program", world.program_id), ("g2p.sponsor.bank", world.bank_id)]
    named = []
    for model, record in records:
        [values] = world.admin.execute(model, "read", [record], ["api_user_ids"])
        named.append((model, record, values["api_user_ids"]))
        world.admin.execute(model, "write", [record], {"api_user_ids": [(5,)]})
    yield
    for model, record, users in named:
        world.admin.execute(model, "write", [record], {"api_user_ids": [(6, 0, users)]})


@pytest.mark.usefixtures("open_to_all")
def test_the_machines_of_another_company_find_nothing(world, others):
    """Not even of a program and a bank that name no user."""
    pbms, bank = others["pbms"].rpc, others["bank"].rpc
    envelope = {"disbursement_envelope_id": world.pbms.envelope_id}
    payment = next(iter(world.pbms.ids.values()))
    balance = f"C{today():%y%m%d}USD1,00"
    statement = (
        f":20:OTHER\n:25:{world.account_number}\n:28C:9/1\n:60F:{balance}\n:62F:{balance}\n-\n"
    )
    update = {"disbursement_id": payment, "status": "rejected"}
    for rpc, method, arguments, code in (
        (pbms, "get_disbursement_envelope_status", envelope, "DISBURSEMENT_ENVELOPE_NOT_FOUND"),
        (pbms, "cancel_disbursement_envelope", envelope, "DISBURSEMENT_ENVELOPE_NOT_FOUND"),
        (pbms, "cancel_disbursements", {"disbursement_ids": [payment]}, "INVALID_DISBURSEMENT_ID"),
        (bank, "upload_mt940", {"statement": statement}, "UNKNOWN_ACCOUNT"),
        (
            bank,
            "update_status_of_disbursements",
            {"updates": [update]},
            "INVALID_DISBURSEMENT_PAYLOAD",
        ),
    ):
        with pytest.raises(RpcError) as caught:
            rpc.execute(BRIDGE, method, **arguments)
        assert caught.value.arguments[0] == code
        assert world.account_number not in str(caught.value)
    context = {"allowed_company_ids": [1, 2, 3]}
    answer = pbms.execute(BRIDGE, "get_disbursement_changes", context=context)
    assert answer["changes"] == []
