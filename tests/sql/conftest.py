import os
from pathlib import Path

import pytest

import lakes
from shipped import SQL_BINARY


@pytest.fixture(scope="session")
def engine():
    """The embedded engine, which is not built everywhere."""
    if not SQL_BINARY or not Path(SQL_BINARY).exists():
        reason = f"{SQL_BINARY or 'algotrading-sql'} is not built, or ALGOTRADING_BIN is not set"
        if "ALGOTRADING_TEST_SQL" in os.environ:
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.fixture(scope="session")
def clean(engine, tmp_path_factory):
    """The sample as it is imported. Nobody may write here."""
    return lakes.sample(tmp_path_factory.mktemp("clean"))


@pytest.fixture(scope="session")
def busy(engine, clean, tmp_path_factory):
    """The sample with corrections, refused rows, odd splits and records. Nobody may write here."""
    return lakes.busy(clean, tmp_path_factory.mktemp("busy"))


@pytest.fixture
def lake(clean, tmp_path):
    """The sample, to be made wrong."""
    return lakes.copy(clean, tmp_path / "lake")
