"""Seeded chaos: everything is killed and every fault injected while payments are under way.

* :mod:`~bridge_stack.chaos.plan` draws a round from its seed: pure values
* :mod:`~bridge_stack.chaos.system` has the processes, and kills them
* :mod:`~bridge_stack.chaos.program` is the program system: it repeats what had no answer
* :mod:`~bridge_stack.chaos.officer` decides where the bank really cannot say
* :mod:`~bridge_stack.chaos.judge` compares the bank's ledger with what was owed
* :mod:`~bridge_stack.chaos.run` has several rounds under way at the same time

Nothing here repairs anything: processes are started again, as a service manager does, and what the
clock does in a day is done in seconds. Jobs are never touched.
"""
