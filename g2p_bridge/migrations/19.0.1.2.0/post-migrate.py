"""Tables of millions of rows lose what costs more than it is worth."""

#: foreign keys: their check costs more than the row it guards
_DROPPED = {
    "g2p_disbursement": "g2p_disbursement_envelope_id_fkey",
    "g2p_account_statement_line": "g2p_account_statement_line_statement_id_fkey",
}
#: indexes that each match wrote
_DROPPED_INDEXES = (
    "g2p_account_statement_line__envelope_id_index",
    "g2p_account_statement_line_pending_idx",
)


def migrate(cr, _version):
    """Drop them from databases that were made with an earlier version."""
    for table, constraint in _DROPPED.items():
        cr.execute(f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {constraint}")
        cr.execute("DELETE FROM ir_model_constraint WHERE name = %s", [constraint])
    for index in _DROPPED_INDEXES:
        cr.execute(f"DROP INDEX IF EXISTS {index}")
        cr.execute("DELETE FROM ir_model_constraint WHERE name = %s", [index])
