"""The operator's side: accounts, clock, settlement, statements, faults, all under /admin/."""

import threading

from werkzeug.routing import Rule
from werkzeug.wrappers import Response

from . import ledger, money, mt940_writer, settlement, shapes, statements
from .answers import errors, to_json
from .bank import ACCOUNT_NOT_FOUND, AccountExists, UnknownAccount
from .faults import REFUSE, InvalidFault

_MARKS = ("D", "C", "RD", "RC")
_MAX_REFUSE_S = 600


def rules(app):
    """The URL rules; each handler takes (request, **arguments)."""
    routes = (
        ("/admin/accounts", "POST", _create_account),
        ("/admin/postings", "POST", _create_posting),
        ("/admin/beneficiaries", "POST", _flag_beneficiary),
        ("/admin/clock", "GET", _get_clock),
        ("/admin/clock", "POST", _advance_clock),
        ("/admin/settle", "POST", _settle),
        ("/admin/statements", "GET", _list_statements),
        ("/admin/statements", "POST", _make_statements),
        ("/admin/statements/<int:statement_id>", "GET", _read_statement),
        ("/admin/uploader", "POST", _set_uploader),
        ("/admin/calls", "GET", _list_calls),
        ("/admin/faults", "GET", _list_faults),
        ("/admin/faults", "POST", _add_fault),
        ("/admin/faults", "DELETE", _clear_faults),
    )
    return [Rule(path, endpoint=_Bound(app, view), methods=[verb]) for path, verb, view in routes]


class _Bound:
    """A view with its application."""

    def __init__(self, app, view):
        self._app = app
        self._view = view

    def __call__(self, request, **arguments):
        return self._view(self._app, request, **arguments)


def run_round(app):
    """What the bank does by itself: settle, write statements, upload them.

    :return: the answers of the three steps as one dict
    """
    return {
        **settlement.settle(app.bank),
        "statements": [f"{number}" for number in statements.generate_all(app.bank)],
        "uploads": app.uploader.upload_pending(),
    }


def generate_account_statement(app, account_number):
    """``/generate_account_statement``: written now, uploaded in the background, as captured."""
    settlement.settle(app.bank)
    made = statements.generate(app.bank, account_number, even_if_empty=True)
    if made is None:
        return {
            "status": "failed",
            "account_statement_id": None,
            "error_message": ACCOUNT_NOT_FOUND,
        }
    threading.Thread(target=app.uploader.upload_pending, daemon=True).start()
    return {"status": "success", "account_statement_id": f"{made[0]}", "error_message": None}


def _create_account(app, request):
    body = _body(request, "account_number", "currency", "balance", "account_holder")
    number, currency = _text(body, "account_number"), _text(body, "currency")
    # MT940 :25: is 35x, a currency 3!a
    if not 0 < len(number) <= 35 or mt940_writer.clean(number) != number or len(currency) != 3:
        raise shapes.InvalidRequest(["An account has a number of SWIFT characters and a currency"])
    balance, holder = _units(body["balance"]), _text(body, "account_holder")
    try:
        app.bank.create_account(number, currency, balance, holder)
    except AccountExists:
        return errors(409, [("EXB-ADM-409", "There is an account with this number")])
    return to_json({"status": "success"}, 201)


def _create_posting(app, request):
    body = _body(request, "account_number", "mark", "amount", optional=("reference", "narrative"))
    if body["mark"] not in _MARKS:
        raise shapes.InvalidRequest([f"mark is one of {', '.join(_MARKS)}"])
    amount = _units(body["amount"])
    if amount <= 0:
        raise shapes.InvalidRequest(["Input should be greater than 0"])
    try:
        app.bank.post(
            _text(body, "account_number"),
            mark=body["mark"],
            amount=amount,
            reference=_text(body, "reference"),
            narrative=_text(body, "narrative"),
        )
    except UnknownAccount:
        return errors(404, [("EXB-ADM-404", ACCOUNT_NOT_FOUND)])
    return to_json({"status": "success"}, 201)


def _flag_beneficiary(app, request):
    body = _body(request, "beneficiary", "reason")
    app.bank.flag_beneficiary(_text(body, "beneficiary"), _text(body, "reason"))
    return to_json({"status": "success"})


def _get_clock(app, _request):
    with app.bank.store.read() as db:
        return to_json({"business_date": f"{app.bank.business_date(db)}"})


def _advance_clock(app, request):
    days = _body(request, "days")["days"]
    if isinstance(days, bool) or not isinstance(days, int) or not 0 <= days <= 3660:
        raise shapes.InvalidRequest(["days is a whole number from 0 to 3660"])
    return to_json({"business_date": f"{app.bank.advance_clock(days)}"})


def _settle(app, _request):
    return to_json(settlement.settle(app.bank))


def _list_statements(app, _request):
    with app.bank.store.read() as db:
        return to_json({"statements": ledger.statements(db)})


def _make_statements(app, request):
    """Write the statements of one account or of all, and upload what was not taken yet."""
    body = _body(request, optional=("account_number", "upload"))
    number = _text(body, "account_number")
    made = statements.generate(app.bank, number) if number else statements.generate_all(app.bank)
    if made is None:
        return errors(404, [("EXB-ADM-404", ACCOUNT_NOT_FOUND)])
    uploads = app.uploader.upload_pending() if body.get("upload", True) else []
    return to_json({"statements": [f"{item}" for item in made], "uploads": uploads})


def _read_statement(app, _request, statement_id):
    with app.bank.store.read() as db:
        row = db.execute("SELECT content FROM statement WHERE id = ?", (statement_id,)).fetchone()
    if row is None:
        return errors(404, [("EXB-ADM-404", "No such statement")])
    return Response(row["content"], content_type="text/plain")


def _set_uploader(app, request):
    body = _body(request, "url", optional=("key",))
    app.uploader.configure(_text(body, "url"), _text(body, "key"))
    return to_json({"status": "success"})


def _list_calls(app, _request):
    return to_json({"calls": app.under_way.listing()})


def _list_faults(app, _request):
    return to_json({"faults": app.faults.listing()})


def _add_fault(app, request):
    body = shapes.parse_json(request.get_data())
    if not isinstance(body, dict):
        raise shapes.InvalidRequest(["Input should be a valid dictionary"])
    values = {name: float(v) if _is_decimal(v) else v for name, v in body.items()}
    if values.get("fault") == REFUSE:
        return _refuse(app, values.get("seconds"))
    try:
        app.faults.add(values)
    except InvalidFault as error:
        raise shapes.InvalidRequest([f"{error}"]) from error
    return to_json({"status": "success"}, 201)


def _refuse(app, seconds):
    is_number = isinstance(seconds, (int, float)) and not isinstance(seconds, bool)
    if not is_number or not 0 < seconds <= _MAX_REFUSE_S:
        raise shapes.InvalidRequest([f"seconds is a number up to {_MAX_REFUSE_S}"])
    app.refuse(seconds)
    return to_json({"status": "success"}, 201)


def _clear_faults(app, _request):
    app.faults.clear()
    return to_json({"status": "success"})


def _body(request, *required, optional=()):
    raw = request.get_data()
    body = shapes.parse_json(raw) if raw else {}
    body = shapes.check_object(body, dict.fromkeys(required, _anything))
    if unknown := sorted(set(body) - set(required) - set(optional)):
        raise shapes.InvalidRequest([f"Unknown field {name}" for name in unknown])
    return body


def _anything(_value):
    return None


def _text(body, name):
    value = body.get(name, "")
    if not isinstance(value, str):
        raise shapes.InvalidRequest([f"{name} should be a valid string"])
    return value


def _units(value):
    """An amount of an operator: a JSON number or a decimal string."""
    try:
        return money.to_units(money.parse(value))
    except money.AmountError as error:
        raise shapes.InvalidRequest([f"{error}"]) from error


def _is_decimal(value):
    return isinstance(value, money.Decimal)
