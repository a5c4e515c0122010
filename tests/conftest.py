"""Makes ``tests`` a package that every test can import from, wherever pytest is started."""

import gc
import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.left_out import *  # noqa: F403

os.environ.setdefault("NETS_TRACEBACK", "full")  # who tests nets wants to see where it fails

# A shell lets what it starts in the background ignore Ctrl-C; tests send it.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# No test depends on chance or on how fast the machine is.
settings.register_profile(
    "nets", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("nets")

# The tests themselves are some hundred thousand objects, which live to the end: to look through
# them for garbage again and again would take a tenth of the time.
gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.set_threshold(30_000, 20, 50)
    gc.enable()


ROADS = ("c", "python")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that is marked ``both_roads`` runs with the extension ``nets._dispatch`` and without:
    what it traces and compiles is called by that road. ``one_road`` is for a test of such a file
    that takes long and says nothing about calls."""
    marker = metafunc.definition.get_closest_marker
    if marker("both_roads") is not None and marker("one_road") is None:
        metafunc.fixturenames.append("road")
        metafunc.parametrize("road", ROADS, indirect=True)


@pytest.fixture
def road(request: pytest.FixtureRequest) -> Iterator[str]:
    """The road of calls in this test."""
    from nets.extension import in_use, set_aside

    if request.param == "c":
        if not in_use():
            pytest.skip("the extension is not there")
        yield "c"
        return
    with set_aside():
        yield "python"
