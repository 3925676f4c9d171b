"""What every acceptance test gets: no command outlives the test that started it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.campaign_folder import stop_what_was_started


@pytest.fixture(autouse=True, scope="module")
def _no_command_stays_behind() -> Iterator[None]:
    """Stop what the module's tests left running."""
    yield
    stop_what_was_started()
