"""What is ordered: each message valid by its schema, each payment in it as it was given."""

import re
import unittest
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from odoo.addons.g2p_bridge.connectors.dto import (
    BANK_ACCOUNT,
    EMAIL_WALLET,
    MOBILE_WALLET,
    FinancialAddress,
    Payment,
)

from ..messages import charset, identification, pain001, schema
from ..messages.errors import MessageError, PaymentError
from .pain_case import IBAN, VERSIONS, a_payment, an_account, an_order, texts, written

#: the account of a payment as it must not stand in any error
SECRET = "SECRET9999"
PHONE = "+254700000001"
MAIL = "someone.with.a.very.long.name@post.example"


def a_wallet(fa_type=MOBILE_WALLET, **values):
    return FinancialAddress(fa_type=fa_type, **values)


class TestMessage(unittest.TestCase):
    """Both versions, all that a bank may want said."""

    def test_both_versions_say_the_same_each_in_its_own_words(self):
        for version, day, bic in (
            (identification.PAIN_09, "ReqdExctnDt/Dt", "BICFI"),
            (identification.PAIN_03, "ReqdExctnDt", "BIC"),
        ):
            payment = a_payment(
                creditor_account=an_account(bank_code="ABNANL2A"),
                remittance_information="Child benefit May",
            )
            root = written(an_order(payment, version=version, debtor_agent_bic="DEUTDEFF500"))
            with self.subTest(version):
                self.assertEqual(texts(root, day), ["2026-12-01"])
                self.assertEqual(texts(root, f"DbtrAgt/FinInstnId/{bic}"), ["DEUTDEFF500"])
                self.assertEqual(texts(root, f"CdtrAgt/FinInstnId/{bic}"), ["ABNANL2A"])
                self.assertEqual(texts(root, "GrpHdr/CreDtTm"), ["2026-11-26T09:30:00+03:00"])
                self.assertEqual(texts(root, "DbtrAcct/Id/Othr/Id"), ["7000000001"])
                self.assertEqual(texts(root, "CdtrAcct/Id/IBAN"), [IBAN])
                self.assertEqual(texts(root, "EndToEndId"), ["TEST000000000001"])
                self.assertEqual(texts(root, "Ustrd"), ["Child benefit May"])
                self.assertEqual(texts(root, "PmtInfId"), texts(root, "MsgId"))

    def test_what_a_bank_wants_said_besides(self):
        for version in VERSIONS:
            root = written(
                an_order(
                    version=version,
                    initiating_party_id="CUSTOMER1",
                    service_level="SEPA",
                    local_instrument="INST",
                    category_purpose="GOVT",
                    purpose="SSBE",
                    batch_booking=False,
                    charge_bearer="DEBT",
                )
            )
            with self.subTest(version):
                self.assertEqual(texts(root, "InitgPty/Id/OrgId/Othr/Id"), ["CUSTOMER1"])
                self.assertEqual(texts(root, "PmtTpInf/SvcLvl/Cd"), ["SEPA"])
                self.assertEqual(texts(root, "PmtTpInf/LclInstrm/Cd"), ["INST"])
                self.assertEqual(texts(root, "PmtTpInf/CtgyPurp/Cd"), ["GOVT"])
                self.assertEqual(texts(root, "Purp/Cd"), ["SSBE"])
                self.assertEqual(texts(root, "BtchBookg"), ["false"])
                self.assertEqual(texts(root, "ChrgBr"), ["DEBT"])

    def test_what_is_not_set_is_not_said(self):
        root = written(an_order(charge_bearer=""))
        for tag in ("BtchBookg", "PmtTpInf", "ChrgBr", "Purp", "RmtInf", "CdtrAgt", "OrgId"):
            self.assertEqual(texts(root, tag), [], tag)

    def test_a_setting_that_no_bank_would_take_is_refused(self):
        for name, value in {
            "version": "pain.001.001.12",
            "charset": "ebcdic",
            "message_id": "//",
            "created_at": datetime(2026, 11, 26, 9, 30),  # noqa: DTZ001 (that is the fault)
            "debtor_currency": "Euro",
            "debtor_account": "",
            "debtor_agent_bic": "DEUT",
            "decimals": 6,
            "name_length": 141,
            "charge_bearer": "OURS",
            "service_level": "sepa",
            "category_purpose": "GOVERNMENT",
            "purpose": "x",
            "local_instrument": "x" * 36,
            "creditor_agent_from": "guess",
            "initiating_party_id": "ü",
            "clearing_system": "x" * 36,
            "proxies": {},
        }.items():
            with self.subTest(name), self.assertRaises(MessageError):
                an_order(**{name: value})

    def test_an_order_of_nothing_is_none(self):
        with self.assertRaises(MessageError):
            pain001.write(replace(an_order(), payments=()))

    def test_the_message_id_belongs_to_the_key(self):
        keys = [f"initiate_payment:{number}" for number in range(1000)]
        ids = {pain001.message_id(key) for key in keys}
        self.assertEqual(len(ids), 1000)
        self.assertEqual(ids, {pain001.message_id(key) for key in keys})
        for name in ids:
            self.assertRegex(name, r"\A[A-Z0-9]{35}\Z")

    def test_what_is_not_valid_is_refused_without_its_values(self):
        content = pain001.write(an_order()).replace(IBAN.encode(), SECRET.encode())
        with self.assertRaises(MessageError) as caught:
            schema.validate(content, identification.PAIN_09)
        self.assertIn("IBAN of payment 'TEST000000000001'", str(caught.exception))
        self.assertNotIn(SECRET, str(caught.exception))
        for content in (b"", b"<a", pain001.write(an_order(version=identification.PAIN_03))):
            with self.assertRaises(MessageError):
                schema.validate(content, identification.PAIN_09)
        with self.assertRaises(MessageError):
            schema.validate(content, "pain.001.001.99")


class TestMoney(unittest.TestCase):
    """Amounts and totals: exact, and as a receiver adds them up."""

    def test_the_totals_are_what_a_receiver_adds_up(self):
        payments = [a_payment(n, amount=Decimal(n) / 100) for n in (1, 10, 333_333_333_333_333)]
        root = written(an_order(*payments))
        added = sum(map(Decimal, texts(root, "InstdAmt")))
        self.assertEqual(added, Decimal("3333333333333.44"))
        self.assertEqual(texts(root, "CtrlSum"), [str(added)] * 2)
        self.assertEqual(texts(root, "NbOfTxs"), ["3", "3"])

    def test_an_amount_has_the_decimals_of_its_currency(self):
        for amount, decimals, text in (
            ("5", 0, "5"),
            ("5", 2, "5.00"),
            ("1.5", 3, "1.500"),
            ("1.5", None, "1.5"),
            ("7.10", None, "7.10"),
            ("1E+3", None, "1000"),
        ):
            root = written(an_order(a_payment(amount=Decimal(amount)), decimals=decimals))
            self.assertEqual(texts(root, "InstdAmt"), [text])
            self.assertEqual(texts(root, "CtrlSum"), [text, text])

    def test_no_amount_is_rounded(self):
        for amount, decimals in (("1.005", 2), ("0.5", 0), ("0.000001", None)):
            [error] = pain001.refused(
                an_order(a_payment(amount=Decimal(amount)), decimals=decimals)
            )
            self.assertEqual(error.code, "AM12")

    def test_what_is_no_amount_is_refused(self):
        for amount in ("0", "-1", "NaN", "Infinity", "1E+18", "9999999999999999.999"):
            [error] = pain001.refused(an_order(a_payment(amount=Decimal(amount))))
            self.assertEqual(error.code, "AM12", amount)

    def test_a_payment_in_another_currency_is_refused(self):
        [error] = pain001.refused(an_order(a_payment(), a_payment(2, currency="USD")))
        self.assertEqual((error.end_to_end_id, error.code), ("TEST000000000002", "AM03"))

    def test_a_total_that_no_message_can_hold_is_refused(self):
        payments = [a_payment(n, amount=Decimal("999999999999999.999")) for n in (1, 2)]
        with self.assertRaises(MessageError) as caught:
            pain001.write(an_order(*payments))
        self.assertEqual(caught.exception.code, "AM10")

    def test_a_payment_stands_in_an_order_once(self):
        order = an_order(a_payment(1), a_payment(2), a_payment(1, amount=Decimal(5)))
        with self.assertRaises(PaymentError) as caught:
            pain001.write(order)
        self.assertEqual(caught.exception.code, "AM05")
        self.assertEqual(caught.exception.end_to_end_id, "TEST000000000001")


class TestCreditor(unittest.TestCase):
    """Who gets it: an account, a wallet, or a person whose account the bank knows."""

    def test_an_iban_is_recognised_however_it_is_spaced(self):
        for number in ("NL91 ABNA 0417 1643 00", "nl91abna0417164300", IBAN):
            root = written(an_order(a_payment(creditor_account=an_account(account_number=number))))
            self.assertEqual(texts(root, "CdtrAcct/Id/IBAN"), [IBAN])

    def test_a_number_of_the_bank_stays_as_it_is(self):
        for number in ("0012345", "12-34/56", "ACC 7", "NL91ABNA", "x" * 34):
            root = written(an_order(a_payment(creditor_account=an_account(account_number=number))))
            self.assertEqual(texts(root, "CdtrAcct/Id/Othr/Id"), [number])

    def test_a_number_is_never_changed_to_fit(self):
        for number in ("", " 12", "1" * 35, "١٢٣", "Ä1", "12_34", "1\n2", "NL92ABNA0417164300"):
            order = an_order(a_payment(creditor_account=an_account(account_number=number)))
            [error] = pain001.refused(order)
            self.assertEqual(error.code, "AC01", number)

    def test_the_creditors_bank_is_said_as_the_bank_wants_it(self):
        address = {"bank_code": "ABNANL2A", "branch_code": "0042"}
        for source, said in {
            "auto": {"BICFI": "ABNANL2A"},
            "bic": {"BICFI": "ABNANL2A"},
            "bank": {"ClrSysMmbId/MmbId": "ABNANL2A"},
            "branch": {"ClrSysMmbId/MmbId": "0042"},
            "bank_branch": {"ClrSysMmbId/MmbId": "ABNANL2A0042"},
            "none": {},
        }.items():
            payment = a_payment(creditor_account=an_account(**address))
            root = written(an_order(payment, creditor_agent_from=source))
            found = {
                path: texts(root, f"CdtrAgt/FinInstnId/{path}")
                for path in ("BICFI", "ClrSysMmbId/MmbId")
            }
            self.assertEqual({k: v[0] for k, v in found.items() if v}, said, source)

    def test_a_clearing_system_is_a_code_or_a_name(self):
        for system, tag in (("USABA", "Cd"), ("KENYA-ACH", "Prtry")):
            payment = a_payment(creditor_account=an_account(bank_code="021000021"))
            order = an_order(payment, clearing_system=system, debtor_agent_member_id="021000089")
            root = written(order)
            self.assertEqual(texts(root, f"CdtrAgt//ClrSysId/{tag}"), [system])
            self.assertEqual(texts(root, "CdtrAgt//MmbId"), ["021000021"])
            self.assertEqual(texts(root, "DbtrAgt//MmbId"), ["021000089"])

    def test_a_bank_code_that_is_no_bic_is_refused_where_there_must_be_one(self):
        for version, code in ((VERSIONS[0], "X1"), (VERSIONS[1], "1234NL2A")):
            payment = a_payment(creditor_account=an_account(bank_code=code))
            order = an_order(payment, creditor_agent_from="bic", version=version)
            self.assertEqual([error.code for error in pain001.refused(order)], ["RC01"])

    def test_a_wallet_is_a_proxy_where_the_version_has_them(self):
        for address, value, kind in (
            (a_wallet(mobile_number=PHONE, wallet_provider="MPESA"), PHONE, "TELE"),
            (a_wallet(EMAIL_WALLET, email_address="a@b.example"), "a@b.example", "EMAL"),
        ):
            new, old = (
                written(an_order(a_payment(creditor_account=address), version=version))
                for version in VERSIONS
            )
            self.assertEqual(texts(new, "CdtrAcct/Prxy/Id"), [value])
            self.assertEqual(texts(new, "CdtrAcct/Prxy/Tp/Cd"), [kind])
            for root in (new, old):
                self.assertEqual(texts(root, "CdtrAcct/Id/Othr/Id"), [value])
                self.assertEqual(texts(root, "CdtrAcct/Id/Othr/SchmeNm/Prtry"), [kind])
            self.assertEqual(texts(old, "CdtrAcct/Prxy"), [])

    def test_the_provider_of_a_wallet_is_its_bank(self):
        address = a_wallet(mobile_number=PHONE, wallet_provider="MPESA")
        root = written(an_order(a_payment(creditor_account=address)))
        self.assertEqual(texts(root, "CdtrAgt//MmbId"), ["MPESA"])

    def test_a_wallet_too_long_for_the_old_version_fits_the_new_one(self):
        payment = a_payment(creditor_account=a_wallet(EMAIL_WALLET, email_address=MAIL))
        root = written(an_order(payment))
        self.assertEqual(texts(root, "CdtrAcct/Prxy/Id"), [MAIL])
        self.assertEqual(texts(root, "CdtrAcct/Id/Othr/Id"), ["NOTPROVIDED"])
        [error] = pain001.refused(an_order(payment, version=identification.PAIN_03))
        self.assertEqual(error.code, "AC01")
        self.assertNotIn(MAIL, str(error))

    def test_a_person_without_account_is_named_by_the_programs_id(self):
        for version in VERSIONS:
            root = written(an_order(a_payment(creditor_account=None), version=version))
            self.assertEqual(texts(root, "Cdtr/Id/PrvtId/Othr/Id"), ["ID1"])
            self.assertEqual(texts(root, "CdtrAcct"), [])
        self.assertEqual(texts(written(an_order()), "Cdtr/Id"), [])
        for name in ("", "ü", "x" * 36):
            [error] = pain001.refused(an_order(a_payment(creditor_account=None, creditor_id=name)))
            self.assertEqual(error.code, "AC01")

    def test_an_error_names_the_payment_and_nothing_else_of_it(self):
        order = an_order(
            a_payment(1),
            a_payment(
                2,
                creditor_name=f"Name {SECRET}",
                creditor_account=an_account(account_number=f"{SECRET}_" * 4, bank_code=SECRET),
            ),
        )
        [error] = pain001.refused(order)
        self.assertEqual(error.end_to_end_id, "TEST000000000002")
        self.assertIn("TEST000000000002", str(error))
        self.assertNotIn(SECRET, str(error))
        self.assertNotIn(SECRET, repr(order))

    def test_the_others_can_be_ordered_without_it(self):
        payments = [a_payment(1), a_payment(2, amount=Decimal(0)), a_payment(3)]
        refused = {error.end_to_end_id for error in pain001.refused(an_order(*payments))}
        self.assertEqual(refused, {"TEST000000000002"})
        root = written(an_order(*[p for p in payments if p.end_to_end_id not in refused]))
        self.assertEqual(texts(root, "EndToEndId"), ["TEST000000000001", "TEST000000000003"])

    def test_an_id_that_a_bank_would_change_is_refused(self):
        for name in ("", "x" * 36, "/A", "A/", "A//B", "A_B", "Ä", " A", "A\n"):
            [error] = pain001.refused(an_order(a_payment(end_to_end_id=name)))
            self.assertEqual((error.end_to_end_id, error.code), (name, "FF01"))


class TestTexts(unittest.TestCase):
    """Names and remittance information, in the characters that a bank takes."""

    def test_the_basic_latin_set(self):
        for text, latin in {
            "Müller & Söhne": "Muller + Sohne",
            "José Ñandú": "Jose Nandu",
            "Jose\u0301": "Jose",
            "Ødegård/Łódź": "Odegard/Lodz",
            "Strauß": "Strauss",
            "Юлия": "Yuliya",
            "Αθήνα": "Athina",
            "a_b@c;d": "a-b.c,d",
            "“quoted”\u2014dash…": "'quoted'-dash...",
            "two\r\n lines\tand  spaces ": "two lines and spaces",
            "\u2603\ufffd": None,
            "\ue000x": "?x",
            "": "?",
            " \n ": "?",
            "\u200f": "?",
        }.items():
            clean = charset.clean_text(text, 140, charset.LATIN)
            self.assertRegex(clean, r"\A[A-Za-z0-9/\-?:().,'+ ]+\Z")
            if latin is not None:
                self.assertEqual(clean, latin)

    def test_names_in_other_scripts_stay_readable_letters(self):
        for name in ("محمد", "አበበ", "राम", "阿里", "დავით"):
            clean = charset.clean_text(name, 70, charset.LATIN)
            self.assertTrue(re.search(r"[A-Za-z]{2}", clean), clean)

    def test_unicode_stays_as_it_is_but_for_what_xml_cannot_hold(self):
        for text, kept in {
            "محمد & Söhne <b>": "محمد & Söhne <b>",
            "a\x00b\x1fc\ud800d\ufffe": "a?b c?d?",
            "\x85": "?",
        }.items():
            self.assertEqual(charset.clean_text(text, 140, charset.UTF8), kept)
        root = written(an_order(a_payment(creditor_name="محمد & <b>"), charset="utf8"))
        self.assertEqual(texts(root, "Cdtr/Nm"), ["محمد & <b>"])

    def test_texts_are_cut_after_they_have_grown(self):
        payment = a_payment(creditor_name="ß" * 140, remittance_information="…" * 140)
        root = written(an_order(payment))
        self.assertEqual(texts(root, "Cdtr/Nm"), ["s" * 70])
        self.assertEqual(texts(root, "Ustrd"), ["." * 140])
        root = written(an_order(payment, name_length=140))
        self.assertEqual(texts(root, "Cdtr/Nm"), ["s" * 140])


_IDS = st.from_regex(r"[0-9A-Z]{16}", fullmatch=True)
_TEXTS = st.text(max_size=200)
_AMOUNTS = st.integers(1, 10**15 - 1).map(lambda units: Decimal(units).scaleb(-2))
_NUMBERS = st.one_of(
    st.just(IBAN),
    st.from_regex(r"[0-9]{1,34}", fullmatch=True),
    st.from_regex(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}", fullmatch=True),
    st.text(max_size=40),
)
_CODES = st.one_of(st.sampled_from(["", "ABNANL2A", "1234NL2A", "021000021"]), st.text(max_size=40))
_ADDRESSES = st.one_of(
    st.none(),
    st.builds(
        FinancialAddress,
        fa_type=st.sampled_from([BANK_ACCOUNT, MOBILE_WALLET, EMAIL_WALLET]),
        account_number=_NUMBERS,
        bank_code=_CODES,
        branch_code=_CODES,
        mobile_number=st.one_of(st.just(PHONE), st.text(max_size=40)),
        email_address=st.one_of(st.just(MAIL), st.emails(), st.text(max_size=60)),
        wallet_provider=_CODES,
    ),
)
_PAYMENTS = st.builds(
    Payment,
    end_to_end_id=_IDS,
    amount=_AMOUNTS,
    currency=st.just("EUR"),
    creditor_id=st.one_of(st.just("ID1"), st.text(max_size=40)),
    creditor_name=_TEXTS,
    creditor_account=_ADDRESSES,
    remittance_information=_TEXTS,
)
_ORDERS = st.fixed_dictionaries(
    {
        "version": st.sampled_from(VERSIONS),
        "charset": st.sampled_from(charset.CHARSETS),
        "creditor_agent_from": st.sampled_from(identification.AGENT_SOURCES),
        "decimals": st.sampled_from([None, 2, 3]),
        "debtor_name": _TEXTS,
        "clearing_system": st.sampled_from(["", "USABA", "KENYA-ACH"]),
    }
)


class TestAnyPayment(unittest.TestCase):
    """Whatever it is: refused by name, or ordered exactly as it was given."""

    @settings(max_examples=400, deadline=None, derandomize=True)
    @given(st.lists(_PAYMENTS, min_size=1, max_size=4), _ORDERS)
    def test_what_is_accepted_is_valid_and_reads_back_the_same(self, payments, values):
        order = an_order(*payments, **values)
        refused = [error.end_to_end_id for error in pain001.refused(order)]
        accepted = [p for p in payments if p.end_to_end_id not in refused]
        if refused:
            with self.assertRaises(PaymentError):
                pain001.write(order)
        if not accepted:
            return
        root = written(replace(order, payments=accepted))
        self.assertEqual(texts(root, "EndToEndId"), [p.end_to_end_id for p in accepted])
        self.assertEqual(list(map(Decimal, texts(root, "InstdAmt"))), [p.amount for p in accepted])
        total = sum(p.amount for p in accepted)
        self.assertEqual(list(map(Decimal, texts(root, "CtrlSum"))), [total, total])
        self.assertEqual(texts(root, "NbOfTxs"), [str(len(accepted))] * 2)
        self.assert_same_accounts(root, accepted)

    def assert_same_accounts(self, root, payments):
        """Assert that each payment goes to the account, wallet or person it was given."""
        for node, payment in zip(root.iterfind(".//CdtTrfTxInf"), payments, strict=True):
            address = payment.creditor_account
            said = {
                element.text
                for path in ("CdtrAcct/Id/IBAN", "CdtrAcct/Id/Othr/Id", "CdtrAcct/Prxy/Id")
                for element in node.iterfind(path)
            } - {identification.NOT_PROVIDED}
            if address is None:
                self.assertEqual(texts(node, "PrvtId/Othr/Id"), [payment.creditor_id])
            elif address.fa_type == BANK_ACCOUNT:
                number = address.account_number
                self.assertIn(said, ({number}, {number.replace(" ", "").upper()}))
            elif address.fa_type == MOBILE_WALLET:
                self.assertEqual(said, {address.mobile_number})
            else:
                self.assertEqual(said, {address.email_address})

    @settings(max_examples=200, deadline=None, derandomize=True)
    @given(st.text(max_size=300), st.integers(1, 140), st.sampled_from(charset.CHARSETS))
    def test_any_text_fits_and_is_never_empty(self, text, limit, name):
        clean = charset.clean_text(text, limit, name)
        self.assertTrue(0 < len(clean) <= limit)
        etree.Element("Nm").text = clean
        self.assertEqual(charset.clean_text(clean, limit, name), clean, "not stable")
