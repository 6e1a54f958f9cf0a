"""Benchmarks: each stage of the real system, and the least that it could take on this machine.

``bench/run`` starts the whole system (:class:`bridge_stack.stack.Stack`: durable PostgreSQL, server
with workers, job runner, example bank) and measures from outside, by the doors that others use:

* intake, statement upload, questions: HTTP requests, made before the clock starts, timed from the
  first byte sent to the last answer read
* resolve, dispatch, match, the whole way: a connection of our own asks every few hundredths of a
  second for the envelope's sums in the journal of state moves, so a time is when the last of the
  payments was *committed* in the next state. The wait for the job runner is in it
* the parser of statements alone, which has no door, in a process of ``odoo shell``

What is set up before a measurement (account links, the rows of the 80 envelopes of the list) is
written by SQL. Each stage has a *floor*, measured in the same run on the same server: the ratio is
floor / seconds, so 1.0 cannot be beaten by doing the same work.

* :mod:`g2p_bench.clients` HTTP clients, :mod:`g2p_bench.memory` what the processes take
* :mod:`g2p_bench.floors` tables and statements of the floors in PostgreSQL
* :mod:`g2p_bench.intake`, :mod:`g2p_bench.way`, :mod:`g2p_bench.questions` the stages
* :mod:`g2p_bench.run` one run, :mod:`g2p_bench.report` its table, document and plots
"""
