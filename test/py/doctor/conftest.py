"""Broken components of one test are unknown to every other."""

import pytest


@pytest.fixture(autouse=True)
def forget_what_is_broken(leave_no_names: None) -> None:
    """Every test here may load plugins."""
