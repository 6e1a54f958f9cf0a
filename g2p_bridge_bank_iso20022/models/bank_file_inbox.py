"""Files from the bank's folder into the database, and out of its folder: each once.

A file is stored by a job that does nothing else; what it says is booked by a second job, and a
third moves it out of the way. Each is enqueued in the transaction of the one before, so a file is
moved only after all of it is committed, and whatever dies in between is harmlessly done again.
"""

import gc
import hashlib

from odoo import SUPERUSER_ID, api, fields, models
from odoo.tools import SQL

from odoo.addons.g2p_bridge.connectors.errors import BankError, BankUnavailable
from odoo.addons.g2p_bridge.models.own_cursor import try_lock_for_transaction
from odoo.addons.g2p_bridge.models.roles import OFFICER, check_role
from odoo.addons.queue_job.exception import RetryableJobError

from ..connectors import orders
from ..connectors.sniffing import sniff
from ..transport import RemoteFile, open_transport
from .g2p_sponsor_bank import CODE

#: bytes and files that one transaction stores; the rest has its turn in the next
MAX_BYTES_PER_ROUND = 256 * 1024 * 1024
MAX_FILES_PER_ROUND = 500
#: files of fewer bytes are left to Python
BIG_FILE = 1024 * 1024


class SponsorBank(models.Model):
    """What the bank lays down for us is fetched."""

    _inherit = "g2p.sponsor.bank"

    def action_fetch_bank_files(self):
        """Look for files of the bank now (job)."""
        check_role(self, OFFICER)
        self.filtered(lambda bank: bank.connector == CODE)._enqueue_fetch()

    @api.model
    def _cron_fetch_bank_files(self):
        """Have each bank's files looked for, and go on with what lost its job."""
        self.search([("connector", "=", CODE)])._enqueue_fetch()
        self.env["g2p.bank.file"]._enqueue_unfinished()

    def _enqueue_fetch(self):
        for bank in self:
            bank.with_user(SUPERUSER_ID).with_delay(
                identity_key=f"fetch_bank_files:{bank.id}",
                channel=bank._job_channel(),
                description=self.env._("Fetch files of %s", bank.name),
                max_retries=5,  # of races only: the cron asks again
            )._fetch_bank_files()

    @api.private
    def _fetch_bank_files(self):
        """Store the bank's new files (queue job); may run any number of times.

        :raise RetryableJobError: another job looks, perhaps since before the newest file lay there
        """
        self.ensure_one()
        if self.connector != CODE or not self.active:
            return "not due"
        if not try_lock_for_transaction(self.env.cr, f"g2p.bank.file:{self.id}"):
            raise RetryableJobError("another one looks", seconds=2, ignore_retry=True)
        settings = self._iso20022_transport_settings()
        if not (settings.in_path or settings.fetch_url):
            return "the bank's form has no place for its files"
        try:
            with open_transport(settings) as transport:
                has_more = self._fetch_from(transport)
        except BankError as error:
            self._note_fetch(f"{error} ({error.code})")
            return "not reached"
        self._note_fetch(False)
        if has_more:
            self._enqueue_fetch()
        return "fetched"

    def _iso20022_transport_settings(self):
        bank = self.sudo()  # the secrets are for system administrators and the connector
        return orders.settings_for_transport(
            orders.settings_of(bank._prepare_connector_options()),
            secret=bank.secret or "",
            timeout_s=(bank.connect_timeout, bank.read_timeout),
        )

    def _note_fetch(self, problem):
        """Keep how it went; a success is written once in a while only, for nobody to wait for."""
        if problem or self.iso20022_fetch_error:
            self.write({"iso20022_fetch_error": problem})
        if not problem:
            self.write({"iso20022_fetched_at": fields.Datetime.now()})

    def _fetch_from(self, transport):
        """Store what is new, up to a size; return whether there is more."""
        limit = self.env["g2p.bridge"]._parameter("statement_max_bytes")
        remotes = transport.list_new()
        known = self._files_lying(remotes)
        stored, read_bytes = 0, 0
        for remote in remotes:
            if (remote.name, remote.stamp) in known:
                continue
            if stored == MAX_FILES_PER_ROUND or read_bytes > MAX_BYTES_PER_ROUND:
                return bool(stored)
            read_bytes += remote.size
            stored += self._fetch_one(transport, remote, limit)
            let_go_of_content(self.env, remote.size)
        return False

    def _files_lying(self, remotes):
        """Return (name, stamp) of the files that are known, and have done what is left of them."""
        files = self.env["g2p.bank.file"].search(
            [
                ("bank_id", "=", self.id),
                ("name", "in", [remote.name for remote in remotes]),
                ("is_tidied", "=", False),
            ]
        )
        lying = {(file.name, file.remote_stamp): file for file in files}
        for remote in remotes:
            if file := lying.get((remote.name, remote.stamp)):
                file._go_on()
        # one that could not be moved shows whether the others can be by now
        self._files_not_moved(limit=1)._enqueue_tidy()
        return lying.keys()

    def _files_not_moved(self, limit):
        """Return files that could not be moved, the one that was tried longest ago first."""
        return self.env["g2p.bank.file"].search(
            [("bank_id", "=", self.id), ("is_tidied", "=", False), ("tidy_error", "!=", False)],
            order="tidy_tried_at, id",
            limit=limit,
        )

    def _fetch_one(self, transport, remote, limit):
        """Store one file and return whether it is a new one; a bad one stops no other."""
        try:
            content = transport.fetch(remote, limit)
        except BankUnavailable:
            raise  # the others cannot be reached either
        except BankError as error:
            return self._store_unread(remote, error)
        if content is None:  # it is still being written, or gone
            return False
        return self.env["g2p.bank.file"]._store(self, remote, content)

    def _store_unread(self, remote, error):
        """Keep that a file is there that is not taken; return whether that is new."""
        files = self.env["g2p.bank.file"]
        digest = f"unread:{remote.name}:{remote.stamp}"
        if files.search_count([("bank_id", "=", self.id), ("content_sha256", "=", digest)]):
            return False
        file = files.create(
            {
                **files._prepare_remote_vals(self, remote),
                "content_sha256": digest,
                "size": min(remote.size, 2**31 - 1),
                "kind": "unreadable",
            }
        )
        file._set_error(error.code, str(error), self.env._("Have the bank send it in parts."))
        file._enqueue_tidy()
        return True


class BankFile(models.Model):
    """Stored, then read, then moved."""

    _inherit = "g2p.bank.file"

    def _prepare_remote_vals(self, bank, remote):
        return {"name": remote.name, "bank_id": bank.id, "remote_stamp": remote.stamp}

    @api.private
    def _store(self, bank, remote, content):
        """Store a file, or know it again by its content; return whether it is new."""
        digest = hashlib.sha256(content).hexdigest()
        known = self.search([("bank_id", "=", bank.id), ("content_sha256", "=", digest)])
        if known:
            known._see_again(remote)
            return False
        kind, message_type, message_id = sniff(content)
        attachment = self.env["ir.attachment"].create(
            # not as a text, whose words Odoo would take into its search index
            {"name": remote.name, "raw": content, "mimetype": "application/octet-stream"}
        )
        file = self.create(
            {
                **self._prepare_remote_vals(bank, remote),
                "content_sha256": digest,
                "size": len(content),
                "kind": kind,
                "message_type": message_type,
                "message_id": message_id,
                "attachment_id": attachment.id,
            }
        )
        # the field makes Odoo ask for its group before it hands out the file
        attachment.write({"res_model": self._name, "res_field": "attachment_id", "res_id": file.id})
        file._enqueue_process()
        return True

    def _see_again(self, remote):
        """The bank has sent it before: nothing of it is booked again.

        While the one before still lies in the folder, a copy beside it waits for a later look. An
        address shows the same for days.
        """
        if self.is_tidied and self.bank_id.iso20022_transport != "https":
            self.write(
                {
                    "seen_count": self.seen_count + 1,
                    "name": remote.name,
                    "remote_stamp": remote.stamp,
                    "is_tidied": False,
                    "tidy_error": False,
                }
            )
        self._go_on()

    def _go_on(self):
        """Have done what is left: its job may have died."""
        if self.state == "received":
            self._enqueue_process()
        elif not self.is_tidied and not self.tidy_error:
            self._enqueue_tidy()

    def _enqueue_process(self):
        for file in self:
            file._delayed_as("process_bank_file", self.env._("Read file"))._process_bank_file()

    def _enqueue_tidy(self):
        for file in self.filtered(lambda each: each.bank_id.iso20022_transport != "https"):
            # each time that it comes has a job of its own: one that runs has looked at the last
            key = f"tidy_bank_file:{file.seen_count}"
            file._delayed_as(key, self.env._("Move file"))._tidy_bank_file()

    def _delayed_as(self, key, words):
        return self.with_user(SUPERUSER_ID).with_delay(
            identity_key=f"{key}:{self.id}",
            channel=self.bank_id._job_channel(),
            description=f"{words}: {self.id}",
            max_retries=self.env["g2p.bridge"]._parameter("max_attempts"),
        )

    @api.model
    def _enqueue_unfinished(self, limit=500):
        """Enqueue what was stored and never read: its job is gone."""
        self.env.flush_all()
        rows = self.env.execute_query(
            SQL("SELECT id FROM g2p_bank_file WHERE state = 'received' ORDER BY id LIMIT %s", limit)
        )
        self.browse(file_id for (file_id,) in rows)._enqueue_process()

    @api.private
    def _tidy_bank_file(self):
        """Move a file that was read out of the bank's folder (queue job); repeats are harmless."""
        self.ensure_one()
        self._lock_for_job("the file is under way", seconds=5)
        if self.is_tidied or self.state == "received":
            return "not due"
        settings = self.bank_id._iso20022_transport_settings()
        is_bad = self.state in ("error", "dismissed")
        folder = settings.error_folder if is_bad else settings.archive_folder
        remote = _remote_of(self)
        try:
            with open_transport(settings) as transport:
                transport.tidy(remote, folder, self._name_when_moved())
        except BankUnavailable as error:
            self._note_tidy_problem(f"{error} ({error.code})")
            return "not moved"
        can_move_again = bool(self.tidy_error)
        self.write({"is_tidied": True, "tidy_error": False})
        if can_move_again:
            self.bank_id._files_not_moved(limit=MAX_FILES_PER_ROUND)._enqueue_tidy()
        return folder

    def _name_when_moved(self):
        """Return a name that no file has there: not all servers replace one."""
        times = f"-{self.seen_count}" if self.seen_count > 1 else ""
        return f"{self.content_sha256[:8]}{times}-{self.name[-230:]}"

    def _note_tidy_problem(self, problem):
        """Say why it is still there: nothing is lost by that, for it is known again."""
        self.write({"tidy_error": problem[:500], "tidy_tried_at": fields.Datetime.now()})

    @api.private
    def _on_process_failed(self, exc_message=None, **_values):
        """Reading it ended in a bug or in many failures: an officer sees it, nothing was booked."""
        for file in self.filtered(lambda each: each.state == "received"):
            file._set_error(
                "STEP_FAILED",
                self.env._("It could not be read: an error of the program, see the job."),
                self.env._("Have it read again; if that fails, tell your administrator."),
            )


def let_go_of_content(env, size):
    """Give back the memory of a big file that was stored or read.

    Odoo keeps the bytes of an attachment in its cache, and what it keeps there in a reference
    cycle: a job that stores twelve files of 20 MB would hold all of them.

    :param int size: bytes of the file
    """
    if size > BIG_FILE:
        env.flush_all()
        env.invalidate_all()
        gc.collect()


def _remote_of(file):
    size, _colon, modified = file.remote_stamp.partition(":")
    return RemoteFile(name=file.name, size=int(size), modified=int(modified))
