/* EM_TILES, once for each instruction set that is compiled, with VL and EM_ISA defined. No include guard. */
#ifdef EM_X86
#pragma GCC push_options
#pragma GCC target("avx512f,avx512dq,avx512vl,avx512bw,fma,avx2")
#define VL 8
#define EM_ISA avx512
#include EM_TILES
#undef VL
#undef EM_ISA
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#define VL 4
#define EM_ISA avx2
#include EM_TILES
#undef VL
#undef EM_ISA
#pragma GCC pop_options
#endif
#define VL 2
#define EM_ISA baseline
#include EM_TILES
#undef VL
#undef EM_ISA
#undef EM_TILES
