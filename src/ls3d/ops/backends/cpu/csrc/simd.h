// Vectors of the instruction set's full width, by the compiler's vector extensions (GCC and Clang), and aligned memory.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <type_traits>
#include <utility>

#ifdef __AVX__
#include <immintrin.h>
#endif
#ifdef __linux__
#include <sys/mman.h>
#endif
#ifdef _WIN32
#include <malloc.h>
#endif

namespace ls3d {
namespace {

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
constexpr int kRows = 12;  // rows of the GEMM's register tile: 12 x 2 of the 32 vector registers hold sums
#elif defined(__AVX__)
constexpr int kVectorBytes = 32;
constexpr int kRows = 6;  // 6 x 2 of the 16 vector registers hold sums
#else
constexpr int kVectorBytes = 16;
constexpr int kRows = 6;
#endif

// What gemm calls by default after every kBetween steps.
struct Nothing {
  void operator()() const {}
};
constexpr int kBetween = 4;

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

// Integers as wide as T: what a comparison of vectors of T gives, all bits set where it is true.
template <class T>
using Integer = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;

template <class T>
using Integers = Vector<Integer<T>>;

// `count` elements; zeros follow if a vector holds more.
template <class T>
inline Vector<T> load_some(const T* from, int64_t count) {
  constexpr int L = lanes<T>();
  if (count >= L) return load<Vector<T>>(from);
#ifdef __AVX512F__
  if constexpr (sizeof(T) == 4)
    return (Vector<T>)_mm512_maskz_loadu_ps(__mmask16((1u << count) - 1), from);
  else
    return (Vector<T>)_mm512_maskz_loadu_pd(__mmask8((1u << count) - 1), from);
#else
  Vector<T> value = {};
  for (int i = 0; i < L; ++i)
    if (i < count) value[i] = from[i];
  return value;
#endif
}

template <class T>
inline Vector<T> to_real(Integers<T> value) {
  return __builtin_convertvector(value, Vector<T>);
}

// Values towards zero; they must be in the range of an int32_t.
template <class T>
inline Integers<T> to_integers(Vector<T> value) {
  return __builtin_convertvector(value, Integers<T>);
}

// The largest integers that aren't above the values, which must be in the range of an int32_t.
template <class T>
inline Vector<T> round_down(Vector<T> value) {
#ifdef __AVX512F__
  constexpr int kDown = _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC;  // of all lanes: without a mask, GCC 12 warns
  if constexpr (sizeof(T) == 4)
    return (Vector<T>)_mm512_maskz_roundscale_ps(0xffff, (__m512)value, kDown);
  else
    return (Vector<T>)_mm512_maskz_roundscale_pd(0xff, (__m512d)value, kDown);
#elif defined(__AVX__)
  if constexpr (sizeof(T) == 4)
    return (Vector<T>)_mm256_floor_ps((__m256)value);
  else
    return (Vector<T>)_mm256_floor_pd((__m256d)value);
#else
  const Integers<T> truncated = to_integers<T>(value);
  return to_real<T>(truncated + (value < to_real<T>(truncated)));
#endif
}

// The nearest values in [low, high]; low for NaNs.
template <class T>
inline Vector<T> clamp(Vector<T> value, Vector<T> low, Vector<T> high) {
#ifdef __AVX512F__
  if constexpr (sizeof(T) == 4)
    return (Vector<T>)_mm512_maskz_min_ps(0xffff, _mm512_maskz_max_ps(0xffff, (__m512)value, (__m512)low),
                                          (__m512)high);
  else
    return (Vector<T>)_mm512_maskz_min_pd(0xff, _mm512_maskz_max_pd(0xff, (__m512d)value, (__m512d)low), (__m512d)high);
#elif defined(__AVX__)
  if constexpr (sizeof(T) == 4)
    return (Vector<T>)_mm256_min_ps(_mm256_max_ps((__m256)value, (__m256)low), (__m256)high);
  else
    return (Vector<T>)_mm256_min_pd(_mm256_max_pd((__m256d)value, (__m256d)low), (__m256d)high);
#else
  value = value > low ? value : low;
  return value < high ? value : high;
#endif
}

template <class T>
inline void store_integers(int32_t* to, Integers<T> value) {
  if constexpr (sizeof(T) == 4)
    store(to, value);
  else
    store(to, __builtin_convertvector(value, typename VectorOf<int32_t, kVectorBytes / 2>::type));
}

template <class T>
using Four = typename VectorOf<T, 4 * int(sizeof(T))>::type;

#if defined(__clang__) || __GNUC__ >= 12
#define LS3D_SHUFFLE(...) __builtin_shufflevector(__VA_ARGS__)
#else
// For compilers without the built-in function, and slower.
template <class V, class... Places>
inline auto shuffle(V a, V b, Places... places) {
  using T = std::remove_reference_t<decltype(a[0])>;
  constexpr int count = sizeof(V) / sizeof(T);
  const int place[] = {places...};
  typename VectorOf<std::remove_const_t<T>, int(sizeof...(places) * sizeof(T))>::type value = {};
  for (int i = 0; i < int(sizeof...(places)); ++i) value[i] = place[i] < count ? a[place[i]] : b[place[i] - count];
  return value;
}
#define LS3D_SHUFFLE(...) shuffle(__VA_ARGS__)
#define LS3D_SHUFFLES_ARE_SLOW
#endif

// Element K of each group of Size elements, in all lanes of the group.
template <int Size, int K, class V, int... Lane>
inline V spread(V v, std::integer_sequence<int, Lane...>) {
  return LS3D_SHUFFLE(v, v, (Lane / Size * Size + K)...);
}

// Four partial sums of a vector's lanes. By shuffles: storing the vector and reading its elements stalls.
template <class T>
inline Four<T> fold_to_four(Vector<T> v) {
  if constexpr (lanes<T>() == 16) {
    const auto half = LS3D_SHUFFLE(v, v, 0, 1, 2, 3, 4, 5, 6, 7) + LS3D_SHUFFLE(v, v, 8, 9, 10, 11, 12, 13, 14, 15);
    return LS3D_SHUFFLE(half, half, 0, 1, 2, 3) + LS3D_SHUFFLE(half, half, 4, 5, 6, 7);
  } else if constexpr (lanes<T>() == 8) {
    return LS3D_SHUFFLE(v, v, 0, 1, 2, 3) + LS3D_SHUFFLE(v, v, 4, 5, 6, 7);
  } else if constexpr (lanes<T>() == 4) {
    return v;
  } else {
    return Four<T>{v[0], v[1], T(0), T(0)};
  }
}

// The sums over all lanes of each of four vectors.
template <class T>
inline Four<T> sums_of(Four<T> a, Four<T> b, Four<T> c, Four<T> d) {
  const Four<T> ab = LS3D_SHUFFLE(a, b, 0, 4, 1, 5) + LS3D_SHUFFLE(a, b, 2, 6, 3, 7);
  const Four<T> cd = LS3D_SHUFFLE(c, d, 0, 4, 1, 5) + LS3D_SHUFFLE(c, d, 2, 6, 3, 7);
  return LS3D_SHUFFLE(ab, cd, 0, 1, 4, 5) + LS3D_SHUFFLE(ab, cd, 2, 3, 6, 7);
}
template <class T>
inline Four<T> sums_of(const Vector<T> v[4]) {
  return sums_of<T>(fold_to_four<T>(v[0]), fold_to_four<T>(v[1]), fold_to_four<T>(v[2]), fold_to_four<T>(v[3]));
}

constexpr int64_t round_up(int64_t value, int64_t unit) { return (value + unit - 1) / unit * unit; }

#ifdef _WIN32
inline void* allocate_aligned(int64_t unit, int64_t bytes) { return _aligned_malloc(bytes, unit); }
inline void free_aligned(void* block) { _aligned_free(block); }
#else
inline void* allocate_aligned(int64_t unit, int64_t bytes) { return std::aligned_alloc(unit, bytes); }
inline void free_aligned(void* block) { std::free(block); }
#endif

struct Free {
  void operator()(void* block) const { free_aligned(block); }
};

template <class T>
using Buffer = std::unique_ptr<T[], Free>;

// Uninitialized memory that starts on a cache line; null if there isn't enough. Blocks of at least kLarge bytes (a few
// huge pages) ask for huge pages: the page faults of thousands of small ones can take as long as the computation.
template <class T>
Buffer<T> allocate(int64_t count) {
  constexpr int64_t kLine = 64, kHugePage = 2 << 20, kLarge = 8 << 20;
  const int64_t bytes = (count > 0 ? count : 1) * int64_t(sizeof(T)), unit = bytes < kLarge ? kLine : kHugePage;
  void* block = allocate_aligned(unit, round_up(bytes, unit));
#ifdef MADV_HUGEPAGE
  if (block && unit == kHugePage) (void)madvise(block, round_up(bytes, unit), MADV_HUGEPAGE);  // a hint
#endif
  return Buffer<T>(static_cast<T*>(block));
}

}  // namespace
}  // namespace ls3d
