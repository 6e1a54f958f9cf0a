"""An envelope at a bank of ISO 20022 files: pain.001 out, pain.002 and camt.053 in."""

import os
import re
import shutil
import time
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path

from lxml import etree

from bridge_stack.common import BridgeError
from bridge_stack.world import CURRENCY
from g2p_bench.results import stage
from g2p_bench.way import STALL_S, Follower

#: environment of the servers: where folders of banks may lie
FOLDERS = "G2P_BRIDGE_BANK_FOLDERS"
#: entries of one statement: as many as fit into the 32 MB of a file
_ENTRIES = 50_000
_BIC = "EXMPUS33"
#: of so many payments the bank refuses one
_REFUSES_ONE_OF = 100
_ORDER = re.compile(r"<EndToEndId>([^<]+)</EndToEndId>.*?<InstdAmt[^>]*>([^<]+)<", re.DOTALL)
_MESSAGE_ID = re.compile(r"<MsgId>([^<]+)<")

_READ = "SELECT count(*) FROM g2p_bank_file WHERE state = 'processed' AND bank_id = %s"
_WRONG = "SELECT note FROM g2p_bank_file WHERE state = 'error' AND bank_id = %s LIMIT 1"
_MATCHED = (
    "SELECT count(*) FROM g2p_account_statement t JOIN g2p_funding_account a ON a.id = t.account_id"
    " WHERE t.state = 'processed' AND a.bank_id = %s"
)

_REPORT = """<?xml version="1.0" encoding="UTF-8"?>
<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.002.001.10"><CstmrPmtStsRpt>
<GrpHdr><MsgId>R{number}</MsgId><CreDtTm>{day}T10:00:00</CreDtTm></GrpHdr>
<OrgnlGrpInfAndSts><OrgnlMsgId>{id}</OrgnlMsgId><OrgnlMsgNmId>pain.001.001.09</OrgnlMsgNmId>
<GrpSts>PART</GrpSts></OrgnlGrpInfAndSts>
<OrgnlPmtInfAndSts><OrgnlPmtInfId>{id}</OrgnlPmtInfId>{items}</OrgnlPmtInfAndSts>
</CstmrPmtStsRpt></Document>"""
_PAID = "<TxSts>ACSC</TxSts>"
_REFUSED = "<TxSts>RJCT</TxSts><StsRsnInf><Rsn><Cd>AC04</Cd></Rsn></StsRsnInf>"
_STATEMENT = """<?xml version="1.0" encoding="UTF-8"?>
<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"><BkToCstmrStmt>
<GrpHdr><MsgId>M{number}</MsgId><CreDtTm>{day}T20:00:00Z</CreDtTm></GrpHdr>
<Stmt><Id>S{number}</Id><ElctrncSeqNb>{number}</ElctrncSeqNb><CreDtTm>{day}T20:00:00Z</CreDtTm>
<Acct><Id><Othr><Id>{account}</Id></Othr></Id><Ccy>{currency}</Ccy></Acct>
{opening}{closing}{entries}</Stmt></BkToCstmrStmt></Document>"""
_BALANCE = """<Bal><Tp><CdOrPrtry><Cd>{code}</Cd></CdOrPrtry></Tp>
<Amt Ccy="{currency}">{amount}</Amt><CdtDbtInd>CRDT</CdtDbtInd><Dt><Dt>{day}</Dt></Dt></Bal>"""
_ENTRY = """
<Ntry><Amt Ccy="{currency}">{amount}</Amt><CdtDbtInd>DBIT</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts>
<BookgDt><Dt>{day}</Dt></BookgDt><ValDt><Dt>{day}</Dt></ValDt><AcctSvcrRef>{name}</AcctSvcrRef>
<BkTxCd><Domn><Cd>PMNT</Cd><Fmly><Cd>ICDT</Cd><SubFmlyCd>ESCT</SubFmlyCd></Fmly></Domn></BkTxCd>
<NtryDtls><TxDtls><Refs><EndToEndId>{name}</EndToEndId></Refs>
<Amt Ccy="{currency}">{amount}</Amt><CdtDbtInd>DBIT</CdtDbtInd></TxDtls></NtryDtls></Ntry>"""


class FileWay:
    """One envelope at a bank that takes and gives files, in a folder of this machine.

    :param folder: what :data:`FOLDERS` names for the servers (Path)

    :ivar results: list of results, in the order of the way
    """

    def __init__(self, system, count, folder):
        self._system, self._count = system, count
        self._out, self._in, self._made = (
            Path(folder) / name for name in ("to-bank", "from-bank", "made")
        )
        for place in (self._out, self._in, self._made):
            place.mkdir()
        self._world = system.new_world(
            name="Paid by files",
            bank_values={
                "connector": "iso20022",
                "iso20022_transport": "folder",
                "iso20022_out_path": self._out.name,
                "iso20022_in_path": self._in.name,
                "iso20022_initiating_party_name": "Ministry",
                "iso20022_agent_bic": _BIC,
                "iso20022_funds_policy": "execution",
            },
        )
        system.link(self._world, count, bank_code=_BIC)
        self._day = datetime.now(timezone.utc).date().isoformat()
        self._paid = []
        self.results = []

    def go(self):
        """Pay by files, and read what the bank answers in files."""
        self._dispatch()
        self._read_reports()
        self._read_statements()

    def _add(self, name, rows, seconds, floor_seconds, memory):
        self.results.append(
            stage(
                name,
                rows=rows,
                seconds=seconds,
                floor_seconds=floor_seconds,
                clients=self._system.channels,
                memory=memory,
            )
        )

    def _dispatch(self):
        """Batches formed, and laid down as pain.001 files.

        From when all accounts are known and the funds blocked until all payments were seen to be
        committed as sent. The floor is the same bytes, each file brought to its disk and renamed.
        """
        system = self._system
        envelope = system.declare(self._world, self._count, 0)
        with system.memory.watch() as memory, Follower(system, envelope, self._count) as follower:
            system.send(system.jsonrpc, envelope, self._count)
            end = follower.wait_for("sent")
            follower.wait_for("envelope disbursed")
        begun = max(follower.done["resolved"], follower.done["envelope funds_blocked"])
        floor = _seconds_to_write(self._out)
        self._add("files_dispatch", self._count, end - begun, floor, memory)

    def _read_reports(self):
        """Status reports fetched, read and booked; the floor is the XML read by lxml alone."""
        for place, path in enumerate(sorted(self._out.glob("*.xml"))):
            text = path.read_text(encoding="utf-8")
            message_id = _MESSAGE_ID.search(text)[1]
            items = "".join(
                f"<TxInfAndSts><OrgnlEndToEndId>{name}</OrgnlEndToEndId>"
                f"{_PAID if self._pays(number, name, amount) else _REFUSED}</TxInfAndSts>"
                for number, (name, amount) in enumerate(_ORDER.findall(text), 1)
            )
            report = _REPORT.format(number=place, id=message_id, day=self._day, items=items)
            (self._made / f"report-{path.name}").write_text(report, encoding="utf-8")
        floor = self._seconds_to_parse()
        with self._system.memory.watch() as memory:
            seconds = self._fetch(_READ)
        self._add("files_status", self._count, seconds, floor, memory)

    def _pays(self, number, name, amount):
        """Say whether the bank pays the payment, and keep it for the statement then."""
        if number % _REFUSES_ONE_OF == 0:
            return False
        self._paid.append((name, Decimal(amount)))
        return True

    def _read_statements(self):
        """camt.053 files fetched, stored and matched; the floor is the XML read by lxml alone."""
        balance = sum(amount for _name, amount in self._paid)
        for start in range(0, len(self._paid), _ENTRIES):
            entries = self._paid[start : start + _ENTRIES]
            number = start // _ENTRIES + 1
            left = balance - sum(amount for _name, amount in entries)
            text = self._statement(number, balance, left, entries)
            (self._made / f"statement-{number:03d}.xml").write_text(text, encoding="utf-8")
            balance = left
        floor = self._seconds_to_parse()
        with self._system.memory.watch() as memory:
            seconds = self._fetch(_MATCHED)
        self._add("files_statement", len(self._paid), seconds, floor, memory)
        [[reconciled]] = self._system.query(
            "SELECT count(*) FROM g2p_disbursement d JOIN g2p_disbursement_envelope e"
            " ON e.id = d.envelope_id WHERE d.state = 'reconciled' AND e.program_id = %s",
            self._world.program_id,
        )
        if reconciled != len(self._paid):
            raise AssertionError(f"{reconciled} of {len(self._paid)} payments are reconciled")

    def _statement(self, number, opening, closing, entries):
        values = {"currency": CURRENCY, "day": self._day}
        return _STATEMENT.format(
            **values,
            number=number,
            account=self._world.account_number,
            opening=_BALANCE.format(code="OPBD", amount=opening, **values),
            closing=_BALANCE.format(code="CLBD", amount=closing, **values),
            entries="".join(
                _ENTRY.format(name=name, amount=amount, **values) for name, amount in entries
            ),
        )

    def _seconds_to_parse(self):
        paths = list(self._made.glob("*.xml"))
        begun = time.monotonic()
        for path in paths:
            etree.parse(path)
        return time.monotonic() - begun

    def _fetch(self, outcome):
        """Lay the files down, press the button, return the seconds until all are booked.

        :param str outcome: SQL that counts what came of the bank's files
        """
        paths = list(self._made.glob("*.xml"))
        wanted = len(paths) + self._count_of(outcome)
        begun = moved_at = time.monotonic()
        for path in paths:  # all at once, for the cron looks into the folder, too
            path.rename(self._in / path.name)
        self._world.admin.execute(
            "g2p.sponsor.bank", "action_fetch_bank_files", [self._world.bank_id]
        )
        last = None
        while (done := self._count_of(outcome)) < wanted:
            for [note] in self._system.query(_WRONG, self._world.bank_id):
                raise BridgeError(f"a file of the bank could not be read: {note}")
            now = time.monotonic()
            if done != last:
                last, moved_at = done, now
            if now - moved_at > STALL_S:
                raise BridgeError(f"nothing moved for {STALL_S} s: {done} of {wanted}")
            time.sleep(0.05)
        return time.monotonic() - begun

    def _count_of(self, outcome):
        [[count]] = self._system.query(outcome, self._world.bank_id)
        return count


def _seconds_to_write(folder):
    """Return what a bare process takes to lay down the same files as the bridge does."""
    contents = [path.read_bytes() for path in sorted(folder.glob("*.xml"))]
    place = folder.with_name("floor")
    place.mkdir()
    begun = time.monotonic()
    for number, content in enumerate(contents):
        part = place / f".{number}.part"
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.rename(place / f"{number}.xml")
    seconds = time.monotonic() - begun
    shutil.rmtree(place)
    return seconds
