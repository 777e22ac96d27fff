// Vectors as wide as the instruction set, by the compiler's vector extensions (GCC and Clang).
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>

namespace ls3d {
namespace {

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
constexpr int kRows = 12;  // rows of the GEMM's register tile: 12 x 2 sums of 32 registers
#elif defined(__AVX__)
constexpr int kVectorBytes = 32;
constexpr int kRows = 6;  // 6 x 2 sums of 16 registers
#else
constexpr int kVectorBytes = 16;
constexpr int kRows = 6;
#endif

template <class T, int Bytes>
struct VectorOf {
  typedef T type __attribute__((vector_size(Bytes)));
};

template <class T>
using Vector = typename VectorOf<T, kVectorBytes>::type;

template <class V, class T>
inline V load(const T* from) {
  V value;
  __builtin_memcpy(&value, from, sizeof(V));
  return value;
}

template <class V, class T>
inline void store(T* to, V value) {
  __builtin_memcpy(to, &value, sizeof(V));
}

template <class T>
constexpr int lanes() {
  return kVectorBytes / int(sizeof(T));
}

// The sums over all lanes of four vectors.
template <class T>
inline typename VectorOf<T, 4 * sizeof(T)>::type sums_of(const Vector<T> v[4]) {
  using Four = typename VectorOf<T, 4 * sizeof(T)>::type;
  Four part[4];
  for (int k = 0; k < 4; ++k) {
    T lane[lanes<T>() < 4 ? 4 : lanes<T>()] = {};
    store<Vector<T>>(lane, v[k]);
    part[k] = load<Four>(lane);
    for (int i = 4; i < lanes<T>(); i += 4) part[k] += load<Four>(lane + i);
  }
  const Four ab = __builtin_shufflevector(part[0], part[1], 0, 4, 1, 5) +
                  __builtin_shufflevector(part[0], part[1], 2, 6, 3, 7);
  const Four cd = __builtin_shufflevector(part[2], part[3], 0, 4, 1, 5) +
                  __builtin_shufflevector(part[2], part[3], 2, 6, 3, 7);
  return __builtin_shufflevector(ab, cd, 0, 1, 4, 5) + __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
}

constexpr int64_t round_up(int64_t value, int64_t unit) { return (value + unit - 1) / unit * unit; }

struct Free {
  void operator()(void* block) const { std::free(block); }
};

template <class T>
using Buffer = std::unique_ptr<T[], Free>;

// Uninitialised memory on a cache line; null when there is none left.
template <class T>
Buffer<T> allocate(int64_t count) {
  return Buffer<T>(static_cast<T*>(std::aligned_alloc(64, round_up((count > 0 ? count : 1) * sizeof(T), 64))));
}

}  // namespace
}  // namespace ls3d
