from odoo import api, fields, models
from odoo.tools import SQL

from .bulk_fields import BigInteger, BulkMany2one
from .g2p_bank_call import OPERATIONS

#: upper bounds of the histogram, in milliseconds; ABOVE for what took longer
BOUNDS_MS = (50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 70000)
ABOVE = 0
OUTCOMES = ("answered", "rejected", "unavailable", "unknown")


class CallStatistic(models.Model):
    """How many calls each bank and mapper had, how they ended and how long they took.

    Counters since the installation that only grow, as Prometheus wants them: one row for each
    bank, operation, outcome and class of duration. Calls themselves are kept for ever, and counting
    them would take longer each day. Written in the short transaction that keeps a call's outcome.
    """

    _name = "g2p.call.statistic"
    _description = "Statistic of bank calls"
    _log_access = False

    bank_id = BulkMany2one("g2p.sponsor.bank", readonly=True)
    mapper_id = BulkMany2one("g2p.account.mapper", readonly=True)
    operation = fields.Selection(OPERATIONS, required=True, readonly=True)
    outcome = fields.Char(required=True, readonly=True)
    bound_ms = fields.Integer(string="Took up to (ms)", required=True, readonly=True)
    call_count = BigInteger(string="Calls", required=True, readonly=True)
    duration_ms = BigInteger(string="Took together (ms)", required=True, readonly=True)

    _key_uniq = models.UniqueIndex(
        "(coalesce(bank_id, 0), coalesce(mapper_id, 0), operation, outcome, bound_ms)"
    )

    @api.private
    def _count(self, cr, call_values, outcome, duration_ms):
        """Count a call that ended.

        :param Cursor cr: the own cursor that the outcome is written on
        :param dict call_values: ``bank_id``, ``mapper_id`` and ``operation`` of the call
        :param str outcome: one of OUTCOMES
        :param int duration_ms: of all requests that it was made of
        """
        cr.execute(
            SQL(
                """
                INSERT INTO g2p_call_statistic AS known
                       (bank_id, mapper_id, operation, outcome, bound_ms, call_count, duration_ms)
                VALUES (%s, %s, %s, %s, %s, 1, %s)
                    ON CONFLICT (coalesce(bank_id, 0), coalesce(mapper_id, 0), operation, outcome,
                                 bound_ms)
                    DO UPDATE SET call_count = known.call_count + 1,
                                  duration_ms = known.duration_ms + excluded.duration_ms
                """,
                call_values["bank_id"],
                call_values["mapper_id"],
                call_values["operation"],
                outcome,
                bound_of(duration_ms),
                duration_ms,
            )
        )


def bound_of(duration_ms):
    """Return the bound of the class that a duration belongs to."""
    return next((bound for bound in BOUNDS_MS if duration_ms <= bound), ABOVE)


def cumulated(counts):
    """Return the buckets of a Prometheus histogram.

    :param dict counts: bound in milliseconds -> number of calls
    :return: list of (bound in seconds as text, number of calls up to it), ``+Inf`` at the end
    """
    total, buckets = 0, []
    for bound in BOUNDS_MS:
        total += counts.get(bound, 0)
        buckets.append((f"{bound / 1000:g}", total))
    return [*buckets, ("+Inf", sum(counts.values()))]
