"""The stack of G2P Bridge as processes: set-up, PostgreSQL, Odoo, the example bank.

``install`` uses the standard library alone, since it makes the virtual environment that the rest
runs in. What others call:

* :class:`bridge_stack.stack.Stack`: the whole system, started and ended by a ``with`` block
* :class:`bridge_stack.rpc.JsonRpc`: a client of Odoo's external API
* :class:`bridge_stack.postgres.Postgres` and :func:`bridge_stack.template.template_database`
* :func:`bridge_stack.install.ensure_setup`
"""
