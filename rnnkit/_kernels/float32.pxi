# What the kernels call `real` and `vec` in float32.
ctypedef float real
cdef enum:
    LANES = 16  # 64 bytes of real
DTYPE = "float32"

cdef extern from "lanes.h" nogil:
    ctypedef float rnnkit_f32
    ctypedef float vec "rnnkit_f32"  # VL numbers in one register; Cython takes it for one, C knows better
    enum:
        VL "RNNKIT_LANES_F32"
    vec splat "rnnkit_splat_f32"(real a)
    vec vmin "rnnkit_min_f32"(vec a, vec b)
    vec where_above_zero "rnnkit_above_f32"(vec h, vec d)
    vec one_from_half "rnnkit_one_from_half_f32"(vec n, vec d)
    rnnkit_f32 rnnkit_exp_f32(rnnkit_f32 x)
    vec vmax "rnnkit_max_f32"(vec a, vec b)
    real ratio "rnnkit_ratio_float"(real x)
    vec ratio_v "rnnkit_ratio_f32"(vec x)
