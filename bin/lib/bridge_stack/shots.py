"""What bin/screenshots takes pictures of."""

import base64
import io
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

import pypdfium2
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

_WIDE = (1440, 900)
_PHONE = (390, 844)


def _nothing(_page):
    """Take the page as it opens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """One picture.

    :ivar name: of the file, without .png
    :ivar action: XML id of the action that opens it
    :ivar model: of the record whose form it shows, with ``domain`` and ``order`` that find it
    :ivar user: login, and password, in the demo data
    :ivar wait: selector that is there once the page is
    :ivar steps: what is done then, with Playwright's page
    """

    name: str
    action: str
    model: str = ""
    domain: list = field(default_factory=list)
    order: str = "id"
    user: str = "officer"
    size: tuple = _WIDE
    wait: str = ".o_view_controller, .o_action, .o_g2p_home, .o_g2p_checklist"
    steps: Callable = _nothing

    @property
    def is_rtl(self):
        return self.user == "arabic"


def _today():
    """Return the day as the demo data has it: of this machine."""
    return datetime.now().astimezone().date()


def _in_dialog(selector):
    """Return steps that press a button, and wait for the dialog that it opens."""

    def steps(page):
        page.locator(selector).first.click()
        page.wait_for_selector(".modal .o_form_view")

    return steps


def _view(kind):
    """Return steps that switch a list to another of its views."""

    def steps(page):
        page.locator(f".o_switch_view.o_{kind}").click()
        page.wait_for_selector(f".o_{kind}_view")

    return steps


def _tab(name):
    """Return steps that open a tab of a form and bring it into sight."""

    def steps(page):
        tab = page.locator(f".o_notebook a[name={name}]")
        tab.click()
        tab.scroll_into_view_if_needed()

    return steps


def _review_approval(page):
    _tab("approval")(page)
    page.locator(".o_g2p_review button").first.click()
    page.wait_for_selector(".o_g2p_review dl")
    page.locator(".o_g2p_review").evaluate("each => each.scrollIntoView({block: 'end'})")


def _find_payment(page):
    page.keyboard.press("Alt+Shift+F")
    page.locator(".o_command_palette input").fill(f"CHILD-{_today():%Y-%m}-00017")
    page.wait_for_selector(".o_command_palette .o_command:has-text('CHILD')")


def _drag_files(page):
    """Hold files over the list, so that it shows where they may be dropped."""
    page.evaluate(
        """() => {
            const data = new DataTransfer();
            data.items.add(new File(["x"], "STMT-234.sta", {type: "text/plain"}));
            document.querySelector(".o_list_renderer").dispatchEvent(
                new DragEvent("dragenter", {dataTransfer: data, bubbles: true})
            );
        }"""
    )
    page.wait_for_timeout(300)


def _match_entry(page):
    page.locator("button:has-text('Match…')").first.click()
    page.wait_for_selector(".modal .o_form_view")
    page.locator(".modal [name=disbursement_id] input").click()
    page.locator(".modal .o-autocomplete--dropdown-item").first.click()
    page.locator(".modal [name=note] input, .modal [name=note] textarea").fill(
        "Named in the bank's letter of today"
    )


#: two of its rows are wrong
_LIST = """Beneficiary ID;Name;Amount;Reference;Description
CH-1001;Grace Mensah;50.00;CB-2027-001;Child benefit, arrears
CH-1002;Ravi Sharma;75.00;CB-2027-002;Child benefit, arrears
CH-1003;;25.00;CB-2027-003;Child benefit, arrears
CH-1004;Elena Popescu;100.00;CB-2027-004;Child benefit, arrears
CH-1005;Tomás Rojas;-50.00;CB-2027-005;Child benefit, arrears
CH-1006;Fatou Ndiaye;1,250.00;CB-2027-006;Child benefit, arrears
"""


def _import_file(page):
    page.locator("[name=file] input[type=file]").set_input_files(
        {"name": "arrears.csv", "mimeType": "text/csv", "buffer": _LIST.encode()}
    )
    page.locator("[name=program_id] input").fill("Child")
    page.locator(".dropdown-item:has-text('Child benefit')").first.click()
    page.locator("[name=cycle_code_mnemonic] input").fill("Arrears")
    page.locator("[name=declared_count] input").fill("6")
    page.locator("[name=declared_amount] input").fill("1550")
    page.wait_for_selector(".o_g2p_chosen_file:has-text('arrears.csv')")


def _import_columns(page):
    _import_file(page)
    page.locator("button[name=action_look]").click()
    page.wait_for_selector("[name=column_ids] .o_data_row")


def _import_review(page):
    _import_columns(page)
    page.locator("button[name=action_check]").click()
    page.wait_for_selector("[name=review] td")


def _look_up_again(page):
    page.locator(".o_searchview_dropdown_toggler").click()
    page.locator(".o_filter_menu .o_menu_item:text-is('Unresolved')").click()
    page.keyboard.press("Escape")
    page.wait_for_selector(".o_facet_value:has-text('Unresolved')")
    page.wait_for_timeout(500)
    page.locator("thead .o_list_record_selector input").check()
    page.locator(".o_cp_action_menus .dropdown-toggle:has-text('Actions')").first.click()
    page.locator(".o-dropdown--menu .dropdown-item:has-text('Look up again')").click()
    page.locator(".modal button[name=action_start]:visible").click()
    page.wait_for_selector(
        ".modal:has-text('Asked for by') .o_arrow_button_current:text-is('Done')"
    )
    page.locator(".o_notification_close").click()


def _certificate(page):
    page.locator(".o_statusbar_buttons button[name=action_certificate]").click()
    page.locator("button[name=action_issue]:visible").first.click()
    page.wait_for_selector("button[name=action_download_pdf]")


def _show_paper(page, button):
    """Press a button that gives a PDF, and show its first page in place of the form."""
    with page.expect_download() as waiting:
        page.locator(button).click()
    document = pypdfium2.PdfDocument(waiting.value.path())
    picture = io.BytesIO()
    document[0].render(scale=1.5).to_pil().save(picture, "PNG")
    document.close()
    data = base64.b64encode(picture.getvalue()).decode()
    page.set_viewport_size({"width": 893, "height": 1263})
    page.set_content(
        f'<body style="margin: 0"><img style="width: 100%" src="data:image/png;base64,{data}">'
    )


def _certificate_paper(page):
    _certificate(page)
    _show_paper(page, "button[name=action_download_pdf]")


def _reconciliation(page):
    page.locator(".modal [name=account_id] input").fill("Child")
    page.locator(".o-autocomplete--dropdown-item:has-text('Child benefit')").first.click()
    _show_paper(page, ".modal button:has-text('Print (PDF)')")


def _not_paid(page):
    _tab("not_paid")(page)
    page.locator(".o_g2p_not_paid").evaluate("each => each.scrollIntoView({block: 'end'})")


def _envelope(name, state, program, **values):
    return Shot(
        name=name,
        action="g2p_bridge.g2p_disbursement_envelope_action",
        model="g2p.disbursement.envelope",
        domain=[["state", "=", state], ["program_id.mnemonic", "=", program]],
        **{"order": "disbursement_schedule_date desc, id desc", **values},
    )


_ENVELOPES = {"action": "g2p_bridge.g2p_disbursement_envelope_action"}
_STATEMENTS = {"action": "g2p_bridge.g2p_account_statement_action"}
#: the one that prepare() uploads
_ONE_STATEMENT = {
    **_STATEMENTS,
    "model": "g2p.account.statement",
    "domain": [["line_ids.error_reason", "=", "INVALID_DISBURSEMENT_ID"]],
    "order": "closing_date desc, id desc",
}
_IMPORT = {"action": "g2p_bridge.g2p_import_envelope_action"}
_BATCHES = {"action": "g2p_bridge.g2p_disbursement_batch_action"}
_PAYMENTS = {
    "action": "g2p_bridge.g2p_disbursement_action",
    "model": "g2p.disbursement",
    "order": "state_since desc, id desc",
}

SHOTS = [
    Shot(name="home", action="g2p_bridge.g2p_home_action"),
    Shot(name="home-phone", action="g2p_bridge.g2p_home_action", size=_PHONE),
    Shot(name="home-arabic", action="g2p_bridge.g2p_home_action", user="arabic"),
    Shot(name="envelopes", **_ENVELOPES),
    Shot(name="envelopes-cards", **_ENVELOPES, steps=_view("kanban")),
    Shot(name="envelopes-phone", **_ENVELOPES, size=_PHONE),
    Shot(name="envelopes-calendar", **_ENVELOPES, steps=_view("calendar")),
    Shot(name="envelopes-pivot", **_ENVELOPES, steps=_view("pivot")),
    Shot(name="envelopes-graph", **_ENVELOPES, steps=_view("graph")),
    _envelope("envelope", "disbursed", "PENSION"),
    _envelope("envelope-not-paid", "disbursed", "PENSION", steps=_not_paid),
    _envelope("envelope-phone", "disbursed", "PENSION", size=_PHONE),
    _envelope("envelope-arabic", "disbursed", "PENSION", user="arabic"),
    _envelope("envelope-sending", "disbursing", "CHILD"),
    _envelope("envelope-settled", "settled", "CHILD"),
    _envelope("envelope-timeline", "settled", "CHILD", steps=_tab("timeline")),
    _envelope("envelope-attention", "needs_attention", "FARM"),
    _envelope("envelope-receiving", "receiving", "CHILD"),
    _envelope("approval", "ready", "PENSION", user="approver", steps=_review_approval),
    Shot(name="attention", action="g2p_bridge.g2p_attention_action"),
    Shot(name="attention-phone", action="g2p_bridge.g2p_attention_action", size=_PHONE),
    Shot(name="payment", **_PAYMENTS, domain=[["state", "=", "reversed"]]),
    Shot(name="payment-phone", **_PAYMENTS, domain=[["state", "=", "reversed"]], size=_PHONE),
    Shot(name="find-payment", action="g2p_bridge.g2p_home_action", steps=_find_payment),
    Shot(name="batches", **_BATCHES),
    Shot(
        name="batch-unknown",
        **_BATCHES,
        model="g2p.disbursement.batch",
        domain=[["state", "=", "unknown"]],
    ),
    Shot(name="statements", **_STATEMENTS),
    Shot(name="statements-drop", **_STATEMENTS, steps=_drag_files),
    Shot(name="statement", **_ONE_STATEMENT),
    Shot(name="match-entry", **_ONE_STATEMENT, steps=_match_entry),
    Shot(name="import-file", **_IMPORT, steps=_import_file),
    Shot(name="import-columns", **_IMPORT, steps=_import_columns),
    Shot(name="import-review", **_IMPORT, steps=_import_review),
    _envelope(
        "reissue",
        "settled",
        "CHILD",
        steps=_in_dialog(".o_statusbar_buttons button:has-text('Reissue')"),
    ),
    Shot(
        name="bulk-action",
        action="g2p_bridge.g2p_disbursement_action",
        steps=_look_up_again,
    ),
    _envelope("certificate", "settled", "PENSION", steps=_certificate),
    _envelope("certificate-paper", "settled", "CHILD", steps=_certificate_paper),
    Shot(
        name="reconciliation",
        action="g2p_bridge.g2p_reconciliation_report_action",
        wait=".modal .o_form_view",
        steps=_reconciliation,
    ),
    Shot(
        name="bank",
        action="g2p_bridge.g2p_sponsor_bank_action",
        model="g2p.sponsor.bank",
        domain=[["code", "=", "FIRST"]],
    ),
    Shot(
        name="test-connection",
        action="g2p_bridge.g2p_sponsor_bank_action",
        model="g2p.sponsor.bank",
        domain=[["code", "=", "EXAMPLE"]],
        user="admin",
        steps=_in_dialog("button[name=action_test_connection]"),
    ),
    Shot(name="setup", action="g2p_bridge.setup_checklist_action", user="admin"),
    Shot(name="programs", action="g2p_bridge.g2p_benefit_program_action"),
    Shot(
        name="program",
        action="g2p_bridge.g2p_benefit_program_action",
        model="g2p.benefit.program",
        domain=[["mnemonic", "=", "PENSION"]],
        user="admin",
    ),
    Shot(name="webhooks", action="g2p_bridge.g2p_webhook_action", user="admin"),
    Shot(name="webhook", action="g2p_bridge.g2p_webhook_action", model="g2p.webhook", user="admin"),
    Shot(
        name="trusted-key",
        action="g2p_bridge.g2p_trusted_key_action",
        model="g2p.trusted.key",
        user="admin",
    ),
    Shot(
        name="bank-iso20022",
        action="g2p_bridge.g2p_sponsor_bank_action",
        model="g2p.sponsor.bank",
        domain=[["connector", "=", "iso20022"]],
        user="admin",
    ),
    Shot(name="bank-files", action="g2p_bridge_bank_iso20022.g2p_bank_file_action"),
]


def prepare(stack):
    """Give the demo's database what the pictures need beside its data."""
    _add_arabic_officer(stack.admin)
    _upload_statement(stack.rpc("officer", "officer"))
    _add_connections(stack.admin)


def _add_connections(admin):
    """Add what else may be connected: a receiver of events, a signer of messages, a file bank."""
    [program] = admin.execute("g2p.benefit.program", "search", [["mnemonic", "=", "PENSION"]])
    admin.execute(
        "g2p.webhook",
        "create",
        {"program_id": program, "base_url": "http://localhost:9/g2p-events", "is_paused": True},
    )
    group = [["module", "=", "g2p_bridge"], ["name", "=", "group_pbms_api"]]
    [group_id] = admin.execute("ir.model.data", "search_read", group, ["res_id"])
    user = admin.execute(
        "res.users",
        "create",
        {
            "name": "Program system",
            "login": "shown-pbms",
            "group_ids": [(6, 0, [group_id["res_id"]])],
        },
        context={"no_reset_password": True},
    )
    key = rsa.generate_private_key(65537, 2048).public_key()
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    values = {"sender_id": "pbms", "api_user_id": user, "public_key": pem}
    admin.execute("g2p.trusted.key", "create", values)
    admin.execute(
        "g2p.sponsor.bank",
        "create",
        {
            "name": "Cooperative Bank",
            "code": "COOP",
            "connector": "iso20022",
            "iso20022_transport": "folder",
            "iso20022_out_path": "coop/to-bank",
            "iso20022_in_path": "coop/from-bank",
            "iso20022_initiating_party_name": "Ministry of Social Affairs",
            "iso20022_agent_bic": "BANKXX22",
        },
    )


def _add_arabic_officer(admin):
    """By the server itself, not a shell, or its caches would not know of the language."""
    wizard = admin.execute(
        "base.language.install",
        "create",
        {
            "lang_ids": admin.execute(
                "res.lang", "search", [["code", "=", "ar_001"]], context={"active_test": False}
            )
        },
    )
    admin.execute("base.language.install", "lang_install", [wizard])
    [officer] = admin.execute(
        "res.users", "search_read", [["login", "=", "officer"]], ["group_ids", "tz"]
    )
    admin.execute(
        "res.users",
        "create",
        {
            "name": "أمينة ديالو",
            "login": "arabic",
            "password": "arabic",
            "lang": "ar_001",
            "tz": officer["tz"],
            "group_ids": [(6, 0, officer["group_ids"])],
        },
        context={"no_reset_password": True},
    )


def _upload_statement(officer):
    """Upload a statement with a debit without reference, for which there are open payments."""
    [last] = officer.execute(
        "g2p.account.statement",
        "search_read",
        [["account_id.name", "=", "Child benefit, treasury"]],
        ["statement_number", "closing_balance"],
        order="id desc",
        limit=1,
    )
    day, number = _today(), int(last["statement_number"]) + 1
    opening, debit = last["closing_balance"], 75
    lines = [
        f":20:STMT{number}",
        ":25:4001234501",
        f":28C:{number}/1",
        f":60F:C{day:%y%m%d}USD{opening:.2f}".replace(".", ","),
        f":61:{day:%y%m%d}{day:%m%d}D{debit},00NTRFNONREF//E{number}00001",
        ":86:CHILD BENEFIT",
        f":62F:C{day:%y%m%d}USD{opening - debit:.2f}".replace(".", ","),
        "-",
        "",
    ]
    wizard = officer.execute(
        "g2p.upload.statement",
        "create",
        {
            "content": base64.b64encode("\n".join(lines).encode()).decode(),
            "filename": f"STMT{number}.sta",
        },
    )
    officer.execute("g2p.upload.statement", "action_upload", [wizard])
