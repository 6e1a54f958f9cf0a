from odoo import fields, models

from ..const import PARAMETERS, ZERO_IS_OFF


def _parameter(name, string, explanation):
    """Return the settings field of a system parameter, with its default."""
    key = f"g2p_bridge.{name}"
    return fields.Integer(
        string=string, help=explanation, config_parameter=key, default=PARAMETERS[key]
    )


class ResConfigSettings(models.TransientModel):
    _inherit = "res.config.settings"

    g2p_disbursement_sla_days = _parameter(
        "disbursement_sla_days",
        "Statement due after (days)",
        "Days after the schedule date by which the bank's statement should have come. "
        "Programs take it as their default.",
    )
    g2p_rows_per_call = _parameter(
        "rows_per_call",
        "Rows per call",
        "Most rows that one API call may hold. Bigger calls need more memory and time in a worker.",
    )
    g2p_batch_size = _parameter(
        "batch_size", "Payments per batch", "Default of new banks: most payments in one bank call."
    )
    g2p_resolve_size = _parameter(
        "resolve_size", "Look-ups per job", "Payments whose accounts one job looks up."
    )
    g2p_resolve_lead_days = _parameter(
        "resolve_lead_days",
        "Look up ahead (days)",
        "Days before the schedule date at which accounts are looked up, so that there is time to "
        "mend what is missing.",
    )
    g2p_match_size = _parameter(
        "match_size", "Entries per job", "Statement entries that one job matches."
    )
    g2p_max_attempts = _parameter(
        "max_attempts",
        "Attempts",
        "How often a step is tried when a bank or mapper cannot be reached, before an officer is "
        "told. The step is taken up again after the recheck time.",
    )
    g2p_retry_seconds = _parameter(
        "retry_seconds",
        "Back-off (seconds)",
        "Wait before the second attempt; it doubles with each further one, up to an hour.",
    )
    g2p_recheck_minutes = _parameter(
        "recheck_minutes",
        "Recheck after (minutes)",
        "How long an envelope with a problem waits before its step is tried again by itself, and "
        "how often a bank is asked about a batch whose outcome is unknown.",
    )
    g2p_breaker_failures = _parameter(
        "breaker_failures",
        "Down after (failures)",
        "Failures in a row after which a bank or mapper counts as down: then it is asked by one "
        "call at a time, once in a while, instead of by every job.",
    )
    g2p_breaker_seconds = _parameter(
        "breaker_seconds",
        "Asked again after (seconds)",
        "How long a bank that is down is left alone at first; twice as long after each failure.",
    )
    g2p_breaker_longest_seconds = _parameter(
        "breaker_longest_seconds",
        "At the latest after (seconds)",
        "The longest that a bank that is down is left alone.",
    )
    g2p_statement_max_bytes = _parameter(
        "statement_max_bytes", "Largest statement file (bytes)", "Bigger uploads are refused."
    )
    g2p_uploads_per_minute = _parameter(
        "uploads_per_minute",
        "Uploads per minute",
        "Most statement files that one user may send in a minute. 0: no limit.",
    )
    g2p_statement_max_entries = _parameter(
        "statement_max_entries",
        "Most entries of a statement file",
        "Files with more are refused; above 500,000 they are in any case.",
    )

    g2p_import_max_bytes = _parameter(
        "import_max_bytes", "Largest payment file (bytes)", "Bigger files are not imported."
    )
    g2p_import_max_rows = _parameter(
        "import_max_rows", "Most rows of a payment file", "Files with more are not imported."
    )
    g2p_import_keep_days = _parameter(
        "import_keep_days",
        "Keep payment files (days)",
        "How long imported files and their bad rows are kept. 0: until the next night.",
    )
    g2p_digest_hour = _parameter(
        "digest_hour",
        "Daily e-mail from (hour)",
        "Hour of the day, in the reader's time zone, from which the responsible people get the "
        "e-mail of what changed. 0: none is sent.",
    )
    g2p_openg2p_check_signatures = _parameter(
        "openg2p_check_signatures",
        "Check signatures",
        "1: a call by the paths of OpenG2P's bridge must be signed with a trusted key, or carry an "
        "API key. 0: whoever writes a sender's name is believed; only for a bridge that nobody but "
        "the program system can reach.",
    )

    def set_values(self):
        # Odoo takes 0 for "not set" and removes the parameter, and its default would count again
        result = super().set_values()
        parameters = self.env["ir.config_parameter"].sudo()
        for name, field in self._fields.items():
            key = getattr(field, "config_parameter", None)
            if key in ZERO_IS_OFF and not self[name]:
                parameters.set_param(key, "0")
        return result
