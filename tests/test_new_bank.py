"""bin/new-bank: what it makes installs, passes the contract and bin/lint; the guide's bank too."""

import collections
import re
import shlex
import subprocess
from xml.etree import ElementTree

import pytest

from bridge_stack import new_bank, run_lint, run_tests
from bridge_stack.common import BridgeError, project

GUIDE = project() / "docs" / "bank-connector.md"
#: the longest that fit on each line
LONGEST = "z" * new_bank.MAX_CODE, "Água & Søn " + "Ω" * (new_bank.MAX_NAME - 11)

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def run(*command):
    """Run a command of bin/ and return what became of it."""
    return subprocess.run(
        [str(project() / command[0]), *map(str, command[1:])],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def make(*arguments, into):
    """Run bin/new-bank in this process; return its exit code."""
    return new_bank.main([*arguments, "--into", str(into)])


def guide():
    """Return [(language, text)] of the code blocks of the guide's walk, in order."""
    text = GUIDE.read_text(encoding="utf-8")
    walk = text.split("\n## From nothing to conformance\n", 1)[1].split("\n## ", 1)[0]
    return _FENCE.findall(walk)


# Refusals


@pytest.mark.parametrize(
    "code", ["", "Acme", "1st", "_acme", "acme-bank", "acme bank", "açme", "a/b"]
)
def test_a_code_that_names_no_addon_is_refused(code, tmp_path, capsys):
    assert make(code, "ACME Bank", into=tmp_path) == 3
    assert "small letters" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["", " ", 'The "Bank"', "Bank\nof two lines", "back\\slash", "<b>Bank</b>", "@CODE@"]
)
def test_a_name_that_breaks_a_file_is_refused(name, tmp_path, capsys):
    assert make("acme", name, into=tmp_path) == 3
    assert "name must be one line" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_what_is_too_long_is_refused(tmp_path):
    code, name = LONGEST
    for arguments in ((f"{code}z", "Bank"), ("acme", f"{name}z")):
        assert make(*arguments, into=tmp_path) == 3
    assert list(tmp_path.iterdir()) == []


def test_a_code_that_is_taken_is_refused(tmp_path, capsys):
    # of an addon of its name, and of a second connector in an addon
    for code in ("example", "example_plain"):
        assert make(code, "Bank", into=tmp_path) == 3
        assert "is taken by" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_an_addon_that_is_there_is_never_overwritten(tmp_path, capsys):
    assert make("acme", "ACME Bank", into=tmp_path) == 0
    changed = tmp_path / "g2p_bridge_bank_acme" / "connectors" / "wire.py"
    changed.write_text("# an afternoon's work")
    assert make("acme", "ACME Bank", into=tmp_path) == 3
    assert "is there already" in capsys.readouterr().err
    assert changed.read_text() == "# an afternoon's work"
    assert [path.name for path in tmp_path.iterdir()] == ["g2p_bridge_bank_acme"]


def test_a_folder_that_is_not_there_is_not_made(tmp_path, capsys):
    assert make("acme", "ACME Bank", into=tmp_path / "none") == 3
    assert "There is no folder" in capsys.readouterr().err


def test_what_fails_half_way_leaves_nothing(tmp_path, monkeypatch):
    def fail(folder):
        raise BridgeError("no ruff")

    monkeypatch.setattr(new_bank, "_format", fail)
    assert make("acme", "ACME Bank", into=tmp_path) == 3
    assert list(tmp_path.iterdir()) == []


def test_nothing_of_the_template_is_left_to_fill_in(tmp_path):
    assert make("acme", "ACME & Sons", into=tmp_path) == 0
    addon = tmp_path / "g2p_bridge_bank_acme"
    texts = {
        path: path.read_text()
        for path in addon.rglob("*")
        if path.suffix != ".png" and path.is_file()
    }
    assert len(texts) >= 16
    for path, text in texts.items():
        assert "@" not in re.sub(r"@(?:api|tagged|classmethod)\b", "", text), path
        if path.suffix == ".xml":
            ElementTree.fromstring(text.encode())


# Addons that stand elsewhere


def test_only_addons_outside_of_the_project_are_installed_besides(tmp_path):
    addon = tmp_path / "g2p_bridge_bank_acme"
    (addon / "tests").mkdir(parents=True)
    (addon / "__manifest__.py").write_text("{}")
    (addon / "tests" / "test_wire.py").touch()
    inside = project() / "g2p_bridge_bank_example"
    for arguments, found in (
        ([], []),
        (["-k", "acme", str(inside), str(tmp_path), "nowhere"], []),
        ([str(addon)], [addon]),
        ([f"{addon}/tests/test_wire.py::TestWire", str(addon), str(inside)], [addon]),
    ):
        assert run_tests.addons_outside(arguments) == found
    command = run_tests.pytest_command("db", [str(addon)], [addon])
    [path] = [each for each in command if each.startswith("--odoo-addons-path=")]
    assert path.endswith(f",{tmp_path}")
    assert str(project()) in path
    assert not [each for each in run_tests.pytest_command("db", []) if "addons-path" in each]


def test_an_addon_that_is_named_is_checked_whole_and_a_file_by_ruff_alone(tmp_path):
    (tmp_path / "__manifest__.py").write_text("{}")
    assert len(run_lint.checks([tmp_path])) == 3
    assert len(run_lint.checks()) == 4  # and the types of the client
    assert len(run_lint.checks([tmp_path / "__manifest__.py"])) == 2


# What it makes works, and so does the guide


@pytest.fixture(scope="module")
def tested(tmp_path_factory):
    """Return (folder, (test, is skipped) -> count, output) of a fresh addon and the guide's."""
    folder = tmp_path_factory.mktemp("addons")
    for code, name in (LONGEST, ("zebra", "Zebra Bank")):
        assert make(code, name, into=folder) == 0
    follow_guide(folder)
    report = folder / "report.xml"
    addons = [folder / f"g2p_bridge_bank_{code}" for code in ("zebra", "acme")]
    done = run("bin/test", *addons, f"--junitxml={report}")
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " WARNING " not in done.stdout  # of the installation
    cases = [
        (case.get("name"), case.find("skipped") is not None)
        for case in ElementTree.parse(report).iter("testcase")
    ]
    return folder, collections.Counter(cases), done.stdout


def follow_guide(folder):
    """Type what the guide says, but into another folder than the project."""
    commands = [text for language, text in guide() if language == "bash"]
    made = run(*shlex.split(commands[0]), "--into", folder)
    assert made.returncode == 0, made.stderr
    [told, *_others] = [text for language, text in guide() if language == "text"]
    assert made.stdout.replace(f"{folder}/", "") == told
    for language, text in guide():
        if language == "diff":
            subprocess.run(["git", "apply"], input=text, text=True, cwd=folder, check=True)


def test_a_new_addon_installs_and_passes_all_of_the_contract(tested):
    """Each test of the kit passes for both; but the list of what is not tried, for one."""
    _folder, cases, _output = tested
    kit = {name: count for (name, _is), count in cases.items() if name.startswith("test_contract_")}
    listing = "test_contract_what_is_not_tried_is_listed"
    assert len(kit) >= 27
    assert {count for name, count in kit.items() if name != listing} == {2}
    assert [name for name, is_skipped in cases if is_skipped] == [listing]


def test_the_guide_says_how_many_tests_pass_and_what_is_not_tried(tested):
    _folder, cases, output = tested
    assert "other_sum: The answer to an order has a count, but no sum." in output
    found = collections.Counter()
    for (_name, is_skipped), count in cases.items():
        found["skipped" if is_skipped else "passed"] += count
    (passed, none), (passed_later, skipped) = guide_counts()
    assert (none, skipped) == (0, found["skipped"])
    assert passed + passed_later == found["passed"]


def guide_counts():
    """Return what the guide says of each run that passes: (passed, skipped)."""
    told = [text for language, text in guide() if language == "text" and " passed" in text]
    return [
        tuple(sum(map(int, re.findall(rf"(\d+) {word}", text))) for word in ("passed", "skipped"))
        for text in told
        if "failed" not in text
    ]


def test_what_is_made_is_as_bin_lint_wants_it(tested):
    folder, _results, _output = tested
    done = run("bin/lint", *(folder / f"g2p_bridge_bank_{code}" for code in ("acme", LONGEST[0])))
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_commands_of_the_guide_are_those_that_are_tried():
    commands = [
        line for language, text in guide() if language == "bash" for line in text.splitlines()
    ]
    addon = "g2p_bridge_bank_acme"
    assert commands == [
        'bin/new-bank acme "ACME Bank"',
        f"bin/test {addon}",
        f"grep -rn CHANGE: {addon}",
        f"bin/test {addon}",
        f"bin/test {addon}",
        f"bin/lint {addon}",
        "bin/serve",
    ]
