from contextlib import contextmanager, nullcontext

from odoo.sql_db import db_connect

from odoo.addons.g2p_bridge.models.own_cursor import lock_for_transaction
from odoo.addons.queue_job.exception import RetryableJobError
from odoo.addons.queue_job.tests.common import trap_jobs

from .common import BridgeCommon
from .fake_bank import CODE, serve_fake_bank


class PipelineCase(BridgeCommon):
    """A world whose bank is a fake one, with accounts for three beneficiaries."""

    #: keep what a postponed job wrote: own cursors, which stay then, are part of its savepoint here
    keeps_postponed = False

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.fake = serve_fake_bank(cls)
        cls.bank.write({"connector": CODE, "max_batch_size": 2, "code": "FAKE"})
        cls.link("BEN1", "BEN2", "BEN3")

    def setUp(self):
        super().setUp()
        self.fake.__init__()  # each test meets a bank that was never called

    def run_jobs(self, start):
        """Run what ``start`` enqueues, and what that enqueues, until nothing is left.

        :return: the errors that asked for a later try
        """
        postponed, todo = [], self._enqueued_by(start)
        while todo:
            job = todo.pop(0)
            try:
                with nullcontext() if self.keeps_postponed else self.env.cr.savepoint():
                    todo += self._enqueued_by(job.perform)
            except RetryableJobError as error:
                postponed.append(error)
            self.env.flush_all()
            self.env.invalidate_all()
        return postponed

    def _enqueued_by(self, function):
        with trap_jobs() as trap:
            function()
        for job in trap.enqueued_jobs:
            # whoever asked for it may have done so on a cursor that is closed by now
            job.recordset = job.recordset.with_env(job.recordset.env(cr=self.env.cr))
        return trap.enqueued_jobs

    def ready_envelope(self, count=3, **values):
        """Return a complete envelope whose jobs are yet to run."""
        with trap_jobs():
            return self.create_full_envelope(count, **values)

    def run_envelope(self, envelope):
        """Have the envelope go as far as it can."""
        return self.run_jobs(envelope._enqueue_advance)

    @contextmanager
    def held_elsewhere(self, *locks):
        """Have another session hold advisory locks, as a job of another worker does."""
        with db_connect(self.env.cr.dbname).cursor() as cr:
            for name in locks:
                lock_for_transaction(cr, name)
            yield

    def assertNothingTwice(self):
        self.assertLessEqual(self.fake.most_often_ordered(), 1)
