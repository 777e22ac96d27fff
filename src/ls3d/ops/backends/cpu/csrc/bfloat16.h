// Products in bfloat16 with sums in float32, by AVX512-BF16. In rows of A and columns of B, two values that are
// multiplied by the same instruction form a pair: those of depth 2k and 2k + 1.
#pragma once

#include "ls3d.h"
#include "sums.h"

#if defined(__AVX512F__) && defined(LS3D_COMPILES_BFLOAT16)
#include <immintrin.h>
#define LS3D_BFLOAT16 __attribute__((target("avx512bf16")))
#endif

namespace ls3d {
namespace {

using Bfloat16 = uint16_t;
using Pair = int32_t;

inline float widen(Bfloat16 value) {
  const uint32_t bits = uint32_t(value) << 16;
  return load<float>(&bits);
}
inline float widen(float value) { return value; }
inline double widen(double value) { return value; }

// The nearest bfloat16, the even one of two; NaNs stay NaNs.
inline Bfloat16 to_bfloat16(float value) {
  const uint32_t bits = load<uint32_t>(&value);
  const bool is_nan = (bits & 0x7fffffff) > 0x7f800000;
  return Bfloat16((is_nan ? bits | 0x400000 : bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

#ifdef LS3D_BFLOAT16

constexpr bool kHasPairs = true;

// As micro_kernel in gemm.h, of pairs; C has a start.
template <int M, int N, int Row, class F>
LS3D_BFLOAT16 void micro_kernel_of_pairs(const Pair* a, const Pair* b, int64_t ldb, const Sums<float>& c, int64_t depth,
                                         F& between) {
  constexpr int L = lanes<float>();
  __m512 sum[M][N];
#pragma GCC unroll 32
  for (int i = 0; i < M; ++i)
#pragma GCC unroll 2
    for (int j = 0; j < N; ++j) sum[i][j] = load<__m512>(c.start + i * c.start_row + j * L);
  int64_t k = 0;
  const auto step = [&]() __attribute__((always_inline)) LS3D_BFLOAT16 {
    __m512bh row[N];
#pragma GCC unroll 2
    for (int j = 0; j < N; ++j) row[j] = load<__m512bh>(b + j * L);
#pragma GCC unroll 32
    for (int i = 0; i < M; ++i)
#pragma GCC unroll 2
      for (int j = 0; j < N; ++j)
        sum[i][j] = _mm512_dpbf16_ps(sum[i][j], row[j], (__m512bh)_mm512_set1_epi32(load<Pair>(a + i * Row)));
    ++a;
    b += ldb;
  };
  if constexpr (!std::is_same_v<F, Nothing>)
    for (; k + kBetween <= depth; k += kBetween) {
#pragma GCC unroll 1
      for (int i = 0; i < kBetween; ++i) step();
      between();
    }
  for (; k < depth; ++k) step();
#pragma GCC unroll 32
  for (int i = 0; i < M; ++i)
#pragma GCC unroll 2
    for (int j = 0; j < N; ++j) store<__m512>(c.data + i * c.row + j * L, sum[i][j]);
}

// Writes values, rounded to bfloat16.
template <class V>
LS3D_BFLOAT16 inline void store_rounded(Bfloat16* to, V values) {
  if constexpr (sizeof(V) == 64)
    store(to, _mm512_cvtneps_pbh((__m512)values));
  else if constexpr (sizeof(V) == 32)
    store(to, _mm256_cvtneps_pbh((__m256)values));
  else
    store(to, _mm_cvtneps_pbh((__m128)values));
}

#else

constexpr bool kHasPairs = false;

template <int M, int N, int Row, class F>
void micro_kernel_of_pairs(const Pair* a, const Pair* b, int64_t ldb, const Sums<float>& c, int64_t depth, F& between);

#endif

}  // namespace
}  // namespace ls3d
