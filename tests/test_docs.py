"""The documents hold to the code: what they name (commands, keys, codes, files) exists as they say."""

from __future__ import annotations

import ast
import inspect
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

import pipeline
from pipeline.cli.app import app
from pipeline.config import read_config, sample_config
from pipeline.config.model import TABLES, LimitsTable, Table
from pipeline.delivery import sandbox, verdict
from pipeline.delivery.letter import State
from pipeline.delivery.limits import Pace, Quota, show_limit
from pipeline.delivery.relay import PRESETS, RelayAddress
from pipeline.delivery.retry import Schedule, show_schedule
from pipeline.errors import PRECEDENCE, ExitCode
from pipeline.letters import frontmatter
from pipeline.recipients import columns
from pipeline.store.world import WorldName, name_of

ROOT = Path(__file__).resolve().parent.parent
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [ROOT / "README.md", *DOCS]
ALL_PAGES = [*PAGES, ROOT / "CHANGELOG.md"]
SET_UP = ["pip install -e . && campaign send", "pip install -e '.[test]' && pytest"]
UV_TWINS = ["uv run campaign send", "uv run --extra test pytest"]
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
HELP = {"-h", "--help"}
KEY_PAGE = ROOT / "docs" / "campaign-toml.md"


# --- reading pages --------------------------------------------------------------------------------


@cache
def text_of(page: Path) -> str:
    """Return a page's text."""
    return page.read_text("utf-8")


def blocks(page: Path, language: str | None = None) -> list[str]:
    """Return the fenced blocks of a page, all or those in one language."""
    return [
        textwrap.dedent(body)
        for _, named, body in FENCE.findall(text_of(page))
        if language is None or named == language
    ]


def prose(page: Path) -> str:
    """Return a page without its fenced blocks."""
    return FENCE.sub("", text_of(page))


def spans(page: Path) -> list[str]:
    """Return the inline code of a page, line breaks as spaces."""
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose(page))]


def tables(page: Path) -> list[list[list[str]]]:
    """Return the tables of a page: rows of cells, the head first and the dashes left out."""
    found: list[list[list[str]]] = []
    inside = False
    for line in prose(page).splitlines():
        if not line.startswith("|"):
            inside = False
            continue
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]
        if not inside:
            found.append([])
            inside = True
        if not all(re.fullmatch(r":?-+:?", cell) for cell in cells):
            found[-1].append(cells)
    return found


def shell_words(text: str) -> list[str]:
    """Return the words of one line of shell; what shlex cannot read is split at spaces."""
    try:
        return shlex.split(text, comments=True)
    except ValueError:
        return text.split()


def campaign_calls(page: Path) -> Iterator[list[str]]:
    """Yield the arguments of every call of `campaign` in a page's blocks and inline code."""
    lines = [line for body in blocks(page) for line in body.splitlines()]
    lines = [line for line in lines if re.match(r"(\S+ )?campaign |.*(&&|run|/bin/campaign) ", line)]
    for text in (*lines, *spans(page)):
        words = shell_words(text)
        for index, word in enumerate(words):
            if (word == "campaign" or word.endswith("/bin/campaign")) and index + 1 < len(words):
                yield list(_until_the_next(words[index + 1 :]))
                break


def _until_the_next(words: list[str]) -> Iterator[str]:
    for word in words:
        if word in {"&&", "|", ";", "#", "..."}:
            return
        yield word.rstrip(",;")


# --- the command line as it is --------------------------------------------------------------------


@cache
def root_command() -> Any:
    """Return the program's command line; Typer's classes have no public names."""
    return get_command(app)


@cache
def commands() -> dict[tuple[str, ...], Any]:
    """Return every command by its path: ("send",), ("suppress", "list")."""
    found: dict[tuple[str, ...], Any] = {}

    def walk(group: Any, path: tuple[str, ...]) -> None:
        for name, command in group.commands.items():
            found[(*path, name)] = command
            if hasattr(command, "commands"):
                walk(command, (*path, name))

    walk(root_command(), ())
    return found


def options(command: Any) -> dict[str, Any]:
    """Return a command's options by every name they have."""
    return {
        name: parameter
        for parameter in command.params
        if parameter.param_type_name == "option"
        for name in (*parameter.opts, *parameter.secondary_opts)
    }


def takes_value(option: Any) -> bool:
    """Say whether a word follows the option."""
    return not (option.is_flag or option.count)


def faults_of_call(words: list[str]) -> list[str]:
    """Return what in a written call of `campaign` does not exist."""
    every = commands()
    command = root_command()
    path: tuple[str, ...] = ()
    faults, waiting = [], list(words)
    while waiting:
        word = waiting.pop(0)
        if word.startswith("-") and word != "-":
            name, _, value = word.partition("=")
            option = options(command).get(name)
            if option is None and name not in HELP:
                faults.append(f"{name} is no option of `{' '.join(('campaign', *path))}`")
            elif option is not None and takes_value(option) and not value and waiting:
                waiting.pop(0)
        elif hasattr(command, "commands"):
            path = (*path, word)
            if path not in every:
                return [*faults, f"there is no command `{' '.join(('campaign', *path))}`"]
            command = every[path]
    return faults


# --- commands and options -------------------------------------------------------------------------


@pytest.mark.parametrize("page", ALL_PAGES, ids=lambda page: page.name)
def test_every_written_call_of_campaign_exists(page: Path) -> None:
    """Commands and options that a page shows are those of the program."""
    calls = [call for call in campaign_calls(page) if call]
    assert [fault for call in calls for fault in faults_of_call(call)] == []


@pytest.mark.parametrize("page", ALL_PAGES, ids=lambda page: page.name)
def test_every_option_named_alone_exists(page: Path) -> None:
    """An option in inline code without its command is one of some command, or of a tool that is named."""
    known = {name for command in (root_command(), *commands().values()) for name in options(command)} | HELP
    known |= {"--user", "--extra"}  # systemctl's and uv's
    named = {
        word.partition("=")[0].rstrip(",.;:")
        for span in spans(page)
        for word in span.split()
        if re.match(r"--?[a-z]", word) and not re.match(r"(mutt|sqlite3|chmod|cp|python3|pip|tar)\b", span)
    }
    assert named - known == set()


def test_the_reader_of_calls_finds_what_does_not_exist() -> None:
    """The test above is able to fail."""
    assert faults_of_call(["snd"]) == ["there is no command `campaign snd`"]
    assert faults_of_call(["send", "--turbo"]) == ["--turbo is no option of `campaign send`"]
    assert faults_of_call(["-C", "DIR", "suppress", "burn"]) == [
        "there is no command `campaign suppress burn`"
    ]
    assert faults_of_call(["send", "--limit", "3", "--yes"]) == []


@pytest.mark.parametrize("path", sorted(commands()), ids=" ".join)
def test_every_command_is_documented(path: tuple[str, ...]) -> None:
    """Each command of the program stands in the README or in docs, as it is typed."""
    shown = {
        tuple(word for word in call if not word.startswith("-"))
        for page in PAGES
        for call in campaign_calls(page)
    }
    assert any(call[: len(path)] == path for call in shown), (
        f"`campaign {' '.join(path)}` is documented nowhere"
    )


def test_every_command_has_help() -> None:
    """`--help` says of each command and each of its options what it does."""
    silent = [" ".join(path) for path, command in commands().items() if not command.help]
    silent += [
        f"{' '.join(path)} {option.opts[0]}"
        for path, command in commands().items()
        for option in options(command).values()
        if not option.help
    ]
    assert silent == []


# --- set-up ---------------------------------------------------------------------------------------


def test_the_readme_has_exactly_two_set_up_commands() -> None:
    """One installs and sends the sample, one installs and tests; each with its twin for uv."""
    lines = [line.strip() for body in blocks(ROOT / "README.md", "sh") for line in body.splitlines()]
    assert [line for line in lines if line.startswith("pip ")] == SET_UP
    assert [span for span in spans(ROOT / "README.md") if span.startswith("uv ")] == UV_TWINS
    assert not [line for line in lines if re.match(r"(uv|make|sudo|apt|git|python3?) ", line)]


def test_no_page_names_a_package_index() -> None:
    """Where packages come from is the reader's affair."""
    hosts = re.compile(
        r"py[p]i\.|pythonh[o]sted|--index-url|--extra-index|c[o]nda\.|anac[o]nda", re.IGNORECASE
    )
    assert [page.name for page in ALL_PAGES if hosts.search(text_of(page))] == []


def test_the_changelog_names_the_version() -> None:
    """Its newest entry is the version of pyproject.toml."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert re.findall(r"^## \[([^\]]+)\]", text_of(ROOT / "CHANGELOG.md"), re.MULTILINE)[0] == version


# --- exit codes and states ------------------------------------------------------------------------


def exit_code_words() -> dict[int, str]:
    """Return the words of the table in `--help`, in its order."""
    return {
        int(code): words
        for code, words in re.findall(r"^ +(\d+)  (.+)$", root_command().epilog, re.MULTILINE)
    }


def test_the_exit_code_table_of_the_readme_is_the_programs() -> None:
    """Same codes, same order of precedence, same words as `--help`."""
    rows = next(table for table in tables(ROOT / "README.md") if table[0] == ["code", "meaning"])[1:]
    assert [(int(code), words) for code, words in rows] == list(exit_code_words().items())
    assert [int(code) for code, _ in rows] == [int(code) for code in PRECEDENCE]
    assert {int(code) for code, _ in rows} == {int(code) for code in ExitCode}


def test_states_md_tells_every_state_in_the_words_of_the_code() -> None:
    """The table of states has the eight states, in the order of `State`."""
    rows = next(table for table in tables(ROOT / "docs" / "states.md") if table[0][0] == "state")[1:]
    assert [row[0].strip("`") for row in rows] == [str(state) for state in State]


def verdict_table() -> str:
    """Return the table in the docstring of `pipeline.delivery.verdict`."""
    table = re.search(r"^    answer .*?(?=^\S)", inspect.getdoc(verdict) or "", re.DOTALL | re.MULTILINE)
    assert table is not None
    return textwrap.dedent(table[0]).strip()


def test_states_md_shows_the_verdict_table_of_the_code() -> None:
    """The block is the table of `pipeline/delivery/verdict.py`, line for line; UPDATE_DOCS=1 writes it."""
    page = ROOT / "docs" / "states.md"
    shown = next(body for body in blocks(page) if body.startswith("answer ")).strip()
    if os.environ.get("UPDATE_DOCS"):
        page.write_text(text_of(page).replace(shown, verdict_table()), "utf-8")
        text_of.cache_clear()
        shown = verdict_table()
    assert shown.splitlines() == verdict_table().splitlines()


def test_states_md_names_every_verdict_word() -> None:
    """Every word that `campaign show` may print about an attempt is explained."""
    words = {value.word for value in vars(verdict).values() if isinstance(value, verdict.Verdict)}
    assert words - set(spans(ROOT / "docs" / "states.md")) == set()


# --- campaign.toml --------------------------------------------------------------------------------


def key_page() -> str:
    """Return docs/campaign-toml.md as the fields of `pipeline.config.model` have it."""
    out = [
        "# campaign.toml, key by key",
        "",
        "Made from the fields of `pipeline/config/model.py` by `UPDATE_DOCS=1 pytest tests/test_docs.py`.",
        "`campaign init` writes a file with all of it as comments. Any key can be overridden for one run:",
        "`campaign --set relay.connections=1 send`. A key that is not here is an error.",
    ]
    for name, model in TABLES.items():
        out += ["", f"## [{name}]", "", (model.__doc__ or "").strip(), "", *_key_table(model)]
        if model is LimitsTable:
            out += [
                "",
                '`[limits.domain]` is a table of its own, a line for each domain: `"gmail.com" = "20/h"`.',
                "A pace (`N/s`, `N/m`, `N/5m`) spaces letters evenly: never more than N in any such time.",
                "A quota (`N/h`, `N/6h`, `N/day`) is counted over a rolling window, across runs.",
            ]
    return "\n".join([*out, ""])


def _key_table(model: type[Table]) -> Iterator[str]:
    yield "| key | default | value | what it says |"
    yield "|---|---|---|---|"
    for key, field in model.model_fields.items():
        extra: Any = field.json_schema_extra
        default = "required" if field.is_required() else _default(field.default)
        value = extra["unit"] or (f"`{extra['sample']}`" if extra["sample"] else "")
        yield f"| `{key}` | {default} | {_cell(value)} | {_cell(field.description or '')} |"


def _cell(text: str) -> str:
    """Return text for a cell of a Markdown table."""
    return text.replace("|", "\\|").replace("<", "\\<")


def _default(value: object) -> str:
    """Return a default as it is written in the file."""
    match value:
        case None | () | {}:
            return "none"
        case bool():
            return f"`{str(value).lower()}`"
        case Pace() | Quota():
            return f'`"{show_limit(value)}"`'
        case Schedule():
            return f'`"{show_schedule(value)}"`'
        case RelayAddress():
            return f'`"{value.kind}:"`'
        case int():
            return f"`{value}`"
        case _:
            return f'`"{value}"`'


def test_the_page_of_keys_is_made_from_the_model() -> None:
    """docs/campaign-toml.md equals what the fields say; UPDATE_DOCS=1 writes it anew."""
    if os.environ.get("UPDATE_DOCS"):
        KEY_PAGE.write_text(key_page(), "utf-8")
        text_of.cache_clear()
    assert text_of(KEY_PAGE) == key_page()


def known_keys() -> set[tuple[str, str]]:
    """Return every (table, key) of campaign.toml."""
    return {(name, key) for name, model in TABLES.items() for key in model.model_fields}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_key_in_a_sample_exists(page: Path) -> None:
    """TOML that a page shows is TOML, and its tables and keys are those of campaign.toml."""
    named = {
        (table, key)
        for body in blocks(page, "toml")
        for table, values in tomllib.loads(body).items()
        for key in values
    }
    assert named - known_keys() == set()


@pytest.mark.parametrize("page", ALL_PAGES, ids=lambda page: page.name)
def test_every_key_named_in_the_text_exists(page: Path) -> None:
    """`limits.day`, `[relay] url` and `key = value` in inline code are keys of campaign.toml."""
    keys = {key for _, key in known_keys()}
    joined = "|".join(TABLES)
    unknown = []
    for span in spans(page):
        dotted = re.match(rf"(?:--set )?({joined})\.(\w+)\b(?!\()", span)
        spaced = re.match(rf"\[({joined})\] (\w+)", span)
        alone = re.match(r"([a-z_]+) = \S", span)
        found = dotted or spaced
        if (
            found
            and not span.endswith((".py", ".csv", ".toml", ".db"))
            and (found[1], found[2]) not in known_keys()
        ):
            unknown.append(span)
        if alone and alone[1] not in keys | {"exclude", "role_ok", *frontmatter.KEYS}:
            unknown.append(span)
    assert unknown == []


@pytest.mark.parametrize("text", [sample_config(key="a-key"), (ROOT / "campaign.toml").read_text("utf-8")])
def test_the_samples_are_read_without_a_word(text: str) -> None:
    """The file `campaign init` writes and the one at the root have no mistake in them."""
    settings, problems = read_config(text, file="campaign.toml", root=ROOT)
    assert settings is not None
    assert problems == []


def test_settings_that_a_comment_offers_are_read_too() -> None:
    """Every "# key = value" of the sample at the root can be taken into use."""
    offered = re.findall(
        r"^# ((?:\[limits\.domain\])|(?:\S+ = .+))$", (ROOT / "campaign.toml").read_text("utf-8"), re.M
    )
    keys = {key for _, key in known_keys()} | {'"gmail.com"'}
    assert [line for line in offered if not line.startswith("[") and line.split(" = ")[0] not in keys] == []


def test_operating_md_has_the_presets_of_the_code() -> None:
    """Each provider with its quota and its pace."""
    rows = next(table for table in tables(ROOT / "docs" / "operating.md") if table[0][0] == "provider")[1:]
    assert rows == [
        [f"`{provider}`", f"`{show_limit(preset.day)}`", f"`{show_limit(preset.pace)}`"]
        for provider, preset in PRESETS.items()
    ]


def table_of(page: Path, head: str) -> list[str]:
    """Return the first column of the table whose head begins with ``head``."""
    rows = next(table for table in tables(page) if table[0][0] == head)[1:]
    return [row[0].strip("`") for row in rows]


def test_operating_md_has_the_columns_and_the_front_matter_of_the_code() -> None:
    """Every known column of the list, and every key of a template's head."""
    page = ROOT / "docs" / "operating.md"
    assert table_of(page, "column") == list(columns.KNOWN)
    assert table_of(page, "front matter") == list(frontmatter.KEYS)


def test_operating_md_has_the_addresses_of_the_sandbox() -> None:
    """The three local parts that show what real relays do."""
    shown = table_of(ROOT / "docs" / "operating.md", "address")
    assert shown == [f"{local}@" for local in (sandbox.DEFERS, sandbox.REFUSES, sandbox.DROPS)]


# --- what the program says ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sample_sent(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The sample campaign in a folder of its own, sent into the sandbox; and what `send -v` said."""
    folder = tmp_path_factory.mktemp("sample") / "may-day"
    folder.mkdir()
    for name in ("campaign.toml", "recipients.csv", "signatories.csv"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "templates", folder / "templates")
    return folder, said(folder, "send", "-v")


def said(folder: Path, *words: str) -> str:
    """Run the program in a folder; return its stdout."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
    environ |= {"HOME": str(folder.parent), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", *words],
        cwd=folder,
        env=environ,
        stdout=subprocess.PIPE,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout


def test_the_readme_shows_what_the_first_send_says(sample_sent: tuple[Path, str]) -> None:
    """The first block of output is the program's own; its last line is said on a terminal only."""
    shown = next(body for body in blocks(ROOT / "README.md", "") if "filed in" in body).splitlines()
    assert shown[:-1] == sample_sent[1].splitlines()
    assert shown[-1].startswith("Next: ")


def test_operating_md_shows_what_print_cron_prints(sample_sent: tuple[Path, str]) -> None:
    """Line for line, with the paths of an example; UPDATE_DOCS=1 writes it anew."""
    page = ROOT / "docs" / "operating.md"
    printed = re.sub(
        r"/\S+( -m pipeline)? -C \S+ run\b",
        "/home/you/.venv/bin/campaign -C /home/you/may-day run",
        said(sample_sent[0], "run", "--print-cron"),
    ).strip()
    shown = next(body for body in blocks(page, "") if "crontab -e" in body).strip()
    if os.environ.get("UPDATE_DOCS"):
        page.write_text(text_of(page).replace(shown, printed), "utf-8")
        text_of.cache_clear()
        shown = printed
    assert shown.splitlines() == printed.splitlines()


def test_operating_md_shows_the_keys_of_status_json(sample_sent: tuple[Path, str]) -> None:
    """The document in the page has the keys that `campaign status --json` has."""
    shown = json.loads(blocks(ROOT / "docs" / "operating.md", "json")[0])
    printed = json.loads(said(sample_sent[0], "status", "--json"))
    assert shown | {"world": "sandbox"} == printed


def test_operating_md_lists_every_file_that_a_send_leaves(sample_sent: tuple[Path, str]) -> None:
    """Whatever lies in .campaign is explained."""
    text = text_of(ROOT / "docs" / "operating.md")
    left = {path.name for path in (sample_sent[0] / ".campaign").iterdir()}
    assert left >= {"sandbox.db", "outbox"}
    assert {name for name in left if f".campaign/{name}" not in text and name != ".gitignore"} == set()


def test_operating_md_names_the_store_of_the_real_world() -> None:
    """The file that must not be deleted is the one the program uses."""
    assert f".campaign/{name_of(WorldName.REAL)}.db" in text_of(ROOT / "docs" / "operating.md")


# --- files and links ------------------------------------------------------------------------------


def anchor(heading: str) -> str:
    """Return the anchor of a heading, as renderers of Markdown make it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("page", ALL_PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    """Links between pages name files, and headings of them, that exist."""
    dead = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if target.startswith("https://"):
            continue
        path, _, part = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        headings = (
            re.findall(r"^#+ (.+)$", text_of(file), re.MULTILINE)
            if file.suffix == ".md" and file.exists()
            else []
        )
        if not file.exists() or (part and part not in map(anchor, headings)):
            dead.append(target)
    assert dead == []


def test_every_page_is_linked_from_the_readme() -> None:
    """Nobody has to guess that a page exists."""
    links = set(re.findall(r"\]\((docs/[^)#]+)\)", text_of(ROOT / "README.md")))
    assert {f"docs/{page.name}" for page in DOCS} == links


PLACES = re.compile(
    r"(?<![\w./-])(?:pipeline|tests|docs|bench|templates|delivery|store|letters|recipients|mail|config|cli|report)/[\w./-]+"
)
MADE_BY_USE = {
    *("templates/letter.en.md", "templates/layout.html", "templates/letter", "templates/confirmed.toml")
}


def places_named(text: str) -> set[str]:
    """Return the paths of this repository that a text names."""
    return {found.rstrip("./") for found in PLACES.findall(text)}


def exists(place: str) -> bool:
    """Say whether a path exists from the root or from the package."""
    return (ROOT / place).exists() or (ROOT / "pipeline" / place).exists() or place in MADE_BY_USE


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_is_named_exists(page: Path) -> None:
    """Paths in inline code and tables are paths of this repository."""
    named = {place for span in spans(page) for place in places_named(span)}
    assert {place for place in named if not exists(place)} == set()


def test_the_layout_of_the_readme_is_the_packages() -> None:
    """Each part of the package is in the drawing, and nothing else."""
    drawing = next(body for body in blocks(ROOT / "README.md") if "\npipeline/" in body)
    drawn = set(re.findall(r"^  (\w+)/ ", drawing, re.MULTILINE))
    assert drawn == {path.parent.name for path in (ROOT / "pipeline").glob("*/__init__.py")}


def test_the_page_of_one_letter_names_files_that_exist() -> None:
    """The package's docstring leads to the files it speaks of, and the module does nothing else."""
    doc = pipeline.__doc__ or ""
    assert len(places_named(doc)) > 15
    assert {place for place in places_named(doc) if not exists(place)} == set()
    tree = ast.parse((ROOT / "pipeline" / "__init__.py").read_text("utf-8"))
    assert len(tree.body) == 1


def test_flow_md_has_the_layers_of_the_import_contract() -> None:
    """Who may import whom is told in the order in which import-linter holds it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    layers = project["tool"]["importlinter"]["contracts"][0]["layers"]
    names = [name for layer in layers for name in re.findall(r"pipeline\.(\w+)", layer)]
    existing = [name for name in names if exists(f"pipeline/{name}") or exists(f"pipeline/{name}.py")]
    drawing = next(body for body in blocks(ROOT / "docs" / "flow.md") if body.startswith("cli"))
    assert re.findall(r"[a-z]+", re.sub(r"  .*", "", drawing, flags=re.MULTILINE)) == existing


def imports_of(file: Path) -> set[str]:
    """Return the top names of the packages a module imports, those for type checkers left out."""
    names = set()
    tree = ast.parse(file.read_text("utf-8"))
    typing_only = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if node in typing_only:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return names


def test_flow_md_says_which_file_imports_which_library() -> None:
    """Each library in the table is imported by the files in its row and by no other."""
    rows = next(table for table in tables(ROOT / "docs" / "flow.md") if table[0][0] == "library")[1:]
    modules = {file: imports_of(file) for file in (ROOT / "pipeline").rglob("*.py")}
    for library, _, where in rows:
        name = library.strip("`")
        users = {str(file.relative_to(ROOT / "pipeline")) for file, names in modules.items() if name in names}
        named = re.findall(r"`([^`]+)`", where)
        strangers = {
            user for user in users if not any(user == place or user.startswith(place) for place in named)
        }
        assert users, f"nobody imports {name}"
        assert strangers == set(), f"{name} is imported elsewhere"


# --- standards ------------------------------------------------------------------------------------


def standards_rows() -> list[list[str]]:
    """Return the rows of every table of docs/standards.md: section, what is done, file, status."""
    return [row for table in tables(ROOT / "docs" / "standards.md") for row in table[1:]]


@pytest.mark.parametrize("row", standards_rows(), ids=lambda row: row[0])
def test_a_standard_that_is_followed_is_cited_where_it_is_followed(row: list[str]) -> None:
    """ "yes" and "partly" name files, which exist and cite that RFC; "partly" and "no" say why."""
    assert len(row) == 4
    section, done, where, status = row
    files = re.findall(r"`([^`]+)`", where)
    word, _, reason = status.partition(":")
    assert word in {"yes", "partly", "no"}
    assert done
    assert bool(reason.strip()) == (word != "yes")
    assert bool(files) == (word != "no")
    for number in re.findall(r"RFC (\d+)", section):
        for name in files:
            cited = (ROOT / "pipeline" / name).read_text("utf-8")
            assert re.search(rf"(RFC\s+|/){number}\b", cited), f"{name} does not cite RFC {number}"


def test_every_rfc_that_the_code_cites_is_in_the_table() -> None:
    """A standard that a docstring names is a standard the page speaks of."""
    page = set(re.findall(r"\b\d{4}\b", " ".join(row[0] for row in standards_rows())))
    cited: dict[str, str] = {}
    for file in (ROOT / "pipeline").rglob("*.py"):
        doc = ast.get_docstring(ast.parse(file.read_text("utf-8"))) or ""
        for number in re.findall(r"RFC\s+(\d{4})", doc):
            cited.setdefault(number, file.name)
    assert {number: name for number, name in cited.items() if number not in page} == {}
