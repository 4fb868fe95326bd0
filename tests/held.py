"""What the lanes of test_lanes.py hold; a module of its own, since their processes import it by name."""

import os
import signal
import time

from rnnkit.errors import UsageError


class Held:
    """What the lanes of these tests hold."""

    def __init__(self, start):
        if start < 0:
            raise UsageError("start is at least 0")
        self.count = start

    def step(self):
        self.count += 1
        return self.count

    def process(self):
        return os.getpid()

    def blas(self):
        from threadpoolctl import threadpool_info

        return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]

    def nap(self):
        time.sleep(0.02)

    def fail(self):
        raise ValueError("no such thing")

    def die(self):
        os._exit(3)

    def interrupt(self):
        os.kill(os.getpid(), signal.SIGINT)
        return "still here"


class Surroundings:
    """What a lane finds around it."""

    def environ(self):
        return dict(os.environ)

    def capability(self):
        import torch

        return torch.backends.cpu.get_cpu_capability()
