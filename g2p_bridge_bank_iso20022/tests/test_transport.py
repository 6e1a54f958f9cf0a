"""Files on their way, against a real folder and a real SFTP server: what is known of each end."""

import dataclasses
import os
import socket
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest import mock

import asyncssh

from odoo.tests import BaseCase, tagged

from odoo.addons.g2p_bridge.connectors.errors import (
    BankOutcomeUnknown,
    BankRejected,
    BankUnavailable,
)

from ..transport import (
    REACHED,
    UNSEEN,
    UNSENT,
    RemoteFile,
    TransportSettings,
    open_transport,
)
from ..transport.files import is_finished
from ..transport.folder import ROOT
from ..transport.https import split_documents
from .sftp_process import SftpProcess

SFTP = "odoo.addons.g2p_bridge_bank_iso20022.transport.sftp"
CONTENT = b"<Document>" + b"payment " * 5000 + b"</Document>"


class FileTransportRules:
    """What holds for each kind of file transport; ``self.root`` is what the bank sees."""

    #: Odoo's own test runner passes over the tests of a mixin otherwise
    allow_inherited_tests_method = True

    def send(self, name="A.xml", content=CONTENT):
        with open_transport(self.settings) as transport:
            return transport.send(name, content)

    def find(self, name="A.xml"):
        with open_transport(self.settings) as transport:
            return transport.find(name)

    def list_new(self):
        with open_transport(self.settings) as transport:
            return transport.list_new()

    def at_bank(self):
        """Name -> content of what the bank would take."""
        return {
            path.name: path.read_bytes() for path in (self.root / "in").iterdir() if path.is_file()
        }

    def test_a_file_arrives_whole_under_its_name_and_nothing_else_is_left(self):
        self.send()
        self.assertEqual(self.at_bank(), {"A.xml": CONTENT})
        self.assertEqual(self.find(), REACHED)

    def test_a_file_that_is_there_is_left_as_it_is(self):
        self.send()
        self.send(content=b"another")
        self.assertEqual(self.at_bank(), {"A.xml": CONTENT})

    def test_a_file_that_the_bank_has_taken_is_not_laid_down_again(self):
        self.send()
        (self.root / "in/A.xml").rename(self.root / "in/taken/A.xml")
        self.send()
        self.assertEqual(self.at_bank(), {})
        self.assertEqual(self.find(), REACHED)

    def test_of_what_was_never_there_nothing_is_said(self):
        self.assertEqual(self.find(), UNSEEN)

    def test_what_was_left_half_way_is_taken_away_and_surely_not_sent(self):
        (self.root / "in/.A.xml.part").write_bytes(CONTENT[:100])
        self.assertEqual(self.find(), UNSENT)
        self.assertEqual(self.at_bank(), {})
        self.assertEqual(self.find(), UNSEEN)

    def test_without_its_folder_nothing_is_sent(self):
        self.settings = dataclasses.replace(self.settings, out_path="/nowhere")
        with self.assertRaises(BankUnavailable):
            self.send()

    def test_whole_files_are_listed_the_oldest_first(self):
        for name, when in (("b.xml", 100), ("a.xml", 200), (".c.xml", 50), ("d.part", 50)):
            (self.root / "out" / name).write_bytes(b"x")
            os.utime(self.root / "out" / name, (when, when))
        (self.root / "out/archive").mkdir(exist_ok=True)
        self.assertEqual([file.name for file in self.list_new()], ["b.xml", "a.xml"])

    def test_a_file_is_read_up_to_a_size_and_not_while_it_changes(self):
        path = self.root / "out/a.xml"
        path.write_bytes(b"12345")
        [file] = self.list_new()
        with open_transport(self.settings) as transport:
            self.assertEqual(transport.fetch(file, 5), b"12345")
            with self.assertRaises(BankRejected):
                transport.fetch(file, 4)
            path.write_bytes(b"1234567")
            self.assertIsNone(transport.fetch(file, 100))
            path.unlink()
            self.assertIsNone(transport.fetch(file, 100))

    def test_what_was_read_is_moved_once_and_a_newer_file_is_left(self):
        path = self.root / "out/a.xml"
        path.write_bytes(b"12345")
        [file] = self.list_new()
        with open_transport(self.settings) as transport:
            transport.tidy(file, "archive", "1-a.xml")
            transport.tidy(file, "archive", "1-a.xml")
            self.assertEqual((self.root / "out/archive/1-a.xml").read_bytes(), b"12345")
            for newer in (b"a newer one", b"54321"):
                path.write_bytes(newer)
                os.utime(path, (file.modified + 60, file.modified + 60))
                transport.tidy(file, "archive", "1-a.xml")
                self.assertEqual(path.read_bytes(), newer)

    def test_many_that_move_the_first_files_at_once_make_one_folder(self):
        names = [f"{number}.xml" for number in range(8)]
        for name in names:
            (self.root / "out" / name).write_bytes(b"12345")
        start = threading.Barrier(len(names))

        def move(file):
            with open_transport(self.settings) as transport:
                start.wait(30)
                transport.tidy(file, "archive", file.name)

        with ThreadPoolExecutor(len(names)) as pool:
            list(pool.map(move, self.list_new()))
        archived = [path.name for path in (self.root / "out/archive").iterdir()]
        self.assertEqual(sorted(archived), names)

    def test_the_test_call_changes_nothing_and_names_a_folder_that_is_not_there(self):
        with open_transport(self.settings) as transport:
            transport.check()
        self.assertEqual(self.at_bank(), {})
        self.settings = dataclasses.replace(self.settings, in_path="/nowhere")
        with open_transport(self.settings) as transport, self.assertRaises(BankRejected):
            transport.check()


@tagged("post_install", "-at_install")
class TestFolderTransport(FileTransportRules, BaseCase):
    """A folder of this machine."""

    def setUp(self):
        super().setUp()
        place = self.enterContext(tempfile.TemporaryDirectory())
        self.root = Path(place) / "root"
        for name in ("in/taken", "out"):
            (self.root / name).mkdir(parents=True)
        self.enterContext(mock.patch.dict(os.environ, {ROOT: str(self.root)}))
        self.settings = TransportSettings(
            kind="folder", out_path="/in", in_path="/out", taken_path="/in/taken"
        )

    def test_without_the_servers_leave_no_folder_is_touched(self):
        with mock.patch.dict(os.environ):
            del os.environ[ROOT]
            with self.assertRaises(BankUnavailable) as caught:
                self.send()
        self.assertEqual(caught.exception.code, "NO_FOLDERS")

    def test_no_path_and_no_link_leads_out_of_the_servers_folder(self):
        outside = self.root.parent / "outside"
        outside.mkdir()
        (outside / "secret.xml").write_bytes(b"secret")
        (self.root / "link").symlink_to(outside)
        (self.root / "out/link.xml").symlink_to(outside / "secret.xml")
        for path in ("../outside", "/link", "in/../../outside"):
            settings = dataclasses.replace(self.settings, in_path=path, out_path=path)
            with self.subTest(path=path), open_transport(settings) as transport:
                with self.assertRaises(BankUnavailable):
                    transport.list_new()
                with self.assertRaises(BankUnavailable):
                    transport.send("A.xml", b"x")
        self.assertEqual(self.list_new(), [])
        with open_transport(self.settings) as transport:
            file = RemoteFile(name="link.xml", size=6, modified=0)
            with self.assertRaises(BankUnavailable):
                transport.fetch(file, 100)
        self.assertEqual([path.name for path in outside.iterdir()], ["secret.xml"])

    def test_where_no_file_can_be_written_nothing_is_sent(self):
        (self.root / "file").write_bytes(b"")
        self.settings = dataclasses.replace(self.settings, out_path="/file")
        with self.assertRaises(BankUnavailable) as caught:
            self.send()
        self.assertEqual(caught.exception.code, "ENOTDIR")


@tagged("post_install", "-at_install")
class TestSftpTransport(FileTransportRules, BaseCase):
    """A real SFTP server, and what may happen to its connection."""

    def setUp(self):
        super().setUp()
        self.server = SftpProcess()
        self.addCleanup(self.server.stop)
        self.root = self.server.root
        self.settings = TransportSettings(**self.server.settings)

    def assertEnds(self, error_class, *, code=None):
        with self.assertRaises(error_class) as caught:
            self.send()
        if code:
            self.assertEqual(caught.exception.code, code)

    def test_of_a_folder_with_too_many_files_none_is_overlooked(self):
        for number in range(3):
            (self.root / "out" / f"{number}.xml").write_bytes(b"x")
        with mock.patch(f"{SFTP}.MAX_ENTRIES", 3):
            self.assertEqual(len(self.list_new()), 3)
        with (
            mock.patch(f"{SFTP}.MAX_ENTRIES", 2),
            self.assertRaises(BankUnavailable) as caught,
        ):
            self.list_new()
        self.assertEqual(caught.exception.code, "TOO_MANY_FILES")

    def test_a_password_will_do(self):
        self.settings = dataclasses.replace(
            self.settings, private_key="", password=self.server.password
        )
        self.send()
        self.assertEqual(self.at_bank(), {"A.xml": CONTENT})

    def test_nothing_is_sent_to_a_server_with_another_host_key(self):
        other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
        for host_key, code in ((other, "HOST_KEY"), ("", "HOST_KEY_MISSING"), ("x", "SFTP_KEY")):
            self.settings = dataclasses.replace(self.settings, host_key=host_key)
            with self.subTest(code=code):
                self.assertEnds(BankUnavailable, code=code)
        self.assertEqual(self.at_bank(), {})

    def test_nothing_is_sent_without_the_right_key_or_password(self):
        wrong = asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode()
        for values in ({"private_key": wrong}, {"private_key": "", "password": "wrong"}):
            self.settings = dataclasses.replace(self.settings, **values)
            with self.subTest(values=sorted(values)):
                self.assertEnds(BankUnavailable, code="SFTP_LOGIN")

    def test_where_nobody_listens_nothing_is_sent(self):
        self.server.kill()
        self.assertEnds(BankUnavailable)
        silent = socket.socket()
        self.addCleanup(silent.close)
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        self.settings = dataclasses.replace(
            self.settings, port=silent.getsockname()[1], timeout_s=(0.3, 0.3)
        )
        self.assertEnds(BankUnavailable)

    def test_an_upload_that_is_cut_was_surely_not_sent_and_may_be_repeated(self):
        for fault in ("cut_upload", "no_space", "no_permission"):
            with self.subTest(fault=fault):
                self.server.fault(fault)
                self.assertEnds(BankUnavailable)
                self.assertEqual(_finished(self.at_bank()), {})
        self.send()
        self.assertEqual(self.at_bank(), {"A.xml": CONTENT})

    def test_a_server_that_falls_silent_holds_nobody_for_ever(self):
        self.settings = dataclasses.replace(self.settings, timeout_s=(1, 0.5))
        self.server.fault("silent")
        with mock.patch(f"{SFTP}.SLOWEST", 1e9):
            self.assertEnds(BankUnavailable, code="TOTAL_TIMEOUT")

    def test_a_server_that_dies_at_the_rename_leaves_it_open_until_it_is_looked_for(self):
        for fault, found in (("die_before_rename", UNSENT), ("die_after_rename", REACHED)):
            with self.subTest(fault=fault):
                name = f"{fault}.xml"
                self.server.fault(fault)
                with self.assertRaises(BankOutcomeUnknown):
                    self.send(name)
                self.server.wait_until_dead()
                self.server.start()
                self.settings = TransportSettings(**self.server.settings)
                self.assertEqual(self.find(name), found)
                self.assertEqual(name in self.at_bank(), found == REACHED)

    def test_a_refused_rename_is_looked_into_at_once(self):
        self.server.fault("refuse_rename")
        self.assertEnds(BankUnavailable)
        self.assertEqual(self.at_bank(), {})
        self.server.fault("refuse_rename_done")
        self.send()
        self.assertEqual(self.at_bank(), {"A.xml": CONTENT})


@tagged("post_install", "-at_install")
class TestNames(BaseCase):
    """Names and documents, without a connection."""

    def test_names_of_unfinished_files_are_left_alone(self):
        for name in (".a.xml", "a.xml.part", "a.TMP", "a.filepart", "a~", "a/b", "a\nb", ""):
            with self.subTest(name=name):
                self.assertFalse(is_finished(name))
        for name in ("a.xml", "camt.053.001.08-ACME-12.xml", "a b.txt", "part.xml"):
            with self.subTest(name=name):
                self.assertTrue(is_finished(name))

    def test_documents_one_after_another_are_told_apart(self):
        one, two = b"<?xml version='1.0'?><a/>\n", b"<?xml version='1.0'?><b/>"
        self.assertEqual(split_documents(one + two), [one, two])
        self.assertEqual(split_documents(one), [one])
        self.assertEqual(split_documents(b" \n"), [])
        self.assertEqual(split_documents(b":20:X"), [b":20:X"])


def _finished(files):
    return {name: content for name, content in files.items() if is_finished(name)}
