"""What a bank says of an order: each payment's status, and nothing made up where it says none."""

import random
import re
import unittest
from datetime import datetime, timezone
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from odoo.addons.g2p_bridge.connectors.dto import ACCEPTED, REJECTED

from ..messages import pain002, reasons, xml
from ..messages.errors import MessageError
from ..messages.pain002 import PENDING
from .pain_case import a_reason, a_report, an_item, report_schema

FIRST, SECOND, THIRD = (f"TEST{number:012d}" for number in (1, 2, 3))
GROUP_STATUSES = ("", "RCVD", "ACTC", "PDNG", "PART", "ACCP", "ACSP", "ACSC", "RJCT", "NEWS")
STATUSES = ("", "ACTC", "PDNG", "ACCP", "ACSC", "ACWC", "RJCT", "CANC", "NEWS")
#: the deepest that a bank may think of as accepted or rejected; a rule of its own, not the code's
_PAID, _NOT_PAID = {"ACCP", "ACSP", "ACSC", "ACWC"}, {"RJCT", "CANC"}


class TestStatuses(unittest.TestCase):
    """Three levels that may each say something, and what counts for a payment."""

    def status(self, report, name=FIRST):
        item = pain002.parse(report).status_of(name)
        return item and item.status

    def test_the_status_of_a_payment(self):
        for iso, status in {
            "ACCP": ACCEPTED,
            "ACSP": ACCEPTED,
            "ACSC": ACCEPTED,
            "ACWC": ACCEPTED,
            "ACCC": ACCEPTED,
            "RJCT": REJECTED,
            "CANC": REJECTED,
            "RCVD": PENDING,
            "ACTC": PENDING,
            "PDNG": PENDING,
            "PATC": PENDING,
            "BLCK": PENDING,
            "NEWS": PENDING,  # a code of tomorrow
        }.items():
            report = pain002.parse(a_report(an_item(status=iso), group="PART"))
            [item] = report.items
            self.assertEqual(
                (item.end_to_end_id, item.status, item.iso_status), (FIRST, status, iso)
            )
            self.assertFalse(item.is_contradicted)

    def test_a_rejected_file_rejects_all_of_it(self):
        report = pain002.parse(a_report(group="RJCT", more=a_reason("FF01", words="bad file")))
        self.assertEqual(report.items, ())
        self.assertEqual(report.default_status, REJECTED)
        item = report.status_of(SECOND)
        self.assertEqual((item.end_to_end_id, item.status), (SECOND, REJECTED))
        self.assertEqual((item.iso_status, item.reason_code), ("RJCT", "FF01"))
        self.assertEqual(item.additional_info, "bad file")

    def test_a_rejected_payment_information_rejects_all_of_it(self):
        report = pain002.parse(a_report(info="RJCT"))
        self.assertEqual((report.group_status, report.default_status), ("RJCT", REJECTED))

    def test_an_accepted_file_accepts_all_of_it(self):
        self.assertEqual(self.status(a_report(group="ACCP"), SECOND), ACCEPTED)
        self.assertEqual(self.status(a_report(an_item(), group="ACSC"), FIRST), ACCEPTED)

    def test_of_a_partly_accepted_file_only_what_is_named_is_known(self):
        report = a_report(an_item(status="RJCT", reason="AC04"), group="PART", info="PART")
        self.assertEqual(self.status(report, FIRST), REJECTED)
        self.assertIsNone(self.status(report, SECOND))

    def test_a_payment_that_is_named_without_status_under_part_is_pending(self):
        self.assertEqual(self.status(a_report(an_item(reason="AC04"), group="PART")), PENDING)

    def test_a_received_file_says_nothing_final(self):
        for group in ("RCVD", "ACTC", "PDNG"):
            self.assertEqual(self.status(a_report(group=group), SECOND), PENDING)
            report = a_report(an_item(status="RJCT"), group=group)
            self.assertEqual(self.status(report, FIRST), REJECTED)

    def test_no_status_at_all_says_nothing(self):
        self.assertIsNone(self.status(a_report()))
        self.assertEqual(self.status(a_report(an_item())), PENDING)

    def test_contradictions_are_pending_and_say_so(self):
        for group, info, status in (
            ("RJCT", "", "ACCP"),
            ("RJCT", "", "PDNG"),
            ("ACCP", "", "RJCT"),
            ("ACSC", "PART", "RJCT"),
            ("", "RJCT", "ACSC"),
            ("", "ACCP", "CANC"),
            ("RJCT", "ACCP", ""),
            ("ACCP", "RJCT", ""),
        ):
            report = pain002.parse(a_report(an_item(status=status), group=group, info=info))
            [item] = report.items
            with self.subTest(group=group, info=info, status=status):
                self.assertEqual((item.status, item.is_contradicted), (PENDING, True))
                self.assertIsNone(report.status_of(SECOND), "nor is the rest known")

    def test_a_payment_named_twice_with_two_statuses_is_pending(self):
        items = (an_item(status="ACCP"), an_item(status="RJCT"), an_item(status="RJCT"))
        [item] = pain002.parse(a_report(*items, group="PART")).items
        self.assertEqual((item.status, item.is_contradicted), (PENDING, True))
        items = (an_item(status="RJCT"), an_item(status="RJCT"))
        [item] = pain002.parse(a_report(*items, group="PART")).items
        self.assertEqual((item.status, item.is_contradicted), (REJECTED, False))

    def test_a_payment_information_does_not_speak_for_another(self):
        report = a_report(an_item(FIRST, "RJCT"), info="RJCT").replace(
            b"</CstmrPmtStsRpt>",
            b"<OrgnlPmtInfAndSts><OrgnlPmtInfId>B</OrgnlPmtInfId><PmtInfSts>ACCP</PmtInfSts>"
            + an_item(SECOND).encode()
            + b"</OrgnlPmtInfAndSts></CstmrPmtStsRpt>",
        )
        self.assertEqual(self.status(report, FIRST), REJECTED)
        self.assertEqual(self.status(report, SECOND), ACCEPTED)
        self.assertIsNone(self.status(report, THIRD))

    def test_the_instruction_id_is_the_same_id(self):
        item = f"<TxInfAndSts><OrgnlInstrId>{FIRST}</OrgnlInstrId><TxSts>RJCT</TxSts></TxInfAndSts>"
        self.assertEqual(self.status(a_report(item, group="PART")), REJECTED)

    def test_a_payment_that_is_not_named_makes_the_rest_uncertain(self):
        for item in ("<TxInfAndSts><TxSts>RJCT</TxSts></TxInfAndSts>", an_item("x" * 36, "RJCT")):
            report = pain002.parse(a_report(item, group="ACTC"))
            self.assertEqual((report.items, report.unidentified_count), ((), 1))
            self.assertIsNone(report.default_status)
        report = pain002.parse(a_report(item, group="RJCT"))
        self.assertEqual(report.default_status, REJECTED)

    @settings(max_examples=500, deadline=None, derandomize=True)
    @given(
        st.sampled_from(GROUP_STATUSES),
        st.sampled_from(GROUP_STATUSES),
        st.lists(
            st.tuples(st.sampled_from((FIRST, SECOND)), st.sampled_from(STATUSES)), max_size=4
        ),
    )
    def test_nothing_is_rejected_that_any_level_calls_paid(self, group, info, items):
        """The rule of money: what is taken for rejected may be paid anew."""
        report = pain002.parse(
            a_report(*(an_item(*item) for item in items), group=group, info=info)
        )
        for name in (FIRST, SECOND, THIRD):
            said = {group, info, *(status for known, status in items if known == name)}
            item = report.status_of(name)
            if item is not None and item.status == REJECTED:
                self.assertTrue(said & _NOT_PAID)
                self.assertFalse(said & _PAID)
            if item is not None and item.status == ACCEPTED:
                self.assertTrue(said & _PAID)
                self.assertFalse(said & _NOT_PAID)


class TestContent(unittest.TestCase):
    """What else is in a report."""

    def test_each_known_version_is_read(self):
        for number in range(3, 16):
            report = pain002.parse(a_report(an_item(status="ACCP"), version=f"{number:02}"))
            self.assertEqual(report.version, f"pain.002.001.{number:02}")
            self.assertEqual(report.message_id, "BANK1")
            self.assertEqual(report.original_message_id, "G2PTEST1")
            self.assertEqual(report.original_message_name, "pain.001.001.09")
            self.assertEqual(report.created_at, datetime(2026, 11, 26, 10, tzinfo=timezone.utc))

    def test_the_samples_of_these_tests_are_valid_by_the_schemas(self):
        for version in ("03", "12", "14", "15"):
            check = report_schema(version)
            for report in (
                a_report(group="RJCT", more=a_reason("FF01", words="bad"), version=version),
                a_report(an_item(status="RJCT", reason="AC04"), group="PART", version=version),
                a_report(info="ACCP", version=version),
                self.full_report(version=version),
            ):
                check.assertValid(etree.fromstring(report))
                pain002.parse(report)

    def full_report(self, **values):
        more = (
            "<AcctSvcrRef>BANKREF1</AcctSvcrRef><OrgnlTxRef><Amt>"
            '<InstdAmt Ccy="USD">100.50</InstdAmt></Amt></OrgnlTxRef>'
        )
        words = "<AddtlInf>Account\n closed</AddtlInf><AddtlInf>in May</AddtlInf>"
        item = an_item(FIRST, "RJCT", "AC04", more=f"<StsRsnInf>{words}</StsRsnInf>{more}")
        return a_report(item, group="PART", **values).replace(
            b"<GrpSts>",
            b"<OrgnlNbOfTxs>3</OrgnlNbOfTxs><OrgnlCtrlSum>300.50</OrgnlCtrlSum><GrpSts>",
        )

    def test_what_belongs_to_a_payment(self):
        report = pain002.parse(self.full_report())
        [item] = report.items
        self.assertEqual(item.reason_code, "AC04")
        self.assertEqual(item.additional_info, "Account closed in May")
        self.assertEqual(item.bank_reference, "BANKREF1")
        self.assertEqual((item.amount, item.currency), (Decimal("100.50"), "USD"))
        self.assertEqual(report.number_of_transactions, 3)
        self.assertEqual(report.control_sum, Decimal("300.50"))
        self.assertNotIn("closed", repr(report))

    def test_a_reason_of_the_group_is_that_of_its_payments(self):
        report = a_report(an_item(status="RJCT"), group="RJCT", more=a_reason("TM01"))
        self.assertEqual(pain002.parse(report).items[0].reason_code, "TM01")

    def test_a_reason_of_the_banks_own(self):
        item = an_item(status="RJCT", more=a_reason("X-17", tag="Prtry"))
        self.assertEqual(pain002.parse(a_report(item)).items[0].reason_code, "X-17")

    def test_of_several_reasons_a_repeat_comes_first(self):
        item = an_item(status="RJCT", reason="NARR", more=a_reason("MS03") + a_reason("DU04"))
        self.assertEqual(pain002.parse(a_report(item)).items[0].reason_code, "DU04")

    def test_reasons_in_plain_words(self):
        self.assertEqual(reasons.sentence_of("AC04"), "The account is closed.")
        self.assertEqual(reasons.sentence_of("ZZZZ"), "")
        for code, sentence in reasons.SENTENCES.items():
            self.assertRegex(code, r"\A[A-Z0-9]{4}\Z")
            self.assertRegex(sentence, r"\A[A-Z].*\.\Z")
        self.assertLessEqual(reasons.DUPLICATES, set(reasons.SENTENCES))

    def test_a_time_that_nobody_can_read_costs_nothing(self):
        for text in (b"", b"yesterday", b"2026-13-45T99:99:99Z", b"0000-00-00", b"9" * 40):
            report = a_report(group="ACCP").replace(b"2026-11-26T10:00:00Z", text)
            self.assertIsNone(pain002.parse(report).created_at)
        report = a_report(group="ACCP").replace(b"10:00:00Z", b"10:00:00.1234567+03:00")
        self.assertEqual(pain002.parse(report).created_at.hour, 10)

    def test_a_wrapped_report_is_read(self):
        wrapped = (
            b'<Envelope xmlns="urn:x"><AppHdr><TxInfAndSts/></AppHdr>'
            + a_report(an_item(status="ACCP"))
            + b"</Envelope>"
        )
        self.assertEqual(len(pain002.parse(wrapped).items), 1)

    def test_what_is_of_another_namespace_is_not_the_reports(self):
        foreign = f'<x:TxInfAndSts xmlns:x="urn:x">{an_item(SECOND, "RJCT")}</x:TxInfAndSts>'
        report = pain002.parse(a_report(an_item(status="ACCP", more=foreign), group="PART"))
        self.assertEqual([item.end_to_end_id for item in report.items], [FIRST])


class TestBadInput(unittest.TestCase):
    """Nothing but the declared error, whatever comes."""

    def assert_refused(self, content, words):
        with self.assertRaises(MessageError) as caught:
            pain002.parse(content)
        self.assertIn(words, str(caught.exception))
        self.assertEqual(caught.exception.code, "FF01")

    def test_what_is_no_report(self):
        report = a_report(group="ACCP")
        self.assert_refused(b"", "no well-formed XML")
        self.assert_refused(b"not xml", "no well-formed XML")
        self.assert_refused(report[:-20], "no well-formed XML")
        self.assert_refused(report + report, "no well-formed XML")
        self.assert_refused(b"<a/>", "no Document")
        self.assert_refused(b"<Document/>", "no pain.002")
        self.assert_refused(report.replace(b"pain.002", b"pain.001"), "no pain.002")
        self.assert_refused(a_report(version="02"), "no pain.002")
        self.assert_refused(a_report(version="16"), "no pain.002")
        self.assert_refused(report.replace(b"<MsgId>BANK1</MsgId>", b""), "MsgId")
        self.assert_refused(report.replace(b"BANK1", b"x" * 36), "MsgId")
        self.assert_refused(report.replace(b"G2PTEST1", b" "), "OrgnlMsgId")
        self.assert_refused(report.replace(b"GrpHdr", b"Header"), "GrpHdr")
        self.assert_refused(report.replace(b"OrgnlGrpInfAndSts", b"Orgnl"), "OrgnlGrpInfAndSts")
        self.assert_refused(b"<E>" + report * 2 + b"</E>", "more than one Document")
        self.assert_refused(
            report.replace(b"<GrpSts>", b"<OrgnlNbOfTxs>many</OrgnlNbOfTxs><GrpSts>"),
            "OrgnlNbOfTxs",
        )
        self.assert_refused(
            report.replace(b"<GrpSts>", b"<OrgnlCtrlSum>1,5</OrgnlCtrlSum><GrpSts>"), "OrgnlCtrlSum"
        )

    def test_a_document_type_is_refused_before_anything_of_it_is_read(self):
        target = "file:///etc/passwd"
        bomb = "".join(f'<!ENTITY e{n + 1} "{f"&e{n};" * 10}">' for n in range(12))
        for head in (
            "<!DOCTYPE Document>",
            f'<!DOCTYPE Document SYSTEM "{target}">',
            f'<!DOCTYPE Document [<!ENTITY e SYSTEM "{target}">]>',
            f'<!DOCTYPE Document [<!ENTITY % e SYSTEM "{target}"> %e;]>',
            f'<!DOCTYPE Document [<!ENTITY e0 "ha">{bomb}]>',
        ):
            self.assert_refused(a_report(group="ACCP", head=head), "document type")
        self.assert_refused(a_report(group="&lol;"), "no well-formed XML")
        utf16 = a_report(group="ACCP", head="<!DOCTYPE Document>").decode().encode("utf-16")
        self.assert_refused(utf16, "document type")

    def test_size_and_depth_have_bounds(self):
        with self.assertRaises(MessageError) as caught:
            pain002.parse(a_report(group="ACCP"), max_bytes=100)
        self.assertIn("larger than 100 bytes", str(caught.exception))
        deep = "<x>" * xml.MAX_DEPTH + "</x>" * xml.MAX_DEPTH
        self.assert_refused(a_report(an_item(more=deep)), "levels")
        self.assert_refused(a_report(more="<x/>" * xml.MAX_PART), "larger than any bank's")
        self.assert_refused(a_report(more=f"<x>{'y' * xml.MAX_PART}</x>"), "larger than any bank's")
        self.assert_refused(a_report(more=f'<x y="{"z" * xml.MAX_PART}"/>'), "larger than")

    def test_other_encodings(self):
        report = a_report(an_item(status="ACCP"), more=a_reason("NARR", words="é")).decode()
        for encoding in ("utf-8", "utf-16", "iso-8859-1", "windows-1252"):
            head = f"<?xml version='1.0' encoding='{encoding}'?>"
            parsed = pain002.parse((head + report).encode(encoding))
            self.assertEqual(parsed.additional_info, "é")
        for encoding in ("klingon", "utf-7", "utf-32", "euc-jp", "punycode", "rot13", "base64"):
            head = f"<?xml version='1.0' encoding='{encoding}'?>"
            with self.assertRaises(MessageError):
                pain002.parse((head + report).encode())

    def test_spoilt_reports_are_read_or_refused(self):
        chance = random.Random(20022)
        seeds = [
            a_report(an_item(FIRST, "ACCP"), an_item(SECOND, "RJCT", "AC04"), group="PART"),
            a_report(group="RJCT", more=a_reason("FF01", words="é")),
            a_report(an_item(FIRST, "ACCP"), head="<?xml version='1.0' encoding='utf-8'?>"),
        ]
        read = 0
        for _round in range(6000):
            try:
                report = pain002.parse(_spoilt(chance.choice(seeds), chance))
            except MessageError:
                continue
            read += 1
            for item in report.items:
                self.assertIn(item.status, (ACCEPTED, REJECTED, PENDING))
                self.assertTrue(0 < len(item.end_to_end_id) <= 35)
        self.assertGreater(read, 500, "the mutations left nothing to read")

    @settings(max_examples=300, deadline=None, derandomize=True)
    @given(st.one_of(st.binary(max_size=300), st.text(max_size=300).map(str.encode)))
    def test_any_bytes_are_read_or_refused(self, content):
        with self.assertRaises(MessageError):
            pain002.parse(content)


def _spoilt(content, chance):
    """Return a content with one to three random faults."""
    for _fault in range(chance.randint(1, 3)):
        content = chance.choice((_with_other_bytes, _with_trouble, _with_other_word))(
            content, chance
        )
    return content


def _with_other_bytes(content, chance):
    """Return it with a few bytes lost, doubled or replaced."""
    begin = chance.randrange(len(content) + 1)
    end = min(len(content), begin + chance.choice((1, 4, 40)))
    part = chance.choice((b"", content[begin:end] * 2, chance.randbytes(end - begin)))
    return content[:begin] + part + content[end:]


def _with_trouble(content, chance):
    begin = chance.randrange(len(content) + 1)
    return content[:begin] + chance.choice(_TROUBLE) + content[begin:]


def _with_other_word(content, chance):
    """Return it with all of a word replaced by another one of it, so that it stays well-formed."""
    words = sorted(set(_WORD.findall(content)))
    known, other = chance.choice(words), chance.choice([*words, b"ACSC", b"RJCT", b"-1", b"x"])
    return re.sub(rb"\b%s\b" % known, other, content)


_WORD = re.compile(rb"[A-Za-z0-9]+")
_TROUBLE = (
    b"<",
    b"&#0;",
    b"&#x1F600;",
    b"&e;",
    b"]]>",
    b"<!--",
    b"<![CDATA[",
    b"<?x?>",
    b"<!DOCTYPE x>",
    b"</TxInfAndSts>",
    b"<Document>",
    b"\xff\xfe",
    b"\x00",
    b' xmlns="urn:x"',
)
