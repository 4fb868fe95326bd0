"""What the suites share: the backends that are here, the threads to use, and the modules of this folder."""

import sys
from pathlib import Path

import pytest

from rnnkit import _kernels
from rnnkit._kernels import BACKENDS
from rnnkit.errors import RnnkitError
from rnnkit.nn.threads import resolve

sys.path.insert(0, str(Path(__file__).parent))


def pytest_addoption(parser):
    parser.addoption("--threads", default="auto", help="threads of every backend: auto or a number")


@pytest.fixture
def threads(request):
    """How many threads a backend may use."""
    return resolve(request.config.getoption("--threads"))


@pytest.fixture(params=BACKENDS)
def backend(request):
    """Each backend, skipped by name where it cannot be loaded."""
    try:
        _kernels.describe(request.param)
    except RnnkitError as error:
        pytest.skip(str(error))
    return request.param
