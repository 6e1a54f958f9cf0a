"""Keeps values out of what Odoo itself logs of the bridge's statements and calls.

Of a statement that fails Odoo logs all of it, and PostgreSQL's message with it: a link that is
there already would put an account number into the log, a bulk statement that meets another one
thousands of names. At level debug it logs each call of its API with all arguments.
"""

import logging
import re

from .connectors import masking

#: psycopg2 doubles the quotes inside a literal
_LITERAL = re.compile(r"'(?:[^']|'')*(?:'|$)")
_MAX_QUERY = 1000


class StatementFilter(logging.Filter):
    """Takes literals out of failed statements on tables of the bridge; others stay as they are."""

    logger_name = "odoo.sql_db"

    def filter(self, record):
        if str(record.msg).startswith("bad query") and len(record.args or ()) == 2:
            query, error = record.args
            query = query.decode(errors="replace") if isinstance(query, bytes) else str(query)
            if "g2p_" in query:
                record.args = (_LITERAL.sub("'...'", query)[:_MAX_QUERY], _first_line(error))
        return True


class CallFilter(logging.Filter):
    """Takes arguments out of logged calls of models of the bridge."""

    logger_name = "odoo.service.model"

    def filter(self, record):
        if str(record.msg).startswith("call ") and len(record.args or ()) == 3:
            records, method, _arguments = record.args
            if getattr(records, "_name", "").startswith("g2p."):
                record.args = (records, method, "...")
        return True


def _first_line(error):
    """Return PostgreSQL's message without DETAIL and CONTEXT, which hold whole rows."""
    lines = str(error).splitlines()
    return masking.mask_text(lines[0]) if lines else type(error).__name__


def install():
    """Have Odoo log so; any number of times."""
    for kind in (StatementFilter, CallFilter):
        logger = logging.getLogger(kind.logger_name)
        if kind.__name__ not in {type(each).__name__ for each in logger.filters}:
            logger.addFilter(kind())
