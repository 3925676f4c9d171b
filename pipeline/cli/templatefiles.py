"""The files below templates/ that letters are made from, read from the disk.

Only what lies in the campaign's folder is read: a link that leads out of it is a problem, not a template.

Limits: 500 files, four folders deep, a megabyte each.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import BadInput, Unusable
from pipeline.problem import Problem

TEMPLATES = "templates"
LARGEST_TEMPLATE = 1 << 20
MOST_TEMPLATES = 500  # files below templates/
DEEPEST_TEMPLATE = 4  # folders below templates/


def read_templates(root: Path) -> dict[str, str]:
    """Return the texts below templates/ that letters are made from, by their names with "/".

    Raises BadInput for one that cannot be read, and for one that lies elsewhere and is only linked to.
    """
    sources: dict[str, str] = {}
    problems: list[Problem] = []
    inside = root.resolve()
    for path in _below(root / TEMPLATES):
        if path.suffix not in {".md", ".html", ".toml"} or path.name.startswith(".") or not path.is_file():
            continue
        name = path.relative_to(root).as_posix()
        if not path.resolve().is_relative_to(inside):
            message = "this is a link to a file outside of the campaign's folder"
            problems.append(Problem(name, 0, 0, "outside", message, "copy the file into templates/"))
            continue
        if len(sources) >= MOST_TEMPLATES:
            raise Unusable(f"there are more than {MOST_TEMPLATES} files below {root / TEMPLATES}")
        try:
            with path.open("rb") as stream:
                sources[name] = stream.read(LARGEST_TEMPLATE).decode("utf-8-sig").replace("\r\n", "\n")
        except UnicodeDecodeError as fault:
            problems.append(
                Problem(
                    name,
                    0,
                    0,
                    "encoding",
                    f"not UTF-8 (octet {fault.start})",
                    "save it as UTF-8 in your editor",
                )
            )
        except OSError as trouble:
            problems.append(Problem(name, 0, 0, "unreadable", f"cannot be read: {trouble.strerror}"))
    if problems:
        raise BadInput(problems)
    return sources


def _below(folder: Path, depth: int = 0) -> Iterator[Path]:
    """Yield the files of a folder and of those below it, by name; folders with a dot in front are not."""
    for path in _listed(folder):
        if not path.is_dir():
            yield path
        elif depth < DEEPEST_TEMPLATE and not path.name.startswith(".") and not path.is_symlink():
            yield from _below(path, depth + 1)


def _listed(folder: Path) -> list[Path]:
    """Return what a folder holds, by name; nothing where there is none."""
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError:
        return []
    except OSError as trouble:
        raise Unusable(f"{folder} cannot be read: {trouble.strerror}") from None
