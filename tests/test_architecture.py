"""How the parts may know each other, and what no part may do: read from the source, not from promises.

Each exception stands in a table here, with its reason.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGE = REPOSITORY / "pipeline"
SOURCES = sorted(PACKAGE.rglob("*.py"))
LARGEST = 500  # lines

ONE_FILE = {  # a library that does I/O, and the only file that may import it
    "aiosmtplib": "delivery/connect.py",
    "aiosmtpd": "delivery/sandbox.py",
    "dns": "recipients/mx.py",
    "tenacity": "delivery/connect.py",
    "email_validator": "mail/address.py",
    "jinja2": "letters/",
    "markdown_it": "letters/",
    "nh3": "replies/html.py",
    "pydantic": "config/",
    "sqlalchemy": "store/",
    "sqlite3": "store/",
    "psycopg": "store/postgres.py",
    "fcntl": "store/lock.py",
    "imapclient": "replies/mailbox_imap_session.py",
    "imaplib": "replies/mailbox_imap_wire.py",
    "procrastinate": "delivery/engine_shared.py",
    "typer": "cli/",
    "rich": "cli/",
}
LONGER: dict[str, str] = {  # files of more than `LARGEST` lines, and why
}
TIME_AND_CHANCE = {  # calls that only clock.py may make
    "time.time",
    "time.time_ns",
    "time.sleep",
    "time.monotonic",
    "datetime.now",
    "datetime.utcnow",
    "datetime.today",
    "date.today",
    "asyncio.sleep",
}
CHANCE = {"random", "secrets", "uuid"}  # modules that only clock.py may import
READS_THE_CLOCK: dict[str, str] = {"clock.py": "the only source of time and chance"}
PRINTS = {"cli/telling.py": "where all words go"}


def _name(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def _imports(tree: ast.Module) -> Iterator[str]:
    """Yield the top-level names of the modules that a file imports, wherever in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None and not node.level:
            yield node.module.partition(".")[0]


def _calls(tree: ast.Module) -> Iterator[str]:
    """Yield what a file calls, as it is written: "time.sleep", "print"."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func)


def _users(wanted: str) -> set[str]:
    """Return the files that import a module."""
    return {_name(path) for path in SOURCES if wanted in _imports(_tree(path))}


# -- who knows whom


def test_imports_point_downwards_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """The contract of pyproject.toml, read by import-linter."""
    monkeypatch.chdir(REPOSITORY)
    assert lint_imports(config_filename="pyproject.toml", no_cache=True) == 0


@pytest.mark.parametrize("library", ONE_FILE)
def test_each_library_has_one_place(library: str) -> None:
    """What can be exchanged is known in one place only; a name that ends with / is a folder."""
    place = ONE_FILE[library]
    users = _users(library)
    assert users, f"nobody imports {library}"
    assert {
        user for user in users if not (user == place or (place[-1] == "/" and user.startswith(place)))
    } == set()


def test_policies_do_not_know_the_configuration() -> None:
    """Configuration builds policies; only the command line, which wires both, reads it."""
    knows = defaultdict(set)
    for path in SOURCES:
        for node in ast.walk(_tree(path)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pipeline.config"):
                knows[_name(path).partition("/")[0]].add(_name(path))
    assert set(knows) <= {"cli", "config"}


EACH_ALONE = """\
import importlib, os, sys, warnings
for library in sys.argv[1].split(","):
    importlib.import_module(library)
warnings.simplefilter("error")
for module in sys.argv[2:]:
    child = os.fork()
    if not child:
        try:
            importlib.import_module(module)
            os._exit(0)
        except BaseException as fault:
            print(f"{module}: {fault!r}", flush=True)
            os._exit(1)
    os.waitpid(child, 0)
"""


def test_every_module_can_be_imported_first() -> None:
    """Each in a process that has seen no other of ours, with warnings as errors: no order hides a knot."""
    paths = (path.relative_to(REPOSITORY).with_suffix("") for path in SOURCES if path.stem != "__main__")
    modules = [".".join(path.parts).removesuffix(".__init__") for path in paths]
    done = subprocess.run(
        [sys.executable, "-c", EACH_ALONE, ",".join(ONE_FILE), *modules],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


FOR_A_SERVER = {  # alone may load what is of one
    "pipeline.delivery.engine_shared": "the queue that several hosts share",
    "pipeline.store.planning_beside": "a table that only a server makes",
}
OF_A_SERVER = ("sqlalchemy.dialects.postgresql", "psycopg", "procrastinate")


def test_a_store_in_a_file_loads_nothing_of_a_server() -> None:
    """What speaks to one is loaded when there is one: it takes time and memory of every start."""
    paths = (path.relative_to(REPOSITORY).with_suffix("") for path in SOURCES if path.stem != "__main__")
    modules = {".".join(path.parts).removesuffix(".__init__") for path in paths} - set(FOR_A_SERVER)
    code = (
        "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)\nprint(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *sorted(modules)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
    )
    assert [name for name in done.stdout.split() if name.startswith(OF_A_SERVER)] == []


# -- time, chance, words


def test_only_the_clock_knows_the_time() -> None:
    """Tests move it by hand."""
    users = {_name(path) for path in SOURCES if TIME_AND_CHANCE & set(_calls(_tree(path)))}
    assert users == set(READS_THE_CLOCK)


def test_only_the_clock_throws_dice() -> None:
    """So that a test can load them."""
    users = {_name(path) for path in SOURCES if CHANCE & set(_imports(_tree(path)))}
    assert users == set(READS_THE_CLOCK)


def test_only_one_file_writes_to_the_terminal() -> None:
    """Streams that fail, colours and encodings are handled there."""
    assert {_name(path) for path in SOURCES if "print" in set(_calls(_tree(path)))} == set(PRINTS)


def test_nothing_shows_local_variables_in_a_traceback() -> None:
    """They hold addresses and passwords."""
    words = re.compile(r"show_locals|capture_locals|cgitb|rich\.traceback|pretty_exceptions_enable=True")
    assert [_name(path) for path in SOURCES if words.search(path.read_text("utf-8"))] == []


def test_nothing_hides_what_the_type_checker_says_without_a_code() -> None:
    """A bare `type: ignore` or `noqa` would hide the next fault too."""
    bare = re.compile(r"# type: ignore(?!\[)|# noqa(?!: [A-Z])")
    assert [_name(path) for path in SOURCES if bare.search(path.read_text("utf-8"))] == []


# -- files


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_every_module_says_what_it_is_for(path: Path) -> None:
    """An empty package file excepted."""
    text = path.read_text("utf-8")
    assert not text or ast.get_docstring(ast.parse(text))


def test_files_keep_to_one_subject() -> None:
    """A file that grows beyond that has two, or a reason; a reason that is not needed any more goes."""
    long = {_name(path) for path in SOURCES if len(path.read_text("utf-8").splitlines()) > LARGEST}
    assert long <= set(LONGER)
    assert set(LONGER) <= {_name(path) for path in SOURCES}


def test_no_file_has_a_name_that_says_nothing() -> None:
    """A file called utils has no subject."""
    nothing = {"utils", "util", "helpers", "common", "base", "core", "manager", "misc"}
    assert {_name(path) for path in SOURCES if path.stem in nothing} == set()


def _written_files() -> list[Path]:
    """Return the files of the repository that people write, whatever their kind."""
    done = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        check=False,
    )
    if done.returncode:
        return [path for path in (*SOURCES, REPOSITORY / "pyproject.toml") if path.is_file()]
    names = done.stdout.decode().split("\0")
    return [path for name in names if name and (path := REPOSITORY / name).is_file()]


def test_nothing_names_the_host_of_a_package_index() -> None:
    """Where packages come from is for whoever installs them to say."""
    hosts = re.compile(r"pyp[i]\.|pythonhoste[d]|anacond[a]\.", re.IGNORECASE)
    named = [
        str(path.relative_to(REPOSITORY))
        for path in _written_files()
        if hosts.search(path.read_bytes().decode("utf-8", "replace")) and path.name != "test_docs.py"
    ]
    assert named == []
