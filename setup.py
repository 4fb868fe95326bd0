"""The compiled kernels: which extensions, with which flags; everything else is in pyproject.toml.

RNNKIT_NO_EXT=1 builds none; RNNKIT_REQUIRE_EXT=1 makes a failed build an error.  Otherwise a build that
fails is reported in one sentence and rnnkit installs without: the Numba backend runs then.
"""

import os
import platform
import sys
import tempfile
from pathlib import Path
from textwrap import shorten

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

REQUIRED = os.environ.get("RNNKIT_REQUIRE_EXT") == "1"
FLAGS = [
    "-O3",  # vectorises and unrolls the tiles
    "-fno-math-errno",  # sqrt and tanh need not set errno
    "-fno-trapping-math",  # lets a clamp be one min or max; NaN still passes
    "-ffp-contract=fast",  # a*b + c is one fused operation
    "--param=max-completely-peel-times=7",  # else gcc unrolls 16 lanes before they can become one register
    "-fno-loop-interchange",  # gcc 12 would swap rows and K in some tiles: their sums leave the registers
    "-g0",  # small files
]
LEVELS = {"baseline": []}
if platform.machine().lower() in ("x86_64", "amd64"):
    LEVELS["baseline"] = ["-march=x86-64"]  # some systems' compilers begin above it
    LEVELS["v3"] = ["-march=x86-64-v3"]
    LEVELS["v4"] = ["-march=x86-64-v4", "-mprefer-vector-width=512"]  # gcc would use half of each register
# Every `cdef inline` is inlined: a tile is written once and specialised by the constants it is called with.
MACROS = [("CYTHON_INLINE", "inline __attribute__((always_inline))")]
DIRECTIVES = {"boundscheck": False, "wraparound": False, "cdivision": True, "initializedcheck": False}


class BuildKernels(build_ext):
    """Builds in parallel with the flags that this compiler knows, and gives up politely."""

    def finalize_options(self):
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count()
        self.failed = []

    def build_extensions(self):
        flags = [flag for flag in FLAGS if self._knows(flag)]
        openmp = ["-fopenmp"] if self._knows("-fopenmp", "#include <omp.h>") else []
        for extension in self.extensions:
            extension.optional = not REQUIRED
            extension.extra_compile_args += flags + openmp
            extension.extra_link_args += openmp
        super().build_extensions()
        if self.failed:
            print(f"rnnkit: {self.failed[0]}; rnnkit works without, on another build or Numba.", file=sys.stderr)

    def build_extension(self, extension):
        try:
            super().build_extension(extension)
        except Exception as error:
            if REQUIRED:
                raise
            self.failed.append(f"{extension.name} could not be compiled ({shorten(str(error), 90)})")

    def _knows(self, flag, include=""):
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "probe.c")
            source.write_text(f"{include}\nint main(void) {{ return 0; }}\n")
            try:
                objects = self.compiler.compile([str(source)], folder, extra_preargs=[flag, "-Werror"])
                self.compiler.link_executable(objects, "probe", folder, extra_preargs=[flag])
            except Exception:
                return False
            return True


def extensions():
    if os.environ.get("RNNKIT_NO_EXT") == "1":
        return []
    from Cython.Build import cythonize

    modules = [
        Extension(
            f"rnnkit._kernels._{part}_{level}",
            [f"rnnkit/_kernels/_{part}_{level}.pyx"],
            define_macros=MACROS,
            extra_compile_args=[*march],
        )
        for level, march in LEVELS.items()
        for part in ("f32", "f64", "ops_f32", "ops_f64", "machine", "generate")
    ]
    return cythonize(modules, language_level=3, compiler_directives=DIRECTIVES, nthreads=os.cpu_count() or 1)


setup(ext_modules=extensions(), cmdclass={"build_ext": BuildKernels})
