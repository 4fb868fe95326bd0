"""Cells × shapes × backends through the kernel contract: inference, and all that a training step asks of a layer."""

import pytest
from threadpoolctl import threadpool_limits

from rnnkit.benchmark import QUICK, REFERENCE, flops
from rnnkit.cells import CELLS, get_cell
from rnnkit.contestants import WORKS, KernelRun, check_equal, make_problem


@pytest.mark.parametrize("work", WORKS)
@pytest.mark.parametrize("shape", QUICK, ids=lambda shape: "x".join(map(str, shape)))
@pytest.mark.parametrize("cell", CELLS)
def test_kernels(benchmark, cell, shape, work, backend, threads):
    problem = make_problem(cell, shape)
    benchmark.group = f"{cell} {work} B T I H = {shape}"
    benchmark.extra_info["flops"] = flops(get_cell(cell), shape, work)
    with threadpool_limits(threads, user_api="blas"):
        run = KernelRun(backend, problem, threads)
        benchmark(getattr(run, work))
        if backend != REFERENCE:
            check_equal(backend, run.results(), KernelRun(REFERENCE, problem, threads).results(), str(shape))
