"""No compiled module holds an instruction that its processors may lack: the assembler is asked about each.

A module is disassembled, and what it holds is assembled again for its level alone.  Functions that run only after
the processor was asked for an extension may use this one too.
"""

import platform
import re
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest

import rnnkit

LEVELS = {"baseline": "generic64"}
LEVELS["v3"] = f"{LEVELS['baseline']}+sse4.2+popcnt+avx2+fma+bmi+bmi2+f16c+lzcnt+movbe"
LEVELS["v4"] = f"{LEVELS['v3']}+avx512f+avx512bw+avx512cd+avx512dq+avx512vl"
GUARDED = {
    "rnnkit_dot": "avx512_bf16",
    "rnnkit_round": "avx512_bf16",
    "rnnkit_zip_rows": "avx512_bf16",
    "rnnkit_sums_vnni": "avx512_vnni",
    "get_available_features": "xsave",  # libgcc's, behind __builtin_cpu_supports
}
"""Function → the extension that its callers ask the processor for."""
SKIPPED = re.compile(r"((data16|cs) )*nop|((bnd|notrack|ds|cs) )*(j\w+|call)\b|endbr64")
"""Padding, jumps and calls, whose targets are addresses, and a mark that older processors pass over."""

MODULES = sorted(Path(rnnkit.__file__).parent.glob("_kernels/_*.so"))


@pytest.fixture(autouse=True)
def binutils():
    if platform.machine().lower() not in ("x86_64", "amd64"):
        pytest.skip("the levels are those of x86-64")
    for tool in ("objdump", "as"):
        if not shutil.which(tool) or "GNU" not in run(tool, "--version").stdout:
            pytest.skip(f"{tool} of the GNU binutils is not there")


def run(*command, text=""):
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False)


def refused(instructions, architecture):
    """Those that the assembler does not know for this architecture."""
    done = run("as", f"-march={architecture}", "-o", "/dev/null", "-", text="\n".join(instructions) + "\n")
    if "invalid -march" in done.stderr:
        pytest.skip(f"this assembler does not know all of {architecture}")
    lines = re.findall(r"^\{standard input\}:(\d+): ", done.stderr, re.MULTILINE)
    assert bool(lines) == (done.returncode != 0), done.stderr
    return [instructions[int(line) - 1] for line in lines]


def disassembled(module):
    """The module's distinct instructions by the extension that guards their functions, "" where none does."""
    found, extension = defaultdict(dict), ""
    for line in run("objdump", "-d", "-w", "--no-show-raw-insn", str(module)).stdout.splitlines():
        if function := re.fullmatch(r"[0-9a-f]+ <([^.>]+).*>:", line):  # a clone has a suffix after a dot
            extension = GUARDED.get(function[1], "")
        elif "\t" in line:
            instruction = re.sub(r"\s*(#.*|<.*>)", "", line.split("\t")[1]).strip()
            if not SKIPPED.match(instruction):
                found[extension][instruction] = None
    return {extension: list(instructions) for extension, instructions in found.items()}


@pytest.mark.parametrize(
    ("instruction", "levels"),
    [
        ("mulps %xmm1,%xmm0", {"baseline", "v3", "v4"}),
        ("vmulps %xmm0,%xmm1,%xmm2", {"v3", "v4"}),
        ("pmaxsd %xmm1,%xmm0", {"v3", "v4"}),
        ("lzcnt %eax,%eax", {"v3", "v4"}),
        ("vfmadd231ps %ymm0,%ymm1,%ymm2", {"v3", "v4"}),
        ("vmulps %zmm0,%zmm1,%zmm2", {"v4"}),
        ("vmulps %ymm0,%ymm1,%ymm20", {"v4"}),
        ("kmovw %k1,%eax", {"v4"}),
        ("vdpbf16ps %zmm0,%zmm1,%zmm2", set()),
        ("vpdpbusd %zmm0,%zmm1,%zmm2", set()),
        ("vpdpbusd %ymm0,%ymm1,%ymm2", set()),
        ("vpopcntd %zmm0,%zmm1", set()),
    ],
)
def test_the_assembler_tells_the_levels_apart(instruction, levels):
    assert {level for level in LEVELS if not refused(["ret", instruction], LEVELS[level])} == levels


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name.split(".")[0])
def test_a_module_holds_no_instruction_beyond_its_level(module):
    level = module.name.split(".")[0].rpartition("_")[2]
    if "no symbols" in run("objdump", "-t", str(module)).stdout:
        pytest.skip(f"{module.name} was stripped of its functions' names")
    found = disassembled(module)
    assert len(found[""]) > 1000
    for extension, instructions in found.items():
        wrong = refused(instructions, LEVELS[level] + (extension and f"+{extension}"))
        assert not wrong, f"{module.name}, guarded for {extension or 'nothing'}: {wrong[:10]} of {len(wrong)}"


@pytest.mark.parametrize(("part", "name"), [("_f32_v4", "rnnkit_dot"), ("_generate_v4", "rnnkit_sums_vnni")])
def test_guarded_functions_hold_what_they_are_guarded_for(part, name):
    built = [module for module in MODULES if module.name.startswith(part)]
    if not built:
        pytest.skip(f"no compiled module {part}")
    assert refused(disassembled(built[0]).get(GUARDED[name], []), LEVELS["v4"])
