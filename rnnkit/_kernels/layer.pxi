# What a module says of itself.


def level():
    """4, 3 or 1: the x86-64 level of processor and operating system (1 on other machines)."""
    return rnnkit_level()


def openmp():
    """Whether this was built with OpenMP."""
    return bool(OPENMP)


def bfloat16():
    """Whether processor and build have products of bfloat16 numbers."""
    return sizeof(real) == 4 and rnnkit_has_bfloat16() != 0
