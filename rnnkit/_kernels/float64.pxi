# What the kernels call `real` and `vec` in float64.
ctypedef double real
cdef enum:
    LANES = 8  # 64 bytes of real
DTYPE = "float64"

cdef extern from "lanes.h" nogil:
    ctypedef float rnnkit_f32
    ctypedef double vec "rnnkit_f64"  # VL numbers in one register; Cython takes it for one, C knows better
    enum:
        VL "RNNKIT_LANES_F64"
    vec splat "rnnkit_splat_f64"(real a)
    vec vmin "rnnkit_min_f64"(vec a, vec b)
    vec where_above_zero "rnnkit_above_f64"(vec h, vec d)
    vec one_from_half "rnnkit_one_from_half_f64"(vec n, vec d)
    rnnkit_f32 rnnkit_exp_f32(rnnkit_f32 x)
    vec vmax "rnnkit_max_f64"(vec a, vec b)
    real ratio "rnnkit_ratio_double"(real x)
    vec ratio_v "rnnkit_ratio_f64"(vec x)
