"""The documents: what they name exists, what exists they name, and their examples work."""

import ast
import os
import re
import subprocess

import pytest

from bridge_stack.common import project, venv_python
from bridge_stack.world import World

ADDONS = ("g2p_bridge", "g2p_bridge_bank_example", "g2p_bridge_bank_iso20022")
ROOT = project()
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("*/README.md"), *ROOT.glob("*/*/*.md")]
)
FACADE = ("bank", "disbursements", "envelopes", "exceptions")

_FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"`([^`\n]+)`")
#: a file as it is named in a text: in one of the folders, or with an ending that code has
_FILE = re.compile(
    r"(?:\.?[\w-]+/)+[\w.-]*|[\w-]+\.(?:py|md|xml|csv|txt|cfg|toml)|(?:LICENSE|COPYING)", re.ASCII
)
_FOLDERS = {path.name for path in ROOT.iterdir() if path.is_dir()} - {".git", ".cache"}


def text_of(name):
    return (ROOT / name).read_text(encoding="utf-8")


def prose_of(path):
    """Return a document without its code blocks."""
    return _FENCE.sub("", path.read_text(encoding="utf-8"))


def constants():
    """Return the names of const.py (it imports nothing)."""
    names = {}
    exec(compile(text_of("g2p_bridge/const.py"), "const.py", "exec"), names)  # our own file
    return names


def facade_methods():
    """Yield the syntax trees of the methods that a caller reaches."""
    for room in FACADE:
        tree = ast.parse(text_of(f"g2p_bridge/models/g2p_bridge_{room}.py"))
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and "api.model" in map(
                ast.unparse, node.decorator_list
            ):
                yield node


def keys_of(tree):
    """Return the constant keys of all dicts in a syntax tree."""
    return {
        key.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Dict)
        for key in node.keys
        if isinstance(key, ast.Constant)
    }


def anchors_of(path):
    """Return the anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose_of(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def has_word(text, word):
    return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text) is not None


# What they name exists


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_within_the_project_leads_somewhere(path):
    broken = []
    for target in _LINK.findall(prose_of(path)):
        if re.match(r"[a-z]+:", target):
            continue
        name, _hash, anchor = target.partition("#")
        found = (path.parent / name).resolve() if name else path
        if not found.exists() or (anchor and anchor not in anchors_of(found)):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_that_is_named_exists(path):
    missing = []
    for name in _CODE.findall(prose_of(path)):
        if not _FILE.fullmatch(name):
            continue
        is_path = name.split("/")[0] in _FOLDERS if "/" in name else True
        places = (ROOT, path.parent, *(ROOT / addon for addon in ADDONS))
        if is_path and not any((place / name).exists() for place in places):
            missing.append(name)
    assert missing == []


def test_the_readme_leads_to_every_document():
    linked = {target.partition("#")[0] for target in _LINK.findall(text_of("README.md"))}
    documents = {str(path.relative_to(ROOT)) for path in ROOT.glob("docs/**/*.md")}
    assert documents - linked == set()


# What exists they name


def table_of(heading):
    """Return [(code, sentence)] of the table below a heading of docs/api.md."""
    section = text_of("docs/api.md").split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    return re.findall(r"^\| ([A-Z_]+)(?: \*)? \| ([^|]+) \|", section, re.MULTILINE)


def test_every_error_code_stands_in_the_api_document_with_its_sentence():
    assert table_of("Error codes") == list(constants()["ERROR_SENTENCES"].items())


def test_every_reason_of_an_entry_stands_in_the_api_document():
    assert table_of("Reasons of statement entries") == constants()["LINE_REASONS"]


def test_every_method_and_argument_of_the_api_has_its_place():
    text = text_of("docs/api.md")
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## )", text, re.MULTILINE | re.DOTALL))
    methods = {method.name: method for method in facade_methods()}
    assert len(methods) == 12
    for name, method in methods.items():
        arguments = [argument.arg for argument in method.args.args if argument.arg != "self"]
        assert [each for each in arguments if f"`{each}`" not in sections[name]] == [], name


def test_every_field_of_an_answer_stands_in_the_api_document():
    text = text_of("docs/api.md")
    fields = keys_of(ast.parse(text_of("g2p_bridge/services/api_answers.py")))
    for method in facade_methods():
        fields |= keys_of(method)
    # the two kinds of statement entries differ by their prefix, which an f-string makes
    names = ("statement_id", "statement_number", "statement_sequence", "entry_sequence")
    for name in (*names, "entry_date", "value_date"):
        fields |= {f"remittance_{name}", f"reversal_{name}"}
    assert len(fields) > 50
    assert [field for field in sorted(fields) if not has_word(text, field)] == []


def test_every_field_of_a_row_stands_in_the_api_document():
    source = text_of("g2p_bridge/services/api_rows.py")
    fields = set(re.findall(r"(?:given|row)\.get\(\"(\w+)\"", source))
    assert fields >= {"disbursement_amount", "value_date"}
    assert [field for field in sorted(fields) if f"`{field}`" not in text_of("docs/api.md")] == []


def test_every_setting_stands_in_its_table_with_its_default():
    rows = re.findall(r"^\| `(g2p_bridge\.\w+)` \| (\d+) \|", text_of("docs/parameters.md"), re.M)
    assert {name: int(value) for name, value in rows} == constants()["PARAMETERS"]


def test_every_environment_variable_is_explained():
    sources = [*ROOT.glob("bin/lib/bridge_stack/**/*.*"), *ROOT.glob("*/simulator/**/*.py")]
    found = set()
    for path in sources:
        text = path.read_text(encoding="utf-8")
        found |= set(re.findall(r"environ(?:\.get\(|\[)\"(\w+)\"", text))
        found |= set(re.findall(r"\$\{(G2P_\w+)", text))
    assert found >= {"G2P_BRIDGE_HOME", "G2P_PYTHON", "EXAMPLE_BANK_API_KEY"}
    text = text_of("docs/parameters.md")
    assert [name for name in sorted(found) if f"`{name}`" not in text] == []


# Their examples work


def blocks(name, language):
    return [code for kind, code in _FENCE.findall(text_of(name)) if kind == language]


@pytest.fixture(scope="module")
def example(stack, tmp_path_factory):
    """Return (folder, environment, world) as the README's reader has them after its first block."""
    world = World(stack, mnemonic="CHILD")
    world.link(["BEN000001", "BEN000002"])
    keys = stack.odoo_shell(blocks("README.md", "python")[0] + "\nresult = keys\n")
    folder = tmp_path_factory.mktemp("example")
    (folder / "statement.sta").write_text(
        f":20:EXAMPLE\n:25:{world.account_number}\n:28C:1/1\n"
        ":60F:C261123USD1000,00\n:61:2611231123C5,00NTRFNONREF\n:86:Top-up\n"
        ":62F:C261123USD1005,00\n-\n",
        encoding="ascii",
    )
    env = os.environ | {"BRIDGE_URL": stack.url, "BRIDGE_DB": stack.db} | keys
    return folder, env, world


def run(example, *command):
    """Run a command as the reader would; return what it prints."""
    folder, env, _world = example
    done = subprocess.run(
        [*map(str, command)], cwd=folder, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.stack
def test_the_payments_of_the_readme_are_made_once(example, stack):
    _setup, pay, follow = blocks("README.md", "python")
    first = run(example, venv_python(), "-c", pay)
    assert run(example, venv_python(), "-c", pay) == first
    ids = ast.literal_eval(first)

    def orders():
        ledger = example[2].ledger()
        return {each["reference"]: each["times_ordered"] for each in ledger["payments"]}

    stack.wait_until(lambda: set(orders()) == set(ids), what="order of the two payments")
    assert orders() == dict.fromkeys(ids, 1)
    stack.wait_until(
        lambda: run(example, venv_python(), "-c", follow).count(" sent ") == 2, what="two changes"
    )


@pytest.mark.stack
def test_the_commands_of_the_documents_work(example):
    for name in ("README.md", "docs/api.md"):
        for code in blocks(name, "bash"):
            assert '"status": "succ"' in run(example, "bash", "-euc", code)


@pytest.mark.stack
def test_the_program_of_the_api_document_works(example):
    [code] = blocks("docs/api.md", "python")
    assert "next cursor" in run(example, venv_python(), "-c", code)


@pytest.mark.parametrize("name", ["safety", "faults"])
def test_every_test_that_a_promise_rests_on_is_there(name):
    named = set(re.findall(r"`(test_\w+)`", text_of(f"docs/{name}.md")))
    written = {
        name
        for folder in (*ADDONS, "tests")
        for file in (ROOT / folder).rglob("*.py")
        for name in re.findall(r"def (test_\w+)", file.read_text("utf-8"))
    }
    assert named
    assert named - written == set()
