"""What an installation needs before its first payment, step by step, and what is still missing."""

from datetime import timedelta

from odoo import SUPERUSER_ID, api, fields, models
from odoo.exceptions import AccessError
from odoo.tools import SQL

from .g2p_bridge import PBMS_GROUP
from .roles import ADMINISTRATOR

VIEWER = "g2p_bridge.group_viewer"
#: a job that waits for longer than this has no runner
JOB_WAITS = timedelta(minutes=1)
#: a job that ended within this time shows that the runner is alive
JOB_DONE = timedelta(minutes=15)
#: the cron comes each minute
CRON_LATE = timedelta(minutes=10)
#: banks and mappers that are looked at
MOST = 100


class SetupChecklist(models.AbstractModel):
    """The steps of a first run, for Home while nothing is there, and for a page of its own."""

    _name = "g2p.setup.checklist"
    _description = "Setting up"

    @api.model
    def get_steps(self):
        """Return the steps in their order.

        :return: list of dicts of ``key``, ``name``, ``help`` (what it is for, or what is wrong),
            ``done`` and ``action`` (a window action; False for who may not do the step)
        :raise AccessError: no user of the back office
        """
        if not self.env.user.has_group(VIEWER):
            raise AccessError(self.env._("Your role does not allow this step."))
        may_act = self.env.user.has_group(ADMINISTRATOR)
        steps = [
            self._step_bank(),
            self._step_account(),
            self._step_test_call(),
            self._step_mapper(),
            self._step_links(),
            self._step_program(),
            self._step_api_user(),
            self._step_jobs(),
            self._step_cron(),
            self._step_envelope(),
        ]
        for step in steps:
            step["done"] = bool(step["done"])
            step["action"] = (may_act and step["action"]) or False
        return steps

    # -- bank -----------------------------------------------------------------------------------

    def _step_bank(self):
        banks = self.env["g2p.sponsor.bank"].search([], limit=MOST)
        usable = banks.filtered(lambda b: b.base_url and b._connector_or_none() is not None)
        unusable = banks - usable
        if banks and not usable:
            text = (
                self.env._("%s has no base URL yet.", unusable[0].name)
                if unusable[0]._connector_or_none() is not None
                else self.env._(
                    "%s has no connector: install the addon of the bank, then choose it.",
                    unusable[0].name,
                )
            )
        else:
            text = self.env._("The bank that holds the money and pays: its address and its key.")
        return {
            "key": "bank",
            "name": self.env._("Add a sponsor bank"),
            "help": text,
            "done": usable,
            "action": self._action("g2p_sponsor_bank_action", unusable if not usable else banks),
        }

    def _step_account(self):
        accounts = self.env["g2p.funding.account"].search([], limit=2)
        return {
            "key": "account",
            "name": self.env._("Add a funding account"),
            "help": self.env._("The account at that bank from which beneficiaries are paid."),
            "done": accounts,
            "action": self._action("g2p_funding_account_action", accounts, new=not accounts),
        }

    def _step_test_call(self):
        calls = self.env["g2p.bank.call"]
        answered = calls.search_count(
            [("bank_id", "!=", False), ("state", "=", "answered")], limit=1
        )
        last = calls.search(
            [("operation", "=", "test_connection"), ("bank_id", "!=", False)], limit=1
        )
        if not answered and last:
            text = self.env._("The last test failed: %s Test again.", last.error_message or "")
        else:
            text = self.env._(
                "Press Test connection on the account: one harmless call to the bank, which says"
                " what is wrong with address, key or account."
            )
        accounts = self.env["g2p.funding.account"].search([], limit=2)
        return {
            "key": "test_call",
            "name": self.env._("Test the connection to the bank"),
            "help": text,
            "done": answered,
            "action": self._action("g2p_funding_account_action", accounts),
        }

    # -- beneficiaries --------------------------------------------------------------------------

    def _step_mapper(self):
        mappers = self.env["g2p.account.mapper"].search([], limit=2)
        is_off = not mappers and self._looks_nobody_up()
        text = (
            self.env._("Not needed: the programs send ids, and the bank knows the accounts.")
            if is_off
            else self.env._(
                "Says to which account a beneficiary is paid: the built-in table, or a G2P Connect"
                " service (SPAR)."
            )
        )
        return {
            "key": "mapper",
            "name": self.env._("Add an account mapper"),
            "help": text,
            "done": mappers or is_off,
            "action": self._action("g2p_account_mapper_action", mappers, new=not mappers),
        }

    def _step_links(self):
        mappers = self.env["g2p.account.mapper"].search([], limit=MOST)
        remote = mappers.filtered(lambda mapper: mapper.provider == "g2p_connect")
        has_links = self.env["g2p.account.link"].search_count([], limit=1)
        answered = remote and self.env["g2p.bank.call"].search_count(
            [("mapper_id", "in", remote.ids), ("state", "=", "answered")], limit=1
        )
        step = {"key": "links", "done": has_links or answered or self._looks_nobody_up()}
        if remote and not (mappers - remote):
            return {
                **step,
                "name": self.env._("Test the account mapper"),
                "help": self.env._("Press Test connection on the mapper: it looks nobody up."),
                "action": self._action("g2p_account_mapper_action", remote),
            }
        return {
            **step,
            "name": self.env._("Import the beneficiaries' accounts"),
            "help": self.env._(
                "A CSV or Excel file with one account for each beneficiary; the import screen has"
                " a template. A beneficiary without account waits, the others are paid."
            ),
            "action": self._action("g2p_account_link_action", several=True),
        }

    def _looks_nobody_up(self):
        programs = self.env["g2p.benefit.program"]
        return programs.search_count([], limit=1) and not programs.search_count(
            [("id_mapper_resolution_required", "=", True)], limit=1
        )

    # -- program --------------------------------------------------------------------------------

    def _step_program(self):
        programs = self.env["g2p.benefit.program"].search([], limit=2)
        return {
            "key": "program",
            "name": self.env._("Add a program"),
            "help": self.env._(
                "What is paid, from which account, who looks after it, and whether a second person"
                " approves."
            ),
            "done": programs,
            "action": self._action("g2p_benefit_program_action", programs, new=not programs),
        }

    def _step_api_user(self):
        group = self.env.ref(PBMS_GROUP).sudo()  # users and their keys are not for everybody
        users = group.all_user_ids.filtered(
            lambda user: user.active and user.company_ids & self.env.companies
        )
        has_key = bool(users) and bool(
            self.env["res.users.apikeys"].sudo().search_count([("user_id", "in", users.ids)])
        )
        if users and not has_key:
            text = self.env._(
                "%s has no API key yet: a system administrator makes one in Odoo's shell, as the"
                " README of G2P Bridge shows.",
                users[0].name,
            )
        else:
            text = self.env._(
                "The program system signs in with a user of its own: only the group G2P Bridge:"
                " PBMS API, and an API key. Not needed where envelopes come as files."
            )
        return {
            "key": "api_user",
            "name": self.env._("Let the program system in"),
            "help": text,
            "done": has_key,
            "action": self._action("base.action_res_users", several=True)
            if self.env.user.has_group("base.group_erp_manager")
            else False,
        }

    # -- machinery ------------------------------------------------------------------------------

    def _step_jobs(self):
        """A job of ours that ended lately shows the runner; without any, one is tried."""
        now = fields.Datetime.now()
        [(done, waiting, pending)] = self.env.execute_query(
            SQL(
                """
                SELECT EXISTS (SELECT FROM queue_job
                                WHERE state = 'done' AND date_done >= %(done)s),
                       (SELECT count(*) FROM queue_job
                         WHERE state IN ('pending', 'enqueued') AND date_created < %(waits)s
                           AND (eta IS NULL OR eta < %(waits)s)),
                       EXISTS (SELECT FROM queue_job
                                WHERE state IN ('pending', 'enqueued', 'started'))
                """,
                done=now - JOB_DONE,
                waits=now - JOB_WAITS,
            )
        )
        if waiting:
            text = self.env._(
                "%s jobs wait and none is run: start the server with --load=base,web,rpc,queue_job"
                " and ODOO_QUEUE_JOB_CHANNELS.",
                waiting,
            )
        elif not done:
            if not pending:
                self._enqueue_heartbeat()
            text = self.env._("A small job is being tried: look again in some seconds.")
        else:
            text = self.env._("Jobs are run in the background: look-ups, calls, statements.")
        return {
            "key": "jobs",
            "name": self.env._("Have the job runner running"),
            "help": text,
            "done": done and not waiting,
            "action": self._action("queue_job.action_queue_job", several=True)
            if self.env.user.has_group("queue_job.group_queue_job_manager")
            else False,
        }

    def _enqueue_heartbeat(self):
        self.with_user(SUPERUSER_ID).with_delay(
            identity_key="g2p_setup_heartbeat",
            description=self.env._("Try the job runner"),
            max_retries=1,
        )._heartbeat()

    @api.private
    @api.model
    def _heartbeat(self):
        """Do nothing (queue job): that it ended is what it says."""
        return "the job runner is alive"

    def _step_cron(self):
        cron = self.env.ref("g2p_bridge.cron_find_due_work", raise_if_not_found=False)
        cron = cron.sudo() if cron else self.env["ir.cron"].sudo()  # says what anybody may know
        last = cron.lastcall
        is_late = not last or last < fields.Datetime.now() - CRON_LATE
        if not cron.active:
            text = self.env._("The scheduled action that finds due work is switched off.")
        elif is_late:
            text = self.env._(
                "Scheduled actions are not run: start the server with --max-cron-threads=1 or more."
            )
        else:
            text = self.env._("Scheduled actions start what is due.")
        return {
            "key": "cron",
            "name": self.env._("Have scheduled actions running"),
            "help": text,
            "done": cron.active and not is_late,
            "action": self._action("base.ir_cron_act", several=True)
            if self.env.user.has_group("base.group_system")
            else False,
        }

    def _step_envelope(self):
        has_one = self.env["g2p.disbursement.envelope"].search_count([], limit=1)
        return {
            "key": "envelope",
            "name": self.env._("Receive the first envelope"),
            "help": self.env._("From the program system, or as a file."),
            "done": has_one,
            "action": self._action("g2p_disbursement_envelope_action", several=True),
        }

    # -- helpers --------------------------------------------------------------------------------

    def _action(self, name, records=None, *, new=False, several=False):
        """Return a window action: the one record, a new one, or the list.

        :param str name: XML id, of this addon where it names none
        :param recordset records: what there is
        """
        xml_id = name if "." in name else f"g2p_bridge.{name}"
        action = self.env["ir.actions.act_window"]._for_xml_id(xml_id)
        if several or (records and len(records) > 1):
            return action
        if new or not records:
            return {**action, "views": [[False, "form"]], "view_mode": "form", "res_id": False}
        return {
            **action,
            "views": [[False, "form"]],
            "view_mode": "form",
            "res_id": records.id,
        }
