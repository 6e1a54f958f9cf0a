"""The tooling: what it repeats, what it waits for, and the sentences it fails with."""

import collections
import json
import os
import signal
import socket
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import psycopg2
import pytest

from bridge_stack import (
    browser,
    client_tools,
    common,
    debian,
    install,
    postgres,
    process,
    run_tests,
    template,
)

Usage = collections.namedtuple("Usage", "free")


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Make an empty cache folder the one in use."""
    monkeypatch.setenv("G2P_BRIDGE_HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def step(home):
    """Return a step whose inputs and result the test decides, and a list of its runs."""
    runs, inputs = [], ["requests==1"]

    def make(runner):
        runs.append(inputs[0])
        runner([sys.executable, "-c", "print('made')"])
        (home / "result").touch()

    made = install.Step("sample", lambda: inputs[0], make, (home / "result").exists, 1)
    return made, inputs, runs


def run_step(step):
    step.run(install.Children(), None)


def run_python(code, *arguments, **env):
    """Run code in a process of its own, with the library on its path."""
    env = os.environ | {"PYTHONPATH": str(common.project() / "bin" / "lib")} | env
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


# Stamps


def test_a_complete_step_is_current_until_its_inputs_change(step):
    made, inputs, _runs = step
    assert not made.is_current()
    run_step(made)
    assert made.is_current()
    inputs[0] = "requests==2"
    assert not made.is_current()


def test_a_step_whose_result_was_deleted_is_not_current(step, home):
    made, _inputs, _runs = step
    run_step(made)
    (home / "result").unlink()
    assert not made.is_current()


def test_a_step_that_fails_leaves_no_stamp_even_if_it_had_one(step, home):
    made, inputs, _runs = step
    run_step(made)
    inputs[0] = "requests==2"

    def fail(runner):
        runner([sys.executable, "-c", "import sys; sys.exit(4)"])

    with pytest.raises(common.BridgeError):
        run_step(install.Step("sample", made.inputs, fail, made.is_there, 1))
    inputs[0] = "requests==1"
    assert not made.is_current()


def test_a_torn_stamp_counts_as_none(step, home):
    made, _inputs, _runs = step
    run_step(made)
    (home / "stamps" / "sample.json").write_text('{"inputs": ', encoding="utf-8")
    assert not made.is_current()


def test_a_step_of_another_home_is_not_current_here(step, home, monkeypatch):
    made, _inputs, _runs = step
    run_step(made)
    moved = home.with_name("moved")
    home.rename(moved)
    monkeypatch.setenv("G2P_BRIDGE_HOME", str(moved))
    (home.parent / "home").mkdir()
    (home / "result").touch()
    assert not made.is_current()


def test_the_requirements_decide_whether_the_environment_is_current(home, monkeypatch):
    before = install.STEPS["python"].fingerprint(), install.STEPS["dev"].fingerprint()
    read = install._requirements
    monkeypatch.setattr(
        install,
        "_requirements",
        lambda name: read(name) + ("\nextra==1" if name == "requirements-dev.txt" else ""),
    )
    after = install.STEPS["python"].fingerprint(), install.STEPS["dev"].fingerprint()
    assert before[0] == after[0]
    assert before[1] != after[1]


def test_every_requirement_is_pinned_to_one_version():
    for name in ("requirements.txt", "requirements-dev.txt"):
        lines = install._requirements(name).splitlines()
        assert [line for line in lines if line.partition(";")[0].count("==") != 1] == []
        names = [line.partition("==")[0].lower() for line in lines]
        assert len(names) == len(set(names))


def test_what_is_installed_is_what_the_requirements_say():
    for line in install._requirements("requirements.txt").splitlines():
        name, _, pinned = line.partition(";")[0].strip().partition("==")
        if "python_version" not in line:
            assert version(name) == pinned


# Locks and interruptions


def test_two_set_ups_wait_for_each_other(home):
    code = (
        "import sys, time; from bridge_stack.common import locked\n"
        "with locked(sys.argv[1], 'waiting'):\n"
        "    print('in', flush=True); time.sleep(float(sys.argv[2])); print('out', flush=True)"
    )
    first = run_python(code, home / "lock", 1)
    assert first.stdout.readline() == "in\n"
    second = run_python(code, home / "lock", 0)
    assert second.stdout.readline() == "waiting\n"
    assert first.poll() is None
    assert second.communicate(timeout=30)[0] == "in\nout\n"
    assert first.communicate(timeout=30)[0] == "out\n"


def test_the_lock_of_a_killed_set_up_is_free(home):
    code = (
        "import sys, time; from bridge_stack.common import locked\n"
        "with locked(sys.argv[1], 'waiting'):\n    print('in', flush=True); time.sleep(600)"
    )
    first = run_python(code, home / "lock")
    assert first.stdout.readline() == "in\n"
    first.kill()
    first.wait(10)
    with common.locked(home / "lock", "waiting"):
        pass


def test_a_command_that_outlives_its_set_up_keeps_the_next_one_waiting(home, capsys):
    code = (
        "import sys, subprocess; from bridge_stack.common import locked\n"
        "from bridge_stack.install import Children, Runner\n"
        "with locked(sys.argv[1], 'waiting') as lock:\n"
        "    runner = Runner('sample', Children(), lock.fileno())\n"
        "    print('in', flush=True)\n"
        "    runner([sys.executable, '-c', 'import time; time.sleep(2)'])"
    )
    start = time.monotonic()
    first = run_python(code, home / "lock")
    assert first.stdout.readline() == "in\n"
    time.sleep(0.5)
    first.kill()
    first.wait(10)
    with common.locked(home / "lock", "waiting"):
        assert time.monotonic() - start > 2
    assert capsys.readouterr().out == "waiting\n"


def test_no_command_starts_after_the_set_up_was_interrupted(home):
    children = install.Children()
    running = children.start([sys.executable, "-c", "import time; time.sleep(600)"])
    children.stop()
    assert running.wait(10) == -signal.SIGTERM
    with pytest.raises(common.BridgeError, match="interrupted"):
        children.start([sys.executable, "-c", ""])


def test_a_file_is_replaced_whole_or_not_at_all(home):
    common.write_atomically(home / "file", "old")
    with pytest.raises(TypeError):
        common.write_atomically(home / "file", b"new")
    assert (home / "file").read_text(encoding="utf-8") == "old"
    assert list(home.iterdir()) == [home / "file"]


# Sentences


@pytest.mark.parametrize("version", [(3, 9, 2), (3, 14, 0), (2, 7, 18)])
def test_a_wrong_python_is_named_with_the_right_ones(version):
    with pytest.raises(common.BridgeError, match=r"needs 3\.10 to 3\.13.*G2P_PYTHON"):
        install.check_python(version)


@pytest.mark.parametrize("version", [(3, 10, 0), (3, 13, 9)])
def test_a_right_python_passes(version):
    install.check_python(version)


def test_a_named_python_that_does_not_work_stops_the_command(home):
    done = subprocess.run(
        [common.project() / "bin" / "setup"],
        env=os.environ | {"G2P_PYTHON": "/bin/false"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    assert "G2P_PYTHON=/bin/false is no Python 3.10 to 3.13" in done.stderr


def test_a_full_disk_is_seen_before_the_work(home):
    with pytest.raises(common.BridgeError, match=r"2700 MB needed, 2699 MB free.*G2P_BRIDGE_HOME"):
        install.check_disk(("odoo", "python"), disk_usage=lambda _path: Usage(2_699_999_999))
    install.check_disk(("odoo", "python"), disk_usage=lambda _path: Usage(2_700_000_000))


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        ("E: Failed to fetch; Temporary failure resolving 'archive.example'", "network"),
        ("ERROR: No matching distribution found for lxml==6", "package index"),
        ("E: Unable to locate package odoo-19", "ODOO_SOURCE"),
        ("Segmentation fault", "Segmentation fault"),
    ],
)
def test_a_failure_says_what_to_do(output, sentence):
    assert sentence in install.explain(output, Path("step.log"))
    assert "step.log" in install.explain(output, Path("step.log"))


def test_a_failing_command_shows_the_sentence_and_not_a_traceback(home):
    runner = install.Runner("sample", install.Children())
    with pytest.raises(common.BridgeError, match="disk is full"):
        runner([sys.executable, "-c", "import sys; sys.exit('No space left on device')"])


def test_a_missing_program_is_named(home):
    with pytest.raises(common.BridgeError, match="program no-such-program was not found"):
        install.Runner("sample", install.Children())(["no-such-program"])


def test_a_cache_folder_that_cannot_be_made_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("G2P_BRIDGE_HOME", str(tmp_path / "file" / "home"))
    with pytest.raises(common.BridgeError, match=r"cannot be made.*G2P_BRIDGE_HOME"):
        install.ensure_setup()


def test_a_source_that_is_no_odoo_19_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("ODOO_SOURCE", str(tmp_path))
    with pytest.raises(common.BridgeError, match=r"holds no odoo/release\.py"):
        install.odoo_source()
    (tmp_path / "odoo").mkdir()
    release = tmp_path / "odoo" / "release.py"
    release.write_text("version_info = (18, 0, 0, FINAL, 0, '')\n", encoding="utf-8")
    with pytest.raises(common.BridgeError, match="another version"):
        install.odoo_source()
    release.write_text("version_info = (19, 0, 0, FINAL, 0, '')\n", encoding="utf-8")
    assert install.odoo_source() == tmp_path
    assert install.odoo_addons() == [tmp_path / "odoo" / "addons", tmp_path / "addons"]


def test_a_machine_without_debian_archive_is_told_of_odoo_source(tmp_path):
    sources = tmp_path / "sources.list.d"
    sources.mkdir()
    (tmp_path / "sources.list").write_text(
        "# deb http://one.example/debian sid main\ndeb http://two.example/ubuntu noble main\n",
        encoding="utf-8",
    )
    with pytest.raises(common.BridgeError, match="ODOO_SOURCE"):
        debian.find_archive(tmp_path)
    (sources / "a.list").write_text(
        "deb [arch=amd64 signed-by=/keys/a.gpg] http://three.example/debian bookworm main\n",
        encoding="utf-8",
    )
    assert debian.find_archive(tmp_path) == ("http://three.example/debian", "/keys/a.gpg")
    (sources / "b.sources").write_text(
        "Types: deb\n# a remark\nURIs: http://four.example/debian/\nSuites: trixie\n"
        "Signed-By:\n -----BEGIN-----\n .\n x\n",
        encoding="utf-8",
    )
    uri, key = debian.find_archive(tmp_path)
    assert uri == "http://four.example/debian/"
    assert key == "\n -----BEGIN-----\n .\n x"


def test_missing_tools_are_named(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(common.BridgeError, match=r"apt-get and dpkg-deb not found.*ODOO_SOURCE"):
        debian.require_tools()


def test_a_taken_port_is_named():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(common.BridgeError, match=f"Port {port} for the bank is taken"):
            process.check_port(port, "the bank")
    process.check_port(port, "the bank")


def test_a_browser_that_is_no_program_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("CHROMIUM", str(tmp_path / "chromium"))
    with pytest.raises(common.BridgeError, match="CHROMIUM="):
        browser.find_chromium()
    (tmp_path / "chromium").write_text("#!/bin/sh\n", encoding="utf-8")
    (tmp_path / "chromium").chmod(0o755)
    assert browser.find_chromium() == str(tmp_path / "chromium")


# Links of unpacked packages, and the file that the package lacks


def test_absolute_links_resolve_below_the_root_and_renamed_fonts_are_found(tmp_path):
    root = tmp_path / "root"
    (root / "usr" / "share").mkdir(parents=True)
    (root / "usr" / "share" / "a.js").write_text("a", encoding="utf-8")
    (root / "usr" / "share" / "Inconsolata-Regular.otf").write_text("font", encoding="utf-8")
    for name, target in (
        ("a.js", "/usr/share/a.js"),
        ("Inconsolata.otf", "/usr/share/old/Inconsolata.otf"),
        ("gone.js", "/usr/share/gone.js"),
    ):
        (root / name).symlink_to(target)
    assert debian.mend_links(root) == [root / "gone.js"]
    assert (root / "a.js").read_text(encoding="utf-8") == "a"
    assert (root / "Inconsolata.otf").read_text(encoding="utf-8") == "font"


def test_without_npm_an_inert_class_takes_its_place(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    debian.add_selfie_segmentation(None, tmp_path / "npm", tmp_path / "lib")
    script = (tmp_path / "lib" / "selfie_segmentation.js").read_text(encoding="utf-8")
    assert "window.SelfieSegmentation = class" in script


def test_with_npm_that_fails_an_inert_class_takes_its_place(tmp_path, monkeypatch):
    (tmp_path / "npm-program").mkdir()
    npm = tmp_path / "npm-program" / "npm"
    npm.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", str(npm.parent))
    calls = []

    def run(command, **_options):
        calls.append(command[0])
        return 1

    debian.add_selfie_segmentation(run, tmp_path / "npm", tmp_path / "lib")
    assert calls == ["npm"]
    assert (tmp_path / "lib" / "selfie_segmentation.js").exists()


# The environment of children


def test_another_set_up_does_not_leak_into_children(monkeypatch, home):
    for name in ("ODOO_RC", "PYTHONPATH", "VIRTUAL_ENV", "PGDATABASE", "PGOPTIONS"):
        monkeypatch.setenv(name, "foreign")
    env = common.child_env(EXTRA=1)
    assert "foreign" not in env.values()
    assert env["ODOO_RC"] == str(common.odoo_config())
    assert env["PATH"].startswith(f"{home / 'bin'}{os.pathsep}")
    assert env["EXTRA"] == "1"


@pytest.mark.parametrize("value", [None, "/nonexistent"])
def test_children_get_a_home_folder_where_there_is_none(monkeypatch, home, value):
    monkeypatch.delenv("HOME") if value is None else monkeypatch.setenv("HOME", value)
    assert common.child_env()["HOME"] == str(home / "user")
    assert (home / "user").is_dir()


def test_the_address_of_the_embedded_server_is_not_taken_for_another_one(monkeypatch, home):
    monkeypatch.setenv("PGHOST", str(home / "postgres" / "run"))
    assert install.external_postgres()
    common.write_atomically(install.postgres_address_file(), str(home / "postgres" / "run"))
    assert not install.external_postgres()
    monkeypatch.delenv("PGHOST")
    assert not install.external_postgres()


# PostgreSQL and databases; in the server that the tests run on


@pytest.fixture
def server():
    """Yield the running server, used once more."""
    with postgres.Postgres().running() as running:
        yield running


@pytest.mark.parametrize("name", ["", 'a"b', "a b", "x" * 64, "a;b"])
def test_what_is_no_database_name_is_refused(name):
    with pytest.raises(ValueError, match="not a database name"):
        postgres.quoted(name)


@pytest.mark.skipif(install.external_postgres(), reason="PGHOST names another server")
def test_a_private_server_keeps_what_was_committed_when_it_is_killed_and_is_gone_afterwards():
    with postgres.PrivatePostgres().running() as private:
        address = Path(private.env()["PGHOST"])
        private.create("kept")
        with private.cursor("kept") as cursor:
            cursor.execute("CREATE TABLE payment AS SELECT 1 AS id")
        private.kill()
        with pytest.raises(psycopg2.OperationalError), private.cursor():
            pass
        private.restart()
        with private.cursor("kept") as cursor:
            cursor.execute("SELECT id FROM payment")
            assert cursor.fetchall() == [(1,)]
            cursor.execute("SHOW fsync")
            assert cursor.fetchone() == ("on",)
        assert address.is_dir()
    assert not address.exists()
    assert not list(address.parents[1].glob(f"private-{os.getpid()}-*"))


def test_the_embedded_server_is_durable_and_has_no_network_address(server):
    if not server.is_embedded:
        pytest.skip("PGHOST names a server whose settings are somebody else's")
    with server.cursor() as cursor:
        cursor.execute(
            "SELECT name, setting FROM pg_settings WHERE name IN ('fsync', 'synchronous_commit',"
            " 'full_page_writes', 'listen_addresses')"
        )
        assert dict(cursor.fetchall()) == {
            "fsync": "on",
            "synchronous_commit": "on",
            "full_page_writes": "on",
            "listen_addresses": "",
        }
    socket_folder = Path(server.env()["PGHOST"])
    assert socket_folder.stat().st_mode & 0o077 == 0


def test_a_database_is_cloned_with_its_files_and_dropped_with_them(server):
    source, copy = template.temporary_name("source"), template.temporary_name("copy")
    stored = template._file_store(source) / "ab" / "abcd"
    try:
        server.create(source)
        server.set_note(source, "state 1")
        stored.parent.mkdir(parents=True)
        stored.write_text("attachment", encoding="utf-8")
        template.clone_database(server, source, copy)
        assert server.exists(copy)
        assert server.note(source) == "state 1"
        assert server.note(copy) is None
        copied = template._file_store(copy) / "ab" / "abcd"
        assert copied.read_text(encoding="utf-8") == "attachment"
    finally:
        template.drop_database(server, copy)
        template.drop_database(server, source)
    assert not server.exists(copy)
    assert not server.exists(source)
    assert not template._file_store(copy).exists()
    assert not stored.exists()


def test_a_database_is_dropped_when_its_owner_is_dead_and_nobody_uses_it(server):
    if not server.is_embedded:
        pytest.skip("process ids tell nothing about the users of another server")
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait(10)
    mine = template.temporary_name("orphan")
    abandoned = mine.replace(f"_{os.getpid()}_", f"_{ended.pid}_")
    try:
        server.create(mine)
        server.create(abandoned)
        with server.cursor(abandoned):
            template.drop_abandoned(server, "orphan")
            assert server.exists(abandoned)
        template.drop_abandoned(server, "orphan")
        assert server.exists(mine)
        assert not server.exists(abandoned)
    finally:
        server.drop(mine)
        server.drop(abandoned)


def test_a_template_is_made_anew_when_an_addon_changes_but_not_for_its_tests(tmp_path, monkeypatch):
    monkeypatch.setattr(template, "project", lambda: tmp_path)
    for name in ("models/a.py", "tests/test_a.py", "static/tests/tour.js"):
        (tmp_path / "addon" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "addon" / name).write_text("1", encoding="utf-8")
    first = template.source_hash(("addon",))
    (tmp_path / "addon" / "tests" / "test_a.py").write_text("2", encoding="utf-8")
    assert template.source_hash(("addon",)) == first
    (tmp_path / "addon" / "models" / "a.py").write_text("2", encoding="utf-8")
    assert template.source_hash(("addon",)) != first
    assert template.source_hash(("addon", "rpc")) != template.source_hash(("addon",))


def test_the_addons_install_without_a_warning():
    assert template.install_warnings() == []


# Processes


def start(tmp_path, code):
    program = process.Process(
        "sample", [sys.executable, "-uc", code], dict(os.environ), tmp_path / "sample.log"
    )
    program.start()
    return program


def test_a_process_is_waited_for_killed_started_again_and_ended(tmp_path):
    code = "import time; print('listening on http://127.0.0.1:1234'); time.sleep(600)"
    program = start(tmp_path, code)
    assert program.wait_for_address() == "http://127.0.0.1:1234"
    first = program.pid
    program.kill()
    assert not program.is_running
    program.start()
    assert program.wait_for_address() == "http://127.0.0.1:1234"
    assert program.pid != first
    program.stop()
    assert not program.is_running


def test_a_process_that_ends_early_is_reported_with_the_end_of_its_log(tmp_path):
    program = start(tmp_path, "import sys; sys.exit('no such ledger')")
    with pytest.raises(common.BridgeError, match=r"sample ended with 1[^$]*no such ledger"):
        program.wait_for_address()


def test_a_process_that_says_nothing_is_given_up_after_the_deadline(tmp_path):
    program = start(tmp_path, "import time; time.sleep(600)")
    try:
        with pytest.raises(common.BridgeError, match=r"no address within 0\.2 s"):
            program.wait_for_address(0.2)
    finally:
        program.stop()


def test_a_process_that_ignores_sigterm_is_killed_with_its_children(tmp_path):
    code = (
        "import signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "print('child', child.pid); print('listening on http://127.0.0.1:1'); time.sleep(600)"
    )
    program = start(tmp_path, code)
    program.wait_for_address()
    child = int(program.output().split()[1])
    program.stop(deadline_s=0.5)
    assert not program.is_running
    assert wait_until(lambda: not is_alive(child))


def test_a_process_does_not_outlive_a_parent_that_is_killed(tmp_path):
    if not process._tied_to_parent():
        pytest.skip("needs setpriv --pdeathsig of util-linux")
    code = (
        "import os, sys, pathlib, time; from bridge_stack.process import Process\n"
        "p = Process('x', [sys.executable, '-c', 'import time; time.sleep(600)'],"
        " dict(os.environ), pathlib.Path(sys.argv[1]))\n"
        "p.start(); print(p.pid, flush=True); time.sleep(600)"
    )
    parent = run_python(code, tmp_path / "x.log")
    child = int(parent.stdout.readline())
    time.sleep(0.5)
    assert is_alive(child)
    parent.kill()
    parent.wait(10)
    assert wait_until(lambda: not is_alive(child))


def is_alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_until(condition, deadline_s=10):
    end = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def test_free_ports_are_all_different():
    ports = process.free_ports(20)
    assert len(set(ports)) == 20


# Which tests need a browser


def test_a_browser_is_wanted_only_for_tests_that_drive_one(tmp_path):
    plain, driven = tmp_path / "test_plain.py", tmp_path / "test_driven.py"
    plain.write_text("def test_a(): pass\n", encoding="utf-8")
    assert not run_tests.needs_browser([str(tmp_path)])
    driven.write_text("@pytest." + "mark.browser\ndef test_b(): pass\n", encoding="utf-8")
    assert run_tests.needs_browser([str(tmp_path)])
    assert run_tests.needs_browser([f"{driven}::test_b", "-x"])
    assert not run_tests.needs_browser([str(plain)])
    assert not run_tests.needs_browser(["-m", "not browser", str(tmp_path)])


def test_tools_are_wanted_only_for_tests_that_run_examples(tmp_path):
    file = tmp_path / "test_examples.py"
    file.write_text("pytestmark = pytest.mark." + "client_tools\n", encoding="utf-8")
    assert run_tests.needs_tools([str(tmp_path)])
    assert not run_tests.needs_tools(["-m", "not client_tools", str(tmp_path)])
    file.write_text("def test_a(): pass\n", encoding="utf-8")
    assert not run_tests.needs_tools([str(tmp_path)])


def test_tools_that_are_missing_are_named_and_an_error_where_they_are_required(
    monkeypatch, tmp_path, capsys
):
    monkeypatch.setenv("PATH", str(tmp_path))  # no apt-get either
    monkeypatch.delenv("G2P_REQUIRE_CLIENT_TOOLS", raising=False)
    assert client_tools.ensure_tools() == ["curl", "jq", "node", "npm"]
    assert "apt-get install curl jq nodejs npm" in capsys.readouterr().err
    monkeypatch.setenv("G2P_REQUIRE_CLIENT_TOOLS", "1")
    with pytest.raises(common.BridgeError, match="need curl, jq, node, npm"):
        client_tools.ensure_tools()


def test_the_stamps_of_this_set_up_are_complete():
    for name in install.RUNTIME:
        if name != "postgres" or not install.external_postgres():
            stamp = common.home() / "stamps" / f"{name}.json"
            assert json.loads(stamp.read_text(encoding="utf-8"))["seconds"] >= 0
            assert install.STEPS[name].is_current()
