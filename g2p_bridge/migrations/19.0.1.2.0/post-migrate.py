"""Tables of millions of rows lose foreign keys whose check costs more than the row it guards."""

_DROPPED = {
    "g2p_disbursement": "g2p_disbursement_envelope_id_fkey",
    "g2p_account_statement_line": "g2p_account_statement_line_statement_id_fkey",
}


def migrate(cr, _version):
    """Drop them from databases that were made with an earlier version."""
    for table, constraint in _DROPPED.items():
        cr.execute(f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {constraint}")
        cr.execute("DELETE FROM ir_model_constraint WHERE name = %s", [constraint])
