"""The button *Test connection*: one harmless call, and in plain words what it came to."""

import time
from dataclasses import dataclass, replace
from decimal import Decimal
from urllib.parse import urlsplit

from odoo import api, models
from odoo.exceptions import UserError

from ..connectors.diagnosis import diagnose
from ..connectors.errors import BankError, BankRejected, BankUnavailable
from .roles import OFFICER, check_role

#: most seconds to connect, and between two bytes of the answer: a person waits
TEST_TIMEOUT_S = (5, 10)
#: accounts of a bank that one press of the button asks about
MAX_ACCOUNTS = 5
#: of these it does not depend on the account: the bank's other accounts would fail likewise
SAME_FOR_ALL = frozenset(
    {
        *(
            "connector",
            "no_address",
            "address",
            "name",
            "refused",
            "proxy",
            "time_out_connect",
            "time_out_answer",
            "tls",
        ),
        *("certificate", "certificate_expired", "certificate_not_yet_valid"),
        *("certificate_issuer", "certificate_host", "signing_key", "credentials", "dropped"),
        *("redirect", "path", "not_json"),
    }
)
#: whom a mapper is asked about: nobody's id
TEST_BENEFICIARY = "G2P-BRIDGE-CONNECTION-TEST"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a test call came to."""

    verdict: str  # ok, warning, failed
    message: str
    advice: str = ""
    word: str = ""  # of connectors/diagnosis.py
    call_id: int = 0
    latency_ms: int = 0


class SponsorBank(models.Model):
    """Test calls to a bank: one for each of its funding accounts."""

    _inherit = "g2p.sponsor.bank"

    def action_test_connection(self):
        """Make a harmless call for each funding account, and say what is wrong.

        :return: action: what became of the calls
        :raise AccessError: not an officer
        """
        self.ensure_one()
        check_role(self, OFFICER)
        accounts = self.funding_account_ids.filtered("active")
        if not accounts:
            raise UserError(
                self.env._(
                    "Add a funding account to %s first: the bank is asked about an account.",
                    self.name,
                )
            )
        return self.env["g2p.connection.test"]._open(
            accounts[:MAX_ACCOUNTS]._test_rows(), bank_id=self.id
        )


class FundingAccount(models.Model):
    """Test calls about one account."""

    _inherit = "g2p.funding.account"

    def action_test_connection(self):
        """Make a harmless call about the account, and say what is wrong.

        :return: action: what became of the call
        :raise AccessError: not an officer
        """
        self.ensure_one()
        check_role(self, OFFICER)
        return self.env["g2p.connection.test"]._open(self._test_rows(), account_id=self.id)

    def _test_rows(self):
        """Make the calls, one after the other; return what to show of each.

        What does not depend on the account is not asked again for the next one.
        """
        rows, stopped = [], False
        for account in self:
            if stopped:
                rows.append(
                    {
                        "name": account.display_name,
                        "verdict": "skipped",
                        "message": self.env._("Not asked: it would have failed in the same way."),
                    }
                )
                continue
            found = account._test_connection()
            stopped = found.word in SAME_FOR_ALL
            rows.append(_row_of(account.display_name, found))
        return rows

    @api.private
    def _test_connection(self):
        """Make one harmless call about the account.

        :return: Verdict
        """
        self.ensure_one()
        bank, words = self.bank_id, self.env["g2p.connection.words"]
        if bank._connector_or_none() is None:
            return words._of_word("connector", bank)
        if not bank.base_url:
            return words._of_word("no_address", bank)
        debtor = self.sudo()._to_debtor_account()  # the secret is the connector's
        short = tuple(map(min, debtor.timeout_s, TEST_TIMEOUT_S))
        amount = Decimal(1).scaleb(-self.currency_id.decimal_places)
        connector = bank._get_connector()
        return words._judge(
            self, bank, lambda: connector.test_connection(replace(debtor, timeout_s=short), amount)
        )


class AccountMapper(models.Model):
    """Test calls to a mapper."""

    _inherit = "g2p.account.mapper"

    def action_test_connection(self):
        """Look one person up who is nobody, and say what is wrong.

        :return: action: what became of the call
        :raise AccessError: not an officer
        """
        self.ensure_one()
        check_role(self, OFFICER)
        found = self._test_connection()
        return self.env["g2p.connection.test"]._open([_row_of(self.name, found)], mapper_id=self.id)

    @api.private
    def _test_connection(self):
        """Make one harmless look-up; of the built-in table, look at its links.

        :return: Verdict
        """
        self.ensure_one()
        words = self.env["g2p.connection.words"]
        if self.provider == "local":
            word = "links" if self.link_count else "no_links"
            return words._of_word(word, self, count=self.link_count)
        return words._judge(self, self, lambda: self._look_up_nobody())

    def _look_up_nobody(self):
        reference = "connection-test"
        answers = self._request_resolve({reference: TEST_BENEFICIARY}, TEST_TIMEOUT_S)
        if not any(isinstance(a, dict) and a.get("reference_id") == reference for a in answers):
            raise BankUnavailable(
                "The mapper's answer says nothing of what it was asked.", code="MALFORMED_ANSWER"
            )


class ConnectionWords(models.AbstractModel):
    """What a test call came to, in words for whoever set the bank or mapper up."""

    _name = "g2p.connection.words"
    _description = "Words of a connection test"

    @api.private
    def _judge(self, subject, other_side, function):
        """Make the call and return the :class:`Verdict`.

        :param record subject: funding account or mapper that the call is about
        :param record other_side: bank or mapper that is called
        :param function: makes the call
        """
        calls = self.env["g2p.bank.call"].sudo()  # call rows belong to nobody
        down = self._down_since(other_side)
        call = calls._start_test(subject)
        started = time.monotonic()
        try:
            answer = calls._run(call, lambda: (function(), None))
        except BankError as error:
            found = self._of_error(error, other_side, down)
        else:
            found = self._of_answer(answer, other_side, down)
        return replace(
            found, call_id=call.id, latency_ms=round((time.monotonic() - started) * 1000)
        )

    def _down_since(self, other_side):
        """Return the health of a bank or mapper whose circuit is open, or nothing."""
        column = "bank_id" if other_side._name == "g2p.sponsor.bank" else "mapper_id"
        return (
            self.env["g2p.bank.health"]
            .sudo()  # as every form shows it
            .search([(column, "=", other_side.id), ("is_open", "=", True)])
        )

    def _of_answer(self, answer, other_side, down):
        message, advice = self._works(other_side), ""
        if down:
            advice = self.env._("It counted as down; what waited for it goes on now.")
        if getattr(answer, "is_available", True):
            return Verdict(verdict="ok", message=message, advice=advice)
        return Verdict(
            verdict="warning",
            message=self.env._(
                "%(name)s answers and knows the account, but has no money on it that is free.",
                name=other_side.name,
            ),
            advice=advice or self.env._("Have money put on the account before the payment day."),
        )

    def _works(self, other_side):
        if other_side._name == "g2p.sponsor.bank":
            return self.env._("%s answers, takes our key and knows the account.", other_side.name)
        return self.env._("%s answers and takes our key.", other_side.name)

    def _of_error(self, error, other_side, down):
        found = self._of_word(diagnose(error), other_side, error=error)
        if not down or isinstance(error, BankRejected):  # a refusal is an answer, too
            return found
        return replace(found, advice=f"{found.advice} {down._prepare_message()}".strip())

    def _of_word(self, word, other_side, *, error=None, count=0):
        """Return the :class:`Verdict` for a word of ``connectors/diagnosis.py``, or one of ours."""
        host = urlsplit(other_side.base_url or "").netloc
        values = {
            "name": other_side.name,
            "host": host,
            "code": error.code if error else "",
            "detail": str(error) if error else "",
            "count": count,
            "connect_s": TEST_TIMEOUT_S[0],
            "answer_s": TEST_TIMEOUT_S[1],
        }
        verdict = {"links": "ok", "no_links": "warning"}.get(word, "failed")
        sentences = {
            **self._words_of_set_up(values),
            **self._words_of_network(values),
            **self._words_of_certificates(values),
            **self._words_of_answers(values),
        }
        message, advice = sentences[word]
        return Verdict(verdict=verdict, message=message, advice=advice, word=word)

    def _words_of_set_up(self, values):
        return {
            "connector": (
                self.env._(
                    "No connector is chosen for %(name)s, or its addon is not installed.", **values
                ),
                self.env._(
                    "Install the bank's addon, then choose its connector on the bank's form."
                ),
            ),
            "no_address": (
                self.env._("%(name)s has no base URL.", **values),
                self.env._("Enter the address that the bank gave you, on the bank's form."),
            ),
            "address": (
                self.env._("The base URL is no address that can be called.", **values),
                self.env._("It has to look like https://api.bank.example/g2p."),
            ),
            "signing_key": (
                self.env._(
                    "Requests are to be signed, and the server has no key that it can use.",
                    **values,
                ),
                self.env._(
                    "Give the server a key (G2P_BRIDGE_SIGNING_KEY_FILE), or switch signing off."
                ),
            ),
            "links": (
                self.env._("The built-in table holds %(count)s links.", **values),
                "",
            ),
            "no_links": (
                self.env._(
                    "The built-in table is empty: no payment would find an account.", **values
                ),
                self.env._("Import the links of account and beneficiary."),
            ),
        }

    def _words_of_network(self, values):
        return {
            "name": (
                self.env._("The name %(host)s is not known: there is no such server.", **values),
                self.env._(
                    "Look for a typing error in the base URL; ask the network people for the name."
                ),
            ),
            "refused": (
                self.env._("%(host)s is there, but nothing answers at that port.", **values),
                self.env._("Look at the port in the base URL; ask whether the service is running."),
            ),
            "time_out_connect": (
                self.env._("No connection to %(host)s within %(connect_s)s seconds.", **values),
                self.env._(
                    "Mostly a firewall: ask that this server may call that address and port."
                ),
            ),
            "time_out_answer": (
                self.env._("%(host)s took the request and did not answer in time.", **values),
                self.env._("Try again; if it stays so, ask whether the service is overloaded."),
            ),
            "dropped": (
                self.env._("%(host)s closed the connection without a whole answer.", **values),
                self.env._("Ask whether http:// or https:// is right, and what their log says."),
            ),
            "proxy": (
                self.env._("The proxy of this server did not let the call through.", **values),
                self.env._("Ask the network people to allow the address in the proxy."),
            ),
            "tls": (
                self.env._("No secure connection to %(host)s came about.", **values),
                self.env._(
                    "Ask whether the port speaks https://; perhaps only http:// or an old version."
                ),
            ),
            "unclear": (
                self.env._("The call failed: %(detail)s", **values),
                self.env._("Look at the call for what is known (%(code)s).", **values),
            ),
        }

    def _words_of_certificates(self, values):
        renew = self.env._(
            "Ask them to renew it. Nothing was sent to a server that cannot prove who it is."
        )
        return {
            "certificate_expired": (
                self.env._("The TLS certificate of %(host)s has expired.", **values),
                renew,
            ),
            "certificate_not_yet_valid": (
                self.env._("The TLS certificate of %(host)s is not valid yet.", **values),
                self.env._("Look at the clock of this server; then ask them."),
            ),
            "certificate_host": (
                self.env._("The TLS certificate is for another name than %(host)s.", **values),
                self.env._("Use the name that the certificate is for, as their documents have it."),
            ),
            "certificate_issuer": (
                self.env._(
                    "Nobody whom this server trusts issued the certificate of %(host)s.", **values
                ),
                self.env._(
                    "Have their issuer added to this server's trusted ones (REQUESTS_CA_BUNDLE)."
                ),
            ),
            "certificate": (
                self.env._("The TLS certificate of %(host)s does not verify.", **values),
                renew,
            ),
        }

    def _words_of_answers(self, values):
        return {
            "credentials": (
                self.env._("%(host)s does not take our API key (HTTP 401).", **values),
                self.env._("Have a system administrator enter the key anew; it may have ended."),
            ),
            "forbidden": (
                self.env._("%(host)s knows us and does not allow the call (HTTP 403).", **values),
                self.env._("Ask them to allow this key the service, and this server's address."),
            ),
            "path": (
                self.env._("%(host)s has no such service at this path (%(code)s).", **values),
                self.env._("Compare the path of the base URL with their documents."),
            ),
            "busy": (
                self.env._("%(host)s asks to be called less often (HTTP 429).", **values),
                self.env._("Wait a minute and test again."),
            ),
            "redirect": (
                self.env._(
                    "%(host)s sends us to another address (%(code)s), and we do not follow.",
                    **values,
                ),
                self.env._(
                    "Enter the address that it stands at; often https:// instead of http://."
                ),
            ),
            "server_error": (
                self.env._("%(host)s has an error of its own (%(code)s).", **values),
                self.env._("Ask them; there is nothing to change here."),
            ),
            "not_json": (
                self.env._("%(host)s answered with something that is no JSON.", **values),
                self.env._(
                    "Probably a web page: look whether the base URL is that of the service."
                ),
            ),
            "other_answer": (
                self.env._("%(host)s answered, but not as this connector expects.", **values),
                self.env._(
                    "Look whether the right connector is chosen, and the base URL is its service."
                ),
            ),
            "account": (
                self.env._("%(name)s answers, but does not know the account number.", **values),
                self.env._("Compare the number and branch with the bank's papers."),
            ),
            "refused_by_bank": (
                self.env._("%(name)s answers and refuses the call: %(detail)s", **values),
                self.env._("Look at the call, and ask them about %(code)s.", **values),
            ),
        }


def _row_of(name, found):
    return {
        "name": name,
        "verdict": found.verdict,
        "message": found.message,
        "advice": found.advice,
        "latency_ms": found.latency_ms,
        "call_id": found.call_id or False,
    }
