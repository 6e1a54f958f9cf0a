#!/usr/bin/env python3
"""Checks a certificate of an envelope: signature, hashes, and every sum anew.

This one file and Python 3.9 or later are all that is needed: no Odoo, no server, no network, no
package. It shares no code with the program that issued the certificate.
"""

import argparse
import csv
import gzip
import hashlib
import json
import re
import sys
from base64 import b64decode
from decimal import Decimal

FORMAT = "g2p-bridge-certificate/1"
REGISTER_FORMAT = "g2p-bridge-register/1"
PROOF_FORMAT = "g2p-bridge-payment-proof/1"
OUTCOMES = ("paid", "reversed", "rejected", "unresolved", "cancelled")
#: of a damaged register no more are told
MOST_PROBLEMS = 20
HOLDS, WRONG, UNREADABLE, INCOMPLETE = 0, 1, 2, 3

_EPILOG = """\
exit code: 0 all holds; 1 something does not hold; 2 a file cannot be read;
3 nothing is wrong, but not everything was checked (no register, or no key to compare with).
The fingerprint of the key has to come from the institution by another way than the certificate.
"""


class Unreadable(Exception):
    """A file is not what it should be."""


class Findings:
    """What was checked, in the order of the checks."""

    def __init__(self):
        self.rows = []

    def check(self, holds, sentence, detail=""):
        """Note whether something holds, and return that."""
        self.rows.append(("ok" if holds else "WRONG", sentence, "" if holds else detail))
        return holds

    def open(self, sentence):
        """Note what could not be checked."""
        self.rows.append(("not checked", sentence, ""))

    def remark(self, sentence):
        """Note what a person should know."""
        self.rows.append(("note", sentence, ""))

    def exit_code(self):
        """Return what all findings come to."""
        kinds = {kind for kind, _sentence, _detail in self.rows}
        return WRONG if "WRONG" in kinds else INCOMPLETE if "not checked" in kinds else HOLDS


# Signature


def canonical(value):
    """Return JSON data in the form that is signed (RFC 8785; no floats are in it)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()


def check_signature(findings, document):
    """Check the signature with the key in the document; whose key it is comes later."""
    signature = document["signature"]
    known = signature["algorithm"] == "Ed25519"
    findings.check(known, "The kind of signature is Ed25519", f"it is {signature['algorithm']}")
    key = _decoded(signature["public_key"])
    fingerprint = hashlib.sha256(key).hexdigest()
    findings.check(
        fingerprint == signature["key_id"],
        "The key is the one that the signature names",
        f"it has the fingerprint {fingerprint}",
    )
    findings.check(
        known
        and verify_ed25519(key, canonical(document["certificate"]), _decoded(signature["value"])),
        "The signature fits the certificate: nothing in it was changed",
        "the certificate was changed after it was signed, or the signature was",
    )
    return fingerprint


def _decoded(text):
    try:
        return b64decode(text, validate=True)
    except ValueError:
        return b""


def check_key(findings, fingerprint, expected):
    """Compare the key with the one that the institution published."""
    if expected is None:
        findings.open(
            "Whose key it is: give --public-key or --fingerprint, as the institution published it"
            f" (this certificate says {fingerprint})"
        )
        return
    findings.check(
        fingerprint == expected,
        "The key is the institution's",
        f"the certificate was signed with {fingerprint}, not with {expected}",
    )


def verify_ed25519(key, message, signature):
    """Say whether an Ed25519 signature fits, by the package cryptography where it is there."""
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError:
        return verify_ed25519_in_python(key, message, signature)
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


#: the curve of RFC 8032
_P = 2**255 - 19
_ORDER = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, _P - 2, _P) % _P
_ROOT = pow(2, (_P - 1) // 4, _P)


def verify_ed25519_in_python(key, message, signature):
    """Say whether an Ed25519 signature fits (RFC 8032, 5.1.7), with plain Python."""
    if len(key) != 32 or len(signature) != 64:
        return False
    public, commitment = _point(key), _point(signature[:32])
    scalar = int.from_bytes(signature[32:], "little")
    if public is None or commitment is None or scalar >= _ORDER:
        return False
    digest = hashlib.sha512(signature[:32] + key + message).digest()
    challenge = int.from_bytes(digest, "little") % _ORDER
    base_y = 4 * pow(5, _P - 2, _P) % _P
    base = _point(base_y.to_bytes(32, "little"))
    return _same(_times(scalar, base), _plus(commitment, _times(challenge, public)))


def _point(data):
    """Return the curve point (extended coordinates) of 32 bytes, or None."""
    number = int.from_bytes(data, "little")
    sign, y = number >> 255, number & (2**255 - 1)
    if y >= _P:
        return None
    square = (y * y - 1) * pow(_D * y * y + 1, _P - 2, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * _ROOT % _P
    if (x * x - square) % _P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = _P - x
    return (x, y, 1, x * y % _P)


def _plus(left, right):
    a = (left[1] - left[0]) * (right[1] - right[0]) % _P
    b = (left[1] + left[0]) * (right[1] + right[0]) % _P
    c = 2 * left[3] * right[3] * _D % _P
    d = 2 * left[2] * right[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % _P, g * h % _P, f * g % _P, e * h % _P)


def _times(scalar, point):
    result = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            result = _plus(result, point)
        point = _plus(point, point)
        scalar >>= 1
    return result


def _same(left, right):
    return (
        not (left[0] * right[2] - right[0] * left[2]) % _P
        and not (left[1] * right[2] - right[1] * left[2]) % _P
    )


# Sums


class Money:
    """Amounts of one currency: texts with exactly its decimals, reckoned in its smallest unit."""

    def __init__(self, decimals):
        self.decimals = decimals
        tail = rf"\.[0-9]{{{decimals}}}" if decimals else ""
        self._pattern = re.compile(rf"-?(?:0|[1-9][0-9]*){tail}", re.ASCII)

    def units(self, text):
        """Return an amount as a whole number of the smallest unit."""
        if not isinstance(text, str) or not self._pattern.fullmatch(text):
            raise Unreadable(f"{text!r} is no amount with {self.decimals} decimals")
        return int(text.replace(".", ""))

    def text(self, units):
        """Return the amount of a number of units."""
        return format(Decimal(units).scaleb(-self.decimals), "f")


def check_totals(findings, certificate, money):
    """Check that every payment that was declared ended, and where."""
    totals = certificate["totals"]
    pairs = {name: (part["count"], money.units(part["amount"])) for name, part in totals.items()}
    ended = tuple(sum(pairs[name][place] for name in OUTCOMES) for place in (0, 1))
    findings.check(
        pairs["declared"] == ended and min(min(pair) for pair in pairs.values()) >= 0,
        f"Declared = paid + reversed + rejected + unresolved + cancelled:"
        f" {pairs['declared'][0]} payments, {totals['declared']['amount']}",
        f"the parts add up to {ended[0]} payments, {money.text(ended[1])}",
    )
    findings.check(
        pairs["unresolved"] == (0, 0), "No payment is open", "unresolved payments are open"
    )


def check_funds(findings, certificate, money):
    """Check what became of the money that the bank held."""
    funds = certificate["funds"]
    units = {name: money.units(funds[name]) for name in ("held", "drawn", "released", "kept")}
    findings.check(
        units["held"] == units["drawn"] + units["released"] + units["kept"]
        and min(units.values()) >= 0,
        f"Held = drawn + released: {funds['held']} = {funds['drawn']} + {funds['released']}"
        + (f" (and {funds['kept']} that the bank keeps)" if units["kept"] else ""),
        "the parts do not add up",
    )
    sent = sum(money.units(certificate["totals"][name]["amount"]) for name in ("paid", "reversed"))
    findings.check(
        units["drawn"] == sent,
        "Drawn = paid + reversed",
        f"drawn {funds['drawn']}, debited {money.text(sent)}",
    )
    if units["kept"]:
        findings.remark("The bank has no way to give back what was not drawn: it keeps it.")


def check_statements(findings, certificate, money):
    """Check each statement's balance, that they follow on each other, and what they debit."""
    statements = certificate["statements"]
    names = [statement["id"] for statement in statements]
    findings.check(len(set(names)) == len(names), "Each statement is listed once", "one is twice")
    before = None
    for statement in statements:
        _check_balance(findings, statement, money)
        if before:
            _check_follows(findings, before, statement, certificate["account"], money)
        before = statement
    if statements:
        findings.check(
            True,
            f"{len(statements)} statements, from {_label(statements[0])} to"
            f" {_label(statements[-1])}, were looked at",
        )
    for kind, outcomes in (("debits", ("paid", "reversed")), ("returns", ("reversed",))):
        booked = _added(statements, kind, money)
        wanted = _added([certificate["totals"][name] for name in outcomes], None, money)
        findings.check(
            booked == wanted,
            f"Statement entries agree: {kind} of {wanted[0]} payments, {money.text(wanted[1])}",
            f"the statements have {booked[0]}, {money.text(booked[1])}",
        )


def _added(parts, kind, money):
    chosen = [part[kind] if kind else part for part in parts]
    return (
        sum(part["count"] for part in chosen),
        sum(money.units(part["amount"]) for part in chosen),
    )


def _label(statement):
    return "/".join(filter(None, (statement["number"], statement["last_page"]))) or statement["id"]


def _check_balance(findings, statement, money):
    units = {
        name: money.units(statement[name])
        for name in ("opening_balance", "credits", "debits_in_all", "closing_balance")
    }
    ties = (
        units["opening_balance"] + units["credits"] - units["debits_in_all"]
        == units["closing_balance"]
    )
    if not ties and statement["accepted_because"]:
        findings.remark(
            f"Statement {_label(statement)} does not add up; a person accepted it:"
            f" {statement['accepted_because']}"
        )
        return
    if not ties:
        findings.check(False, f"Statement {_label(statement)} adds up", "its balances differ")


def _check_follows(findings, before, statement, account, money):
    follows = money.units(statement["opening_balance"]) == money.units(before["closing_balance"])
    if account["statements_are_numbered"]:
        follows = follows and _number_follows(before, statement)
    if follows:
        return
    sentence = f"Statement {_label(statement)} follows on {_label(before)}"
    if statement["accepted_because"]:
        findings.remark(
            f"{sentence}: not so; a person accepted it: {statement['accepted_because']}"
        )
    else:
        findings.check(False, sentence, "number or balance does not continue")


def _number_follows(before, statement):
    last = (_whole(before["number"]), _whole(before["last_page"]) or 1)
    now = (_whole(statement["number"]), _whole(statement["first_page"]) or 1)
    if last[0] is None or now[0] is None:
        return True
    # the next one, its next page, or the first one of a new year
    return now != last and now in ((last[0] + 1, 1), (last[0], last[1] + 1), (1, 1))


def _whole(text):
    return int(text) if text and text.isdigit() else None


# Register


def check_register(findings, certificate, path, money):
    """Read the register once, and add up everything anew."""
    described = certificate["register"]
    reader = Register(money, certificate)
    try:
        reader.read(path)
    except (OSError, EOFError, UnicodeDecodeError, csv.Error, gzip.BadGzipFile) as error:
        raise Unreadable(f"The register cannot be read ({error}).") from error
    findings.check(
        reader.digest.hexdigest() == described["sha256"],
        "The register is the one that was signed",
        "its SHA-256 is another: it was changed, or belongs to another certificate",
    )
    findings.check(
        reader.root() == described["merkle_root"],
        "Each of its lines is below the signed Merkle root",
        "the root is another",
    )
    findings.check(
        reader.count == described["payments"],
        f"It has {described['payments']} payments",
        f"it has {reader.count}",
    )
    for problem in reader.problems:
        findings.check(False, "Every line is in order", problem)
    _compare(findings, "Its outcomes add up to the totals", reader.outcomes, reader.expected())
    for kind, found in (("debits", reader.debits), ("returns", reader.returns)):
        signed = {
            statement["id"]: (statement[kind]["count"], money.units(statement[kind]["amount"]))
            for statement in certificate["statements"]
            if statement[kind]["count"]
        }
        _compare(findings, f"Its {kind} are those of the statements", found, signed)


def _compare(findings, sentence, found, signed):
    found = {key: tuple(pair) for key, pair in found.items() if any(pair)}
    differing = sorted(key for key in {*found, *signed} if found.get(key) != signed.get(key))
    findings.check(found == signed, sentence, f"not so for {', '.join(differing[:5])}")


class Register:
    """The sums over the lines of a register; memory does not grow with them."""

    def __init__(self, money, certificate):
        self.digest = hashlib.sha256()
        self.count = 0
        self.outcomes, self.debits, self.returns = {}, {}, {}
        self.problems = []
        self._money = money
        self._certificate = certificate
        self._peaks = []
        self._last_id = ""
        self._entries = {}

    def read(self, path):
        """Take all lines of a file, compressed or not."""
        with open(path, "rb") as file:
            is_zipped = file.read(2) == b"\x1f\x8b"
        with gzip.open(path, "rb") if is_zipped else open(path, "rb") as file:
            header = file.readline()
            self.digest.update(header)
            columns = header.decode().strip().split(",")
            if columns != self._certificate["register"]["columns"]:
                self.problems.append("its columns are others than the certificate says")
                return
            for line in file:
                self.digest.update(line)
                self._add_leaf(line.rstrip(b"\n"))
                self._take(dict(zip(columns, next(csv.reader([line.decode().rstrip("\n")])))))  # noqa: B905 - Python 3.9

    def root(self):
        """Return the Merkle root (RFC 6962), hexadecimal."""
        peaks = [digest for _height, digest in self._peaks]
        if not peaks:
            return hashlib.sha256().hexdigest()
        root = peaks.pop()
        while peaks:
            root = _node(peaks.pop(), root)
        return root.hex()

    def expected(self):
        """Return what the certificate says of the outcomes: withdrawn ones count as cancelled."""
        totals = self._certificate["totals"]
        pairs = {
            name: (totals[name]["count"], self._money.units(totals[name]["amount"]))
            for name in (*OUTCOMES, "withdrawn")
        }
        withdrawn = pairs.pop("withdrawn")
        pairs["cancelled"] = tuple(map(sum, zip(pairs["cancelled"], withdrawn)))  # noqa: B905
        return {name: pair for name, pair in pairs.items() if any(pair)}

    def _note(self, problem):
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(problem)

    def _add_leaf(self, line):
        height, digest = 0, hashlib.sha256(b"\x00" + line).digest()
        while self._peaks and self._peaks[-1][0] == height:
            digest = _node(self._peaks.pop()[1], digest)
            height += 1
        self._peaks.append((height, digest))

    def _take(self, row):
        self.count += 1
        name = row["disbursement_id"]
        if name <= self._last_id:
            self._note(f"payment {name} comes twice, or out of order")
        self._last_id = name
        units = self._money.units(row["amount"])
        _count(self.outcomes, row["outcome"], units)
        wanted = {"paid": (True, False), "reversed": (True, True)}.get(
            row["outcome"], (False, False)
        )
        self._take_entry(row, "debit", ("D",), wanted[0], self.debits)
        self._take_entry(row, "return", ("C", "RD"), wanted[1], self.returns)

    def _take_entry(self, row, kind, marks, is_wanted, totals):
        statement = row[f"{kind}_statement"]
        if bool(statement) != is_wanted:
            self._note(
                f"payment {row['disbursement_id']} is {row['outcome']}, and "
                + ("lacks its entry" if is_wanted else f"has a {kind}")
            )
        if not statement:
            return
        if row[f"{kind}_amount"] != row["amount"] or row[f"{kind}_mark"] not in marks:
            self._note(f"the {kind} of payment {row['disbursement_id']} does not fit it")
        used, place = self._entries.setdefault(statement, bytearray()), int(row[f"{kind}_entry"])
        used.extend(bytes(max(place + 1 - len(used), 0)))
        if used[place]:
            self._note(f"entry {place} of a statement is used twice")
        used[place] = 1
        _count(totals, statement, self._money.units(row[f"{kind}_amount"]))


def _count(totals, key, units):
    total = totals.setdefault(key, [0, 0])
    total[0] += 1
    total[1] += units


def _node(left, right):
    return hashlib.sha256(b"\x01" + left + right).digest()


def check_payment(findings, certificate, proof):
    """Check that one payment is in the register, which stays closed."""
    findings.check(
        proof["certificate_id"] == certificate["certificate_id"],
        "The proof is for this certificate",
        f"it is for {proof['certificate_id']}",
    )
    digest = hashlib.sha256(b"\x00" + proof["line"].encode()).digest()
    for step in proof["path"]:
        side, _colon, other = step.partition(":")
        pair = (bytes.fromhex(other), digest) if side == "L" else (digest, bytes.fromhex(other))
        digest = _node(*pair)
    columns = certificate["register"]["columns"]
    row = dict(zip(columns, next(csv.reader([proof["line"]]))))  # noqa: B905 - Python 3.9
    holds = findings.check(
        digest.hex() == certificate["register"]["merkle_root"],
        f"Payment {row.get('disbursement_id')} is in the register as the proof says",
        "its line was changed, or is not in the register",
    )
    if holds:
        findings.remark(", ".join(f"{name} {value}" for name, value in row.items() if value))


# The command


def read_json(path, wanted):
    """Return a JSON file's object, which must have exactly the wanted keys."""
    try:
        with open(path, encoding="utf-8") as file:
            data = json.load(file, parse_float=_no_float, object_pairs_hook=_no_repeats)
    except (OSError, ValueError) as error:
        raise Unreadable(f"{path} cannot be read: {error}") from error
    if not isinstance(data, dict) or set(data) != wanted:
        raise Unreadable(f"{path} is not such a file: it must hold {', '.join(sorted(wanted))}.")
    return data


def _no_float(text):
    raise ValueError(f"amounts are texts, and {text} is a number with decimals")


def _no_repeats(pairs):
    if len({name for name, _value in pairs}) < len(pairs):
        raise ValueError("a name stands twice in one object")
    return dict(pairs)


def read_key(options):
    """Return the fingerprint that was named, by itself or by a file, or None."""
    if options.fingerprint:
        return re.sub(r"[\s:]", "", options.fingerprint).lower()
    if not options.public_key:
        return None
    try:
        with open(options.public_key, encoding="ascii") as file:
            body = "".join(line.strip() for line in file if not line.startswith("-----"))
        key = b64decode(body, validate=True)
    except (OSError, ValueError) as error:
        raise Unreadable(f"{options.public_key} is no public key: {error}") from error
    prefix = bytes.fromhex("302a300506032b6570032100")  # RFC 8410: SubjectPublicKeyInfo, Ed25519
    if len(key) != 44 or not key.startswith(prefix):
        raise Unreadable(f"{options.public_key} is no Ed25519 public key (PEM).")
    return hashlib.sha256(key[12:]).hexdigest()


def examine(options):
    """Check all that the options name; return the findings, and what the certificate is of."""
    findings = Findings()
    document = read_json(options.certificate, {"certificate", "signature"})
    certificate = document["certificate"]
    try:
        if certificate["format"] != FORMAT:
            raise Unreadable(f"The certificate is of another format: {certificate['format']}")
        fingerprint = check_signature(findings, document)
        check_key(findings, fingerprint, read_key(options))
        digest = hashlib.sha256(canonical(certificate)).hexdigest()
        if options.digest:
            wanted = re.sub(r"[\s:]", "", options.digest).lower()
            findings.check(
                digest == wanted, "It is the certificate on the paper", f"its digest is {digest}"
            )
        money = Money(certificate["envelope"]["decimals"])
        check_totals(findings, certificate, money)
        check_funds(findings, certificate, money)
        check_statements(findings, certificate, money)
        _check_detail(findings, certificate, options, money)
        subject = _subject(certificate)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise Unreadable(f"The certificate is incomplete or damaged: {error!r}") from error
    return findings, subject


def _subject(certificate):
    envelope, declared = certificate["envelope"], certificate["totals"]["declared"]
    return (
        f"Certificate {certificate['certificate_id']}: {envelope['program']} {envelope['cycle']},"
        f" {declared['count']} payments, {envelope['currency']} {declared['amount']}"
    )


def _check_detail(findings, certificate, options, money):
    if options.payment:
        wanted = {"format", "certificate_id", "line", "path"}
        proof = read_json(options.payment, wanted)
        if proof["format"] != PROOF_FORMAT:
            raise Unreadable(f"The proof is of another format: {proof['format']}")
        check_payment(findings, certificate, proof)
    if options.register:
        check_register(findings, certificate, options.register, money)
    elif not options.payment:
        findings.open("The single payments: give --register")


def main(arguments):
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(
        prog="bin/verify-certificate",
        description=__doc__,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("certificate", metavar="CERTIFICATE", help="the certificate (.json)")
    parser.add_argument("--register", metavar="FILE", help="the register (.csv or .csv.gz)")
    parser.add_argument("--payment", metavar="FILE", help="the proof of one payment (.json)")
    key = parser.add_mutually_exclusive_group()
    key.add_argument("--public-key", metavar="FILE", help="the institution's key (.pem)")
    key.add_argument("--fingerprint", metavar="HEX", help="SHA-256 of the institution's key")
    parser.add_argument("--digest", metavar="HEX", help="the digest on the paper certificate")
    options = parser.parse_args(arguments)
    try:
        findings, subject = examine(options)
    except Unreadable as error:
        sys.stderr.write(f"{error}\n")
        return UNREADABLE
    write_report(findings, subject)
    return findings.exit_code()


def write_report(findings, subject):
    """Write all findings, and what they come to, for a person."""
    lines = [subject, ""]
    for kind, sentence, detail in findings.rows:
        lines.append(f"{kind:>11}  {sentence}" + (f": {detail}" if detail else ""))
    code = findings.exit_code()
    verdict = {
        HOLDS: "All of it holds.",
        WRONG: "It does NOT hold.",
        INCOMPLETE: "Nothing is wrong so far, but not everything was checked.",
    }
    sys.stdout.write("\n".join([*lines, "", verdict[code], ""]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
