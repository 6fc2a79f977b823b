/* Which instruction sets are compiled, and which of them this processor has. */
#ifndef EMLEARN_INSTRUCTIONS_H
#define EMLEARN_INSTRUCTIONS_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define EM_JOIN_(a, b) a##b
#define EM_JOIN(a, b) EM_JOIN_(a, b)
#define EM_INLINE static inline __attribute__((always_inline))
#if defined(__clang__) || __GNUC__ >= 12
#define EM_SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define EM_SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (ivec){__VA_ARGS__})
#endif

#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__)
#define EM_X86 1
enum { EM_N_KNOWN = 3 };
#else
enum { EM_N_KNOWN = 1 };
#endif

static int em_supported(int i)
{
#ifdef EM_X86
    __builtin_cpu_init();
    if (i == 0)
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw");
    if (i == 1) return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
    return i >= 0 && i < EM_N_KNOWN;
}

static int em_chosen = -1;

/* Use the widest supported instruction set from number `first` on. */
static void em_choose(int first)
{
    for (em_chosen = first; em_chosen < EM_N_KNOWN - 1 && !em_supported(em_chosen);) em_chosen++;
}

#endif
