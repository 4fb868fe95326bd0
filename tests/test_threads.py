"""How many threads there are, and where they run."""

from __future__ import annotations

import os
import threading
import time

import pytest

from rnnkit.errors import UsageError
from rnnkit.nn import threads


def test_available_threads_are_within_what_the_process_may_use():
    assert 1 <= threads.available() <= (os.cpu_count() or 1)
    assert threads.resolve("auto") == threads.available()
    assert threads.resolve(3) == threads.resolve("3") == 3


@pytest.mark.parametrize("wrong", [0, -1, "many", 1.5, ""])
def test_numbers_of_threads_are_checked(wrong):
    with pytest.raises(UsageError, match="threads is auto or a whole number"):
        threads.resolve(wrong if isinstance(wrong, str) else str(wrong))


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="needs Linux")
def test_threads_kept_apart_are_free_again_afterwards():
    allowed, seen, done = os.sched_getaffinity(0), [], threading.Event()

    def wait():
        seen.append(threading.get_native_id())
        done.wait(10)

    other = threading.Thread(target=wait)
    other.start()
    while not seen:
        time.sleep(0.001)
    with threads.apart() as part:
        part()
        assert os.sched_getaffinity(seen[0]) <= allowed
        assert len(os.sched_getaffinity(seen[0])) >= len(allowed) - 1
    assert os.sched_getaffinity(seen[0]) == allowed == os.sched_getaffinity(0)
    done.set()
    other.join()


def test_one_blas_thread_inside_and_as_before_outside():
    from threadpoolctl import threadpool_info

    def pools():
        return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]

    before = pools()
    with threads.single_blas():
        assert set(pools()) <= {1}
    assert pools() == before
