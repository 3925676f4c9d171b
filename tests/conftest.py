"""What all tests may ask for: a store of either kind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.postgres import POSTGRESQL, SQLITE, stores_are


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that is marked with `tests.postgres.BOTH` with each kind of store."""
    marks = {mark.name for mark in metafunc.definition.iter_markers()}
    if "both_stores" in marks and "file_only" not in marks:
        metafunc.parametrize("store", [SQLITE, POSTGRESQL], indirect=True)


@pytest.fixture(autouse=True)
def store(request: pytest.FixtureRequest) -> Iterator[str]:
    """Keep stores in a file, or where the test asks for it at a server; say which."""
    kind = getattr(request, "param", SQLITE)
    if kind == SQLITE:
        yield kind
        return
    with stores_are(kind):
        yield kind
