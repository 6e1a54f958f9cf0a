import logging
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timezone

import requests

from odoo import api, fields, models
from odoo.exceptions import ValidationError

from ..connectors import http, masking, signing
from ..connectors.dto import FinancialAddress
from ..connectors.errors import BankRejected, BankUnavailable
from ..services import financial_address

_logger = logging.getLogger(__name__)

#: seconds to connect and between two bytes of an answer; a look-up moves no money
MAPPER_TIMEOUT_S = (10, 30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """What the mapper says of one beneficiary: an address, or why there is none."""

    address: FinancialAddress | None = field(default=None, repr=False)
    reason_code: str = ""
    reason: str = ""


class AccountMapper(models.Model):
    """Where a beneficiary id becomes an account."""

    _name = "g2p.account.mapper"
    _description = "Account mapper"
    _inherit = ["g2p.endpoint.mixin", "mail.thread"]
    _order = "name"

    name = fields.Char(required=True, help="As officers know it.")
    active = fields.Boolean(default=True)
    company_id = fields.Many2one(
        "res.company", required=True, default=lambda self: self.env.company
    )
    provider = fields.Selection(
        [("local", "Built-in table"), ("g2p_connect", "G2P Connect (SPAR) over HTTP")],
        string="Kind",
        required=True,
        default="local",
        tracking=True,
        help="The built-in table is filled by import. A G2P Connect service, such as OpenG2P's"
        " SPAR, is asked over HTTP.",
    )
    link_ids = fields.One2many("g2p.account.link", "mapper_id", string="Links")
    link_count = fields.Integer(compute="_compute_link_count")
    base_url = fields.Char(
        help="The mapper is asked at this address with /sync/resolve behind it.",
    )
    secret = fields.Char(string="API key of the mapper")
    sender_id = fields.Char(
        string="Our name",
        default="g2p-bridge",
        help="Our name in the messages to the mapper (header sender_id).",
    )
    batch_size = fields.Integer(
        string="Look-ups per call",
        default=1000,
        help="Most beneficiaries that are looked up in one request.",
    )
    rule_ids = fields.One2many(
        "g2p.financial.address.rule",
        "mapper_id",
        string="Address rules",
        help="How the mapper's address strings are taken apart, tried in this order. "
        "Empty: OpenG2P's usual form.",
        copy=True,
    )

    _batch_size_positive = models.Constraint(
        "CHECK (batch_size > 0)", "The number of look-ups per request must be positive."
    )

    @api.constrains("provider", "base_url")
    def _check_has_base_url(self):
        for mapper in self:
            if mapper.provider == "g2p_connect" and not mapper.base_url:
                raise ValidationError(
                    self.env._("A G2P Connect mapper needs a base URL that starts with https://.")
                )

    @api.depends("link_ids")
    def _compute_link_count(self):
        counts = dict(
            self.env["g2p.account.link"]._read_group(
                [("mapper_id", "in", self.ids)], ["mapper_id"], ["__count"]
            )
        )
        for mapper in self:
            mapper.link_count = counts.get(mapper, 0)

    def action_view_links(self):
        """Open the links of the built-in table."""
        self.check_access("read")
        action = self.env["ir.actions.act_window"]._for_xml_id("g2p_bridge.g2p_account_link_action")
        return {
            **action,
            "domain": [("mapper_id", "=", self.id)],
            "context": {"default_mapper_id": self.id},
        }

    @api.private
    def _resolve_over_http(self, beneficiary_ids):
        """Ask the G2P Connect mapper for addresses.

        :param dict beneficiary_ids: reference (our disbursement_id) -> beneficiary id
        :return: dict of reference -> :class:`Resolution`; a reference that the mapper did not
            answer is left out
        :raise BankUnavailable: no usable answer; to ask again is harmless
        :raise BankRejected: the mapper refused the request as a whole
        """
        self.ensure_one()
        found = {}
        references = list(beneficiary_ids)
        rules = self._address_rules()
        for start in range(0, len(references), self.batch_size):
            part = references[start : start + self.batch_size]
            answers = self._request_resolve({ref: beneficiary_ids[ref] for ref in part})
            found.update(self._read_answers(answers, set(part), rules))
        return found

    def _address_rules(self):
        """Return the rules as the parser takes them."""
        if not self.rule_ids:
            return financial_address.DEFAULT_RULES
        return [rule._to_parser_rule() for rule in self.rule_ids]

    def _request_resolve(self, beneficiary_ids, timeout_s=MAPPER_TIMEOUT_S):
        """POST one ``/sync/resolve`` and return its list of answers (G2P Connect resolve)."""
        body = self._prepare_resolve_message(beneficiary_ids)
        secret = self.sudo().secret  # readable for system administrators only
        headers = {"Authorization": f"Bearer {secret}"} if secret else {}
        with requests.Session() as session:
            url = self.base_url.rstrip("/") + "/sync/resolve"
            request = http.prepare(session, url, body, headers)
            if self.sign_requests:
                signing.sign(request)
            answer = http.send(session, request, timeout_s=timeout_s, safe=True)
        return _answers_of(answer)

    def _prepare_resolve_message(self, beneficiary_ids):
        now = datetime.now(timezone.utc).isoformat()
        return {
            "header": {
                "version": "1.0.0",
                "message_id": str(uuid.uuid4()),
                "message_ts": now,
                "action": "resolve",
                "sender_id": self.sender_id or "g2p-bridge",
                "sender_uri": "",
                "receiver_id": "",
                "total_count": len(beneficiary_ids),
                "is_msg_encrypted": False,
                "meta": None,
            },
            "message": {
                "transaction_id": str(uuid.uuid4()),
                "resolve_request": [
                    {
                        "reference_id": reference,
                        "timestamp": now,
                        "fa": "",
                        "id": beneficiary_id,
                        "name": None,
                        "scope": "details",
                        "additional_info": None,
                        "locale": "en",
                    }
                    for reference, beneficiary_id in beneficiary_ids.items()
                ],
            },
        }

    def _read_answers(self, answers, asked, rules):
        """Return reference -> :class:`Resolution`, of those that were asked for."""
        found = {}
        for answer in answers:
            if not isinstance(answer, dict) or answer.get("reference_id") not in asked:
                _logger.warning("mapper %s answered what was not asked", self.id)
                continue
            found[answer["reference_id"]] = _resolution_of(answer, rules)
        return found


def _answers_of(body):
    """Return the ``resolve_response`` of a G2P Connect reply.

    :raise BankRejected: the header says ``rjct``
    :raise BankUnavailable: the reply has another form
    """
    header = body.get("header") if isinstance(body, dict) else None
    if not isinstance(header, dict):
        raise BankUnavailable("The mapper's answer is no G2P Connect message.", code="GARBAGE")
    if header.get("status") == "rjct":
        code = str(header.get("status_reason_code") or "rjct")[:64]
        raise BankRejected(f"The mapper refused the request: {code}", code=code)
    message = body.get("message")
    answers = message.get("resolve_response") if isinstance(message, dict) else None
    if not isinstance(answers, list):
        raise BankUnavailable("The mapper's answer holds no resolve_response.", code="GARBAGE")
    return answers


def _resolution_of(answer, rules):
    """Read one ``resolve_response``; linked is what has an address (G2P Connect)."""
    fa = answer.get("fa")
    if answer.get("status") == "succ" and fa and isinstance(fa, str):
        address = financial_address.parse(fa, rules)
        if address is not None:
            return Resolution(address=address)
        return Resolution(
            reason_code="rjct.fa.invalid", reason="No rule takes the mapper's address apart"
        )
    return Resolution(
        reason_code=str(answer.get("status_reason_code") or "succ.fa.not_found")[:64],
        reason=masking.mask_text(
            str(answer.get("status_reason_message") or "The mapper knows no account")[:200]
        ),
    )


class FinancialAddressRule(models.Model):
    """How one kind of address string is taken apart."""

    _name = "g2p.financial.address.rule"
    _description = "Financial address rule"
    _order = "sequence, id"

    mapper_id = fields.Many2one("g2p.account.mapper", required=True, ondelete="cascade", index=True)
    sequence = fields.Integer(default=10)
    name = fields.Char(required=True)
    fa_type = fields.Selection(
        lambda self: self.env["g2p.account.link"]._FA_TYPES, required=True, string="Kind"
    )
    expression = fields.Char(
        required=True,
        help="Regular expression that fits the whole address, with named groups: account_number, "
        "bank_code, branch_code, mobile_number, email_address, wallet_provider.",
    )

    @api.constrains("expression", "fa_type")
    def _check_expression(self):
        for rule in self:
            rule._check_parses()

    def _check_parses(self):
        try:
            self._to_parser_rule()
        except ValueError as error:
            raise ValidationError(
                self.env._("Rule %(rule)s: %(problem)s", rule=self.name, problem=error)
            ) from error

    @api.private
    def _to_parser_rule(self):
        """Return the rule as the parser takes it.

        :raise ValueError: the expression is wrong
        """
        return financial_address.Rule(
            name=self.name, expression=self.expression, fa_type=self.fa_type
        )
