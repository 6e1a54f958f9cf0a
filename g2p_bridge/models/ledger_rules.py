"""What must hold between envelopes, payments, batches, calls and statements: all of it, here.

Each rule is one statement over any number of envelopes or accounts. It returns what breaks it:
``company_id, envelope_id, batch_id, account_id, statement_id, subject, expected, found``. Read in
one transaction, all books are of one moment, so the rules hold while payments are under way.
"""

from dataclasses import dataclass

from odoo.tools import SQL

#: states of a payment that a batch carried to the bank, or is about to
IN_BATCH = ("batched", "sent", "unknown", "reconciled", "reversed", "rejected")
#: states in which the bank has debited the account, or is going to
DRAWN = ("sent", "reconciled", "reversed")
#: states of payments that may still draw on the block
TO_PAY = ("received", "unresolved", "resolved", "batched", "unknown")
#: an answer that is kept, but not acted on for so long, is stuck
STUCK_MINUTES = 60
#: how long after its end an envelope may still hold funds
RELEASE_HOURS = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One thing that must hold."""

    code: str
    label: str
    sql: str


#: sums of the journal for each envelope and state; withdrawn payments count as cancelled
_JOURNAL = """
    (SELECT j.envelope_id, v.state, sum(v.sign * j.disbursement_count) AS n,
            sum(v.sign * j.amount) AS amount
       FROM g2p_disbursement_journal j
       JOIN g2p_disbursement_envelope e ON e.id = j.envelope_id AND %(envelopes)s
      CROSS JOIN LATERAL (VALUES (j.target, 1), (j.source, -1)) AS v(state, sign)
      WHERE v.state IS NOT NULL GROUP BY 1, 2)"""

_PAYMENTS = """
    (SELECT d.envelope_id, d.state, count(*) AS n, sum(d.amount) AS amount
       FROM g2p_disbursement d
       JOIN g2p_disbursement_envelope e ON e.id = d.envelope_id AND %(envelopes)s
      GROUP BY 1, 2)"""

RULES = (
    Rule(
        code="STATES_DIFFER",
        label="Totals shown differ from the payments",
        sql="""
        SELECT e.company_id, e.id, NULL, e.funding_account_id, NULL, coalesce(j.state, d.state),
               coalesce(d.n, 0) || ' / ' || coalesce(d.amount, 0),
               coalesce(j.n, 0) || ' / ' || coalesce(j.amount, 0)
          FROM %(journal)s j FULL JOIN %(payments)s d USING (envelope_id, state)
          JOIN g2p_disbursement_envelope e ON e.id = envelope_id
         WHERE coalesce(d.n, 0) <> coalesce(j.n, 0)
            OR coalesce(d.amount, 0) <> coalesce(j.amount, 0)""",
    ),
    Rule(
        code="DECLARED_DIFFERS",
        label="Payments received differ from the declared totals",
        sql="""
        SELECT e.company_id, e.id, NULL, e.funding_account_id, NULL, NULL,
               e.number_of_disbursements || ' / ' || e.total_disbursement_amount,
               coalesce(t.n, 0) || ' / ' || coalesce(t.amount, 0)
          FROM g2p_disbursement_envelope e
          LEFT JOIN LATERAL (
               SELECT sum(CASE WHEN j.source IS NULL THEN j.disbursement_count
                               WHEN j.is_withdrawal THEN -j.disbursement_count ELSE 0 END) AS n,
                      sum(CASE WHEN j.source IS NULL THEN j.amount
                               WHEN j.is_withdrawal THEN -j.amount ELSE 0 END) AS amount
                 FROM g2p_disbursement_journal j WHERE j.envelope_id = e.id) t ON TRUE
         WHERE %(envelopes)s
           AND CASE WHEN e.state IN ('receiving', 'cancelled')
                      OR e.state = 'needs_attention' AND e.resume_state = 'receiving'
                    THEN coalesce(t.n, 0) > e.number_of_disbursements
                      OR coalesce(t.amount, 0) > e.total_disbursement_amount
                    ELSE coalesce(t.n, 0) <> e.number_of_disbursements
                      OR coalesce(t.amount, 0) <> e.total_disbursement_amount END""",
    ),
    Rule(
        code="BATCH_DIFFERS",
        label="Payments of a batch differ from its totals",
        sql="""
        SELECT e.company_id, e.id, b.id, e.funding_account_id, NULL, NULL,
               b.disbursement_count || ' / ' || b.total_amount,
               coalesce(d.n, 0) || ' / ' || coalesce(d.amount, 0)
          FROM g2p_disbursement_batch b
          JOIN g2p_disbursement_envelope e ON e.id = b.envelope_id AND %(envelopes)s
          LEFT JOIN (SELECT d.batch_id, count(*) AS n, sum(d.amount) AS amount,
                            count(DISTINCT d.envelope_id) AS envelopes
                       FROM g2p_disbursement d WHERE d.batch_id IS NOT NULL GROUP BY 1) d
                 ON d.batch_id = b.id
         WHERE b.disbursement_count <> coalesce(d.n, 0)
            OR b.total_amount <> coalesce(d.amount, 0) OR d.envelopes > 1""",
    ),
    Rule(
        code="PAYMENT_STATE",
        label="Payments stand where their batch cannot have brought them",
        sql="""
        SELECT e.company_id, e.id, b.id, e.funding_account_id, NULL, d.state,
               'batch ' || coalesce(b.state, 'none'), count(*) || ' / ' || sum(d.amount)
          FROM g2p_disbursement d
          JOIN g2p_disbursement_envelope e ON e.id = d.envelope_id AND %(envelopes)s
          LEFT JOIN g2p_disbursement_batch b ON b.id = d.batch_id
         WHERE (d.batch_id IS NOT NULL) <> (d.state = ANY(%(in_batch)s))
            OR (d.batch_id IS NOT NULL AND b.id IS NULL)
            OR (b.state IN ('acknowledged', 'rejected') AND d.state IN ('batched', 'unknown'))
            OR (b.state = 'unknown' AND d.state = 'batched')
            OR (b.state <> 'unknown' AND d.state = 'unknown')
         GROUP BY e.company_id, e.id, b.id, e.funding_account_id, d.state, b.state""",
    ),
    Rule(
        code="ACKNOWLEDGEMENT_DIFFERS",
        label="A batch counts as sent, and the bank's answer does not say so",
        sql="""
        SELECT e.company_id, e.id, b.id, e.funding_account_id, NULL, NULL,
               coalesce(k.state, 'no call') || ' ' || coalesce(k.answer->>'reference', '')
                   || ' / ' || coalesce(jsonb_array_length(k.answer::jsonb->'rejected'), 0),
               coalesce(b.bank_reference, '') || ' / ' || r.n
          FROM g2p_disbursement_batch b
          JOIN g2p_disbursement_envelope e ON e.id = b.envelope_id AND %(envelopes)s
          LEFT JOIN g2p_bank_call k ON k.batch_id = b.id AND k.operation = 'initiate_payment'
          LEFT JOIN LATERAL (SELECT count(*) AS n FROM g2p_disbursement d
                              WHERE d.batch_id = b.id AND d.state = 'rejected') r ON TRUE
         WHERE b.state = 'acknowledged' AND b.decided_by_id IS NULL
           AND (k.state IS DISTINCT FROM 'answered'
                OR coalesce(k.answer->>'reference', '') <> coalesce(b.bank_reference, '')
                OR coalesce(jsonb_array_length(k.answer::jsonb->'rejected'), 0) > r.n)""",
    ),
    Rule(
        code="ANSWER_NOT_BOOKED",
        label="The bank answered, and the batch does not show it",
        sql="""
        SELECT e.company_id, e.id, b.id, e.funding_account_id, NULL, NULL, k.state, b.state
          FROM g2p_disbursement_batch b
          JOIN g2p_disbursement_envelope e ON e.id = b.envelope_id AND %(envelopes)s
          JOIN g2p_bank_call k ON k.batch_id = b.id AND k.operation = 'initiate_payment'
         WHERE b.state IN ('ready', 'unknown') AND k.state IN ('answered', 'rejected')
           AND NOT coalesce(e.is_paused, FALSE)
           AND k.answered_at < timezone('UTC', now()) - make_interval(mins => %(stuck_minutes)s)""",
    ),
    Rule(
        code="ORDERED_TWICE",
        label="A batch has more than one payment order",
        sql="""
        SELECT e.company_id, e.id, k.batch_id, e.funding_account_id, NULL, NULL, '1',
               count(*)::text
          FROM g2p_bank_call k
          JOIN g2p_disbursement_envelope e ON e.id = k.envelope_id AND %(envelopes)s
         WHERE k.operation = 'initiate_payment'
         GROUP BY e.company_id, e.id, k.batch_id, e.funding_account_id HAVING count(*) > 1""",
    ),
    Rule(
        code="PAID_WITHOUT_ACCOUNT",
        label="Payments left without an account that was looked up",
        sql="""
        SELECT e.company_id, e.id, d.batch_id, e.funding_account_id, NULL, d.state, '0',
               count(*) || ' / ' || sum(d.amount)
          FROM g2p_disbursement d
          JOIN g2p_disbursement_envelope e ON e.id = d.envelope_id AND %(envelopes)s
         WHERE e.id_mapper_resolution_required AND d.fa_type IS NULL AND d.state = ANY(%(in_batch)s)
         GROUP BY e.company_id, e.id, d.batch_id, e.funding_account_id, d.state""",
    ),
    Rule(
        code="PAID_WITHOUT_BLOCK",
        label="More was sent than the bank holds for the envelope",
        sql="""
        SELECT e.company_id, e.id, NULL, e.funding_account_id, NULL, NULL,
               coalesce(e.funds_blocked_amount, 0)::text, sum(j.amount)::text
          FROM g2p_disbursement_envelope e
          JOIN %(journal)s j ON j.envelope_id = e.id AND j.state = ANY(%(drawn)s)
         GROUP BY e.id
        HAVING sum(j.amount) > CASE WHEN e.funds_blocked_reference_number IS NULL THEN 0
                                    ELSE coalesce(e.funds_blocked_amount, 0) END""",
    ),
    Rule(
        code="STATEMENT_DIFFERS",
        label="Payments debited or returned differ from the statement entries",
        sql="""
        SELECT e.company_id, e.id, NULL, e.funding_account_id, NULL, t.what,
               coalesce(l.n, 0) || ' / ' || coalesce(l.amount, 0),
               coalesce(p.n, 0) || ' / ' || coalesce(p.amount, 0)
          FROM g2p_disbursement_envelope e
         CROSS JOIN (VALUES ('reconciled'), ('reversed')) AS t(what)
          LEFT JOIN (SELECT envelope_id, outcome, count(*) AS n, sum(amount) AS amount,
                            count(DISTINCT matched_disbursement_id) AS payments
                       FROM g2p_account_statement_line
                      WHERE outcome IN ('reconciled', 'reversed') GROUP BY 1, 2) l
                 ON l.envelope_id = e.id AND l.outcome = t.what
          LEFT JOIN (SELECT j.envelope_id, m.what, sum(j.n) AS n, sum(j.amount) AS amount
                       FROM %(journal)s j
                       JOIN (VALUES ('reconciled', 'reconciled'), ('reconciled', 'reversed'),
                                    ('reversed', 'reversed')) AS m(what, state) USING (state)
                      GROUP BY 1, 2) p ON p.envelope_id = e.id AND p.what = t.what
         WHERE %(envelopes)s
           AND (coalesce(l.n, 0) <> coalesce(p.n, 0)
                OR coalesce(l.amount, 0) <> coalesce(p.amount, 0)
                OR coalesce(l.payments, 0) <> coalesce(l.n, 0))""",
    ),
    Rule(
        code="ENTRY_DIFFERS",
        label="A statement entry is booked on a payment that it does not fit",
        sql="""
        SELECT e.company_id, e.id, d.batch_id, l_account.account_id, l.statement_id,
               d.disbursement_id, d.amount || ' ' || d.state, l.amount || ' ' || l.outcome
          FROM g2p_account_statement_line l
          JOIN g2p_account_statement l_account ON l_account.id = l.statement_id
          JOIN g2p_disbursement d ON d.id = l.matched_disbursement_id
          JOIN g2p_disbursement_envelope e ON e.id = d.envelope_id AND %(envelopes)s
         WHERE l.outcome IN ('reconciled', 'reversed')
           AND (l.amount <> d.amount OR l_account.account_id <> e.funding_account_id
                OR d.state NOT IN ('reconciled', 'reversed'))""",
    ),
    Rule(
        code="REISSUE_DIFFERS",
        label="A payment is reissued twice, or not as it was, or did not end unpaid",
        sql="""
        SELECT e.company_id, e.id, n.batch_id, e.funding_account_id, NULL, n.disbursement_id,
               coalesce(o.beneficiary_id || ' ' || o.amount || ' ' || o.state, 'none'),
               n.beneficiary_id || ' ' || n.amount || ' ' || n.state
          FROM g2p_disbursement n
          JOIN g2p_disbursement_envelope e ON e.id = n.envelope_id AND %(envelopes)s
          LEFT JOIN g2p_disbursement o ON o.id = n.reissue_of_id
         WHERE n.reissue_of_id IS NOT NULL AND n.state <> 'cancelled'
           AND (o.id IS NULL OR o.amount <> n.amount
                OR o.mis_reference_number <> n.mis_reference_number
                OR (o.beneficiary_id <> n.beneficiary_id AND NOT coalesce(e.is_correction, FALSE))
                OR o.envelope_id IS DISTINCT FROM e.reissued_from_id
                OR o.state NOT IN ('reversed', 'rejected', 'cancelled')
                OR (o.state = 'cancelled' AND o.reason_code IS DISTINCT FROM 'LEFT_OUT')
                OR EXISTS (SELECT FROM g2p_disbursement again
                            WHERE again.reissue_of_id = n.reissue_of_id AND again.id <> n.id
                              AND again.state <> 'cancelled'))""",
    ),
    Rule(
        code="REISSUE_PAID_TWICE",
        label="A payment was reissued, and the bank's statements show both going out",
        sql="""
        SELECT e.company_id, e.id, n.batch_id, e.funding_account_id, NULL, n.disbursement_id,
               '0', out.amount::text
          FROM g2p_disbursement n
          JOIN g2p_disbursement_envelope e ON e.id = n.envelope_id AND %(envelopes)s
         CROSS JOIN LATERAL (
               SELECT sum(CASE WHEN l.mark IN ('D', 'RC') THEN l.amount
                               WHEN s.kind = 'statement' THEN -l.amount ELSE 0 END) AS amount
                 FROM g2p_account_statement_line l
                 JOIN g2p_account_statement s ON s.id = l.statement_id
                WHERE l.matched_disbursement_id = n.reissue_of_id AND l.outcome <> 'noted'
                  AND NOT (l.outcome = 'error' AND l.is_handled
                           AND l.error_reason = 'DUPLICATE_DISBURSEMENT')) AS out
         WHERE n.reissue_of_id IS NOT NULL AND n.state IN ('sent', 'reconciled')
           AND out.amount > 0""",
    ),
    Rule(
        code="STATEMENT_SUM",
        label="Entries of a statement do not add up to its closing balance",
        sql="""
        SELECT s.company_id, NULL, NULL, s.account_id, s.id, NULL, s.closing_balance::text,
               (s.opening_balance + coalesce(l.amount, 0))::text
          FROM g2p_account_statement s
          LEFT JOIN (SELECT statement_id, sum(CASE WHEN mark IN ('C', 'RD') THEN amount
                                                   ELSE -amount END) AS amount
                       FROM g2p_account_statement_line
                      WHERE outcome <> 'noted' GROUP BY 1) l ON l.statement_id = s.id
         WHERE s.is_tied AND s.kind = 'statement' AND %(statements)s
           AND s.opening_balance + coalesce(l.amount, 0) <> s.closing_balance""",
    ),
    Rule(
        code="FUNDS_IDLE",
        label="The bank still holds funds of an envelope that ended",
        sql="""
        SELECT e.company_id, e.id, NULL, e.funding_account_id, NULL, NULL, '0',
               coalesce(e.funds_blocked_amount, 0)::text
          FROM g2p_disbursement_envelope e
         WHERE e.state IN ('settled', 'cancelled') AND e.funds_released_at IS NULL
           AND e.funds_blocked_reference_number IS NOT NULL AND %(envelopes)s
           AND e.bank_id = ANY(%(releasing_banks)s)
           AND e.state_since
               < timezone('UTC', now()) - make_interval(hours => %(release_hours)s)""",
    ),
)


def query(rule, envelopes=None, releasing_banks=()):
    """Return the SQL of a rule.

    :param list envelopes: database ids; None: all envelopes, and the statements as well
    :param list releasing_banks: ids of the banks that can release funds
    """
    is_all = envelopes is None
    chosen = SQL("TRUE") if is_all else SQL("e.id = ANY(%s)", envelopes)
    return SQL(
        rule.sql,
        envelopes=chosen,
        statements=SQL("TRUE") if is_all else SQL("FALSE"),
        journal=SQL(_JOURNAL, envelopes=chosen),
        payments=SQL(_PAYMENTS, envelopes=chosen),
        in_batch=list(IN_BATCH),
        drawn=list(DRAWN),
        releasing_banks=list(releasing_banks),
        stuck_minutes=STUCK_MINUTES,
        release_hours=RELEASE_HOURS,
    )
