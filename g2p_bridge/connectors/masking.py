"""What may be shown of accounts, people and secrets: in logs, call records and error messages."""

import json
import re
from functools import lru_cache

MASK = "****"
#: list items and characters of a text that are kept; the rest is counted
MAX_ITEMS = 20
MAX_TEXT = 500
MAX_DEPTH = 12
MIN_KNOWN = 5
#: a body is parsed to be masked only up to this size
MAX_BODY_BYTES = 16 * 1024 * 1024

#: the last four characters are kept, so that an officer can tell two accounts apart
ACCOUNT_FIELDS = frozenset(
    {
        "account_number",
        "remitting_account",
        "beneficiary_account",
        "program_account_number",
        "account_no",
        "debtor_account",
        "creditor_account",
        "account",
        "iban",
    }
)
#: nothing is kept
PRIVATE_FIELDS = frozenset(
    {
        "beneficiary_phone_no",
        "beneficiary_email",
        "beneficiary_name",
        "beneficiary_name_from_bank",
        "account_holder",
        "account_holder_name",
        "creditor_name",
        "mobile_number",
        "phone_number",
        "phone_no",
        "phone",
        "msisdn",
        "email_address",
        "email",
        "fa",
        "name",
        "authorization",
        "signature",
        "secret",
        "token",
        "access_token",
        "api_key",
        "password",
    }
)
_ACCOUNT_ENDINGS = ("_account", "account_number", "account_no", "iban")
_PRIVATE_ENDINGS = (
    *("_name", "phone", "phone_no", "phone_number", "mobile", "mobile_number"),
    *("email", "email_address", "_holder", "password", "secret", "token", "api_key"),
)
_CAPITAL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_DIGITS = re.compile(r"\d{6,}")
#: a number of six digits and more, also in groups as people write accounts and phone numbers
_SPACED_DIGITS = re.compile(r"\d(?:[ .-]?\d){5,}")
_EMAIL = re.compile(r"[^\s@<>\"',;:]{1,64}@[^\s@<>\"',;:]{1,255}")
_ESCAPED_IN_JSON = re.compile(r'["\\\x00-\x1f]')
_HAS_SPACE = re.compile(r"\s")


def mask_account(number):
    """Return an account number with all but its last four characters masked.

    Spaces do not count. A number of fewer than 8 characters is masked as a whole, of an e-mail
    address the domain is kept.

    >>> mask_account("ACC000012345"), mask_account("1234567"), mask_account("a.b@example.org")
    ('****2345', '****', '****@example.org')
    """
    compact = "".join(str(number).split())
    if not compact:
        return ""
    if "@" in compact:
        return MASK + compact[compact.rindex("@") :]
    return MASK + compact[-4:] if len(compact) >= 8 else MASK


def mask_json(value, *, accounts=ACCOUNT_FIELDS, private=PRIVATE_FIELDS, max_items=MAX_ITEMS):
    """Return a copy of JSON data that may be stored and shown.

    Fields are known by name, in any spelling (``account_number``, ``accountNumber``): those of
    ``accounts`` keep four characters, those of ``private`` none. In other texts e-mail addresses,
    and in sentences numbers of six digits and more, are masked. A long list ends in a text that
    counts what was left out.

    :param value: dict, list or scalar as the json module makes them
    :param frozenset accounts: names of fields that hold account numbers, lower_snake_case
    :param frozenset private: names of fields that hold names, phone numbers, tokens ...
    :param int max_items: items of a list that are kept
    """
    return _mask(value, None, (accounts, private, max_items), 0)


def mask_exchange(request, answer, secrets=()):
    """Return the bodies of a request and its answer as texts that may be stored and shown.

    An answer may repeat what the request held: what is masked there is masked in it wherever it
    stands. Texts of fewer than 5 characters are left, for any sentence may hold them.

    :param request: bytes or str of JSON; None for no body; likewise ``answer``
    :param secrets: further texts that are masked wherever they stand in the answer
    """
    data, problem = _parse(request)
    known = private_values(data) | set(secrets)
    return _too_long(request) or _text_of(data, problem), _without(mask_body(answer), known)


def mask_body(body):
    """Return a body as text that may be stored and shown.

    :param body: bytes or str; None for no body
    """
    return _too_long(body) or _text_of(*_parse(body))


def private_values(data, *, accounts=ACCOUNT_FIELDS, private=PRIVATE_FIELDS):
    """Return what :func:`mask_json` masks in JSON data by its name, as a set of texts.

    Those of fewer than 5 characters are left out.
    """
    found = set()
    _collect(data, None, (accounts, private), found)
    return {value for value in found if len(value) >= MIN_KNOWN}


def _collect(value, kind, rules, found):
    """Add the masked scalars in a dict or list; what is neither holds none by itself."""
    if isinstance(value, dict):
        kinds = _kinds(tuple(value), *rules) if kind is None else (kind,) * len(value)
        items = zip(kinds, value.values(), strict=True)
    elif isinstance(value, list):
        items = ((kind, item) for item in value)
    else:
        return
    for item_kind, item in items:
        if isinstance(item, dict | list):
            _collect(item, item_kind or None, rules, found)
        elif item_kind and item and not isinstance(item, bool):
            found.add(str(item))


@lru_cache(maxsize=256)
def _kinds(names, accounts, private):
    """Return what the fields of a dict hold: the rows of a body all have the same."""
    return tuple(_kind(name, accounts, private) for name in names)


def _parse(body):
    """Return (JSON data, None), or (None, text that stands for a body that cannot be shown)."""
    if not body:
        return None, ""
    try:
        return json.loads(body), None
    except (ValueError, RecursionError):
        # garbage may hold anything, so nothing of it is kept
        return None, f"({len(body)} bytes, no JSON)"


def _too_long(body):
    return f"({len(body)} bytes)" if body and len(body) > MAX_BODY_BYTES else ""


def _text_of(data, problem):
    if problem is not None:
        return problem
    return json.dumps(mask_json(data), ensure_ascii=False, indent=1, default=str)


def _without(text, known):
    """Return the text with all that is known masked, as it is and as JSON writes it."""
    # of thousands hardly one
    written = {form for value in known for form in _forms_in_json(value) if form in text}
    for form in sorted(written, key=len, reverse=True):  # the longer one may hold the shorter
        text = text.replace(form, MASK)
    return text


def _forms_in_json(value):
    if _ESCAPED_IN_JSON.search(value) is None:
        return (value,)
    return value, json.dumps(value, ensure_ascii=False)[1:-1]


def mask_text(text):
    """Return a text for people with e-mail addresses and numbers of six digits and more masked.

    >>> mask_text("Grant for DE89 3704 0044, see 2026")
    'Grant for DE****, see 2026'
    """
    return _SPACED_DIGITS.sub(MASK, _EMAIL.sub(MASK, text))


def mask_path(path):
    """Return the path of a URL with numbers of six digits and more masked."""
    return _DIGITS.sub(MASK, path)


@lru_cache(maxsize=4096)
def _kind(name, accounts, private):
    """Say what a field of that name holds: ``account``, ``private`` or neither (empty)."""
    snake = _CAPITAL.sub("_", name).lower().replace("-", "_").replace(" ", "_")
    if snake in accounts:
        return "account"
    if snake in private or snake.endswith(_PRIVATE_ENDINGS):
        return "private"
    return "account" if snake.endswith(_ACCOUNT_ENDINGS) else ""


def _mask(value, kind, rules, depth):
    if isinstance(value, dict):
        return _mask_dict(value, kind, rules, depth)
    if isinstance(value, list | tuple):
        return _mask_list(value, kind, rules, depth)
    if value is None or value == "" or isinstance(value, bool):
        return value
    if kind == "private":
        return MASK
    if kind == "account":
        return mask_account(value)
    return _mask_text(value) if isinstance(value, str) else value


def _mask_dict(value, kind, rules, depth):
    accounts, private, _max_items = rules
    if depth >= MAX_DEPTH:
        return MASK
    return {
        name: _mask(item, kind or _kind(name, accounts, private), rules, depth + 1)
        for name, item in value.items()
    }


def _mask_list(value, kind, rules, depth):
    if depth >= MAX_DEPTH:
        return MASK
    max_items = rules[2]
    kept = [_mask(item, kind, rules, depth + 1) for item in value[:max_items]]
    if len(value) > max_items:
        kept.append(f"... and {len(value) - max_items} more")
    return kept


def _mask_text(text):
    if len(text) > MAX_TEXT:
        text = f"{text[:MAX_TEXT]}... ({len(text)} characters)"
    if "@" in text:
        text = _EMAIL.sub(MASK, text)
    return _DIGITS.sub(MASK, text) if _HAS_SPACE.search(text) else text
