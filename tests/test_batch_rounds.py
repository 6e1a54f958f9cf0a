"""Rounds that form batches: whoever comes late sees what the one before formed, or waits."""

import pytest
from test_whole_way import send

from bridge_stack.stack import Stack
from bridge_stack.world import World

pytestmark = pytest.mark.stack

PAYMENTS, PER_ROUND = 70, 20

#: runs the jobs one after another until the first round is done, which the envelope's state shows;
#: then a round that began to look before another one ended
_RACE = """
from odoo.addons.queue_job.exception import RetryableJobError
from odoo.addons.queue_job.job import Job

envelope = env["g2p.disbursement.envelope"].search([("disbursement_envelope_id", "=", NAME)])
waiting = [("state", "=", "pending")]
while not envelope.batch_ids:
    job = Job.load(env, env["queue.job"].search(waiting, order="id", limit=1).uuid)
    job.perform()
    job.set_done()
    job.store()
    env.cr.commit()
    env.invalidate_all()

with env.registry.cursor() as cr:
    late = envelope.with_env(env(cr=cr))
    late.state  # from here on it sees the books as they are now
    envelope._advance()
    env.cr.commit()
    try:
        said = late._advance()
    except RetryableJobError as error:
        said = [str(error), error.ignore_retry]
    cr.rollback()
rounds = env["queue.job"].search([*waiting, ("method_name", "=", "_advance")])
env.invalidate_all()
result = {"said": said, "batches": len(envelope.batch_ids), "rounds": len(rounds)}
"""


@pytest.fixture(scope="module")
def asleep():
    """Yield a system whose job runner sleeps: the test itself runs the jobs' methods."""
    with Stack(channels="root:0") as running:
        yield running


def test_a_round_whose_view_is_older_than_the_round_before_begins_again(asleep):
    """The lock does not tell: a round leaves the row of the envelope as it was."""
    world = World(asleep, mapper=None, bank_values={"max_batch_size": 1})
    send(world, PAYMENTS)
    result = asleep.odoo_shell(f"NAME = {world.pbms.envelope_id!r}\n{_RACE}")
    assert result["said"] == ["batches were formed meanwhile", True]
    assert result["batches"] == 2 * PER_ROUND
    assert result["rounds"] == 1, "a round that ends has one more begin, however many have ended"
