// Bulk copies and tensor maps: boxes at edges, swizzled rows, stores and sums, and the waits that they need.
#include <cmath>

#include "csrc/cuda/common/numeric.cuh"
#include "csrc/cuda/ptx/ptx_hopper.cuh"
#include "csrc/simt/tests/cases.h"

namespace foretoken::simt::tests {

namespace {

using cuda::Swizzle;
using cuda::TensorElement;
using cuda::TensorMap;
namespace ptx = cuda::ptx;

std::vector<float> numbers(size_t count) {
  std::vector<float> values(count);
  for (size_t i = 0; i < count; ++i) values[i] = static_cast<float>(i + 1);
  return values;
}

// --- the layout of a box in shared memory ---

constexpr int kBoxRows = 16;

__global__ void load_box(const __grid_constant__ TensorMap map, uint32_t* out, int column, int row, int bytes) {
  FORETOKEN_DYNAMIC_SHARED(memory);
  FORETOKEN_SHARED(uint64_t, barrier, );
  if (threadIdx.x == 0) {
    ptx::tensor_prefetch(&map);
    ptx::mbarrier_init(&barrier, 1);
    ptx::fence_mbarrier_init();
    ptx::mbarrier_arrive_expect(&barrier, bytes);
    ptx::tensor_load(memory, &map, column, row, &barrier);
  }
  __syncthreads();
  ptx::mbarrier_wait(&barrier, 0);
  for (int i = threadIdx.x; i < bytes / 4; i += 32) out[i] = reinterpret_cast<const uint32_t*>(memory)[i];
}

// Loads a box, with rows of `row_bytes`, of a matrix `x` of elements of 4 or 2 bytes.
template <typename T>
void run_box(Bench& bench, TensorElement element, const std::vector<T>& x, int columns, int rows, int row_bytes,
             Swizzle swizzle, int column, int row) {
  const int box_columns = row_bytes / static_cast<int>(sizeof(T)), bytes = row_bytes * kBoxRows;
  T* const memory = bench.upload(x);
  const TensorMap map =
      cuda::encode_tensor_map({memory, element, static_cast<uint64_t>(columns), static_cast<uint64_t>(rows),
                               columns * sizeof(T), static_cast<uint32_t>(box_columns), kBoxRows, swizzle});
  auto* const out = bench.allocate<uint32_t>(static_cast<size_t>(bytes / 4));
  bench.launch(load_box, dim3(1), dim3(32), static_cast<size_t>(bytes), map, out, column, row, bytes);
  const auto words = bench.download(out, static_cast<size_t>(bytes / 4));
  const auto* const elements = reinterpret_cast<const T*>(words.data());
  const int pieces = row_bytes / 16, period = swizzle == Swizzle::kNone ? 1 : pieces,
            shared_rows = 8 / (period < 8 ? period : 8);
  for (int r = 0; r < kBoxRows; ++r) {
    for (int c = 0; c < box_columns; ++c) {
      const int piece = c * static_cast<int>(sizeof(T)) / 16, within = c % (16 / static_cast<int>(sizeof(T)));
      const int moved = swizzle == Swizzle::kNone ? piece : piece ^ (r / shared_rows % pieces);
      const bool inside = row + r >= 0 && row + r < rows && column + c >= 0 && column + c < columns;
      const T expected = inside ? x[static_cast<size_t>((row + r) * columns + column + c)] : T{};
      const T found = elements[r * box_columns + moved * (16 / static_cast<int>(sizeof(T))) + within];
      bench.expect(std::memcmp(&found, &expected, sizeof(T)) == 0,
                   "element " + std::to_string(c) + " of row " + std::to_string(r) + " is wrong");
    }
  }
}

CASE("boxes", [](Bench& bench) {
  constexpr int kColumns = 40, kRows = 21;
  const auto floats = numbers(kColumns * kRows);
  std::vector<uint16_t> halves(kColumns * kRows);
  for (size_t i = 0; i < halves.size(); ++i) halves[i] = static_cast<uint16_t>(i + 1);
  const std::pair<int, int> corners[] = {{0, 0}, {16, 5}, {33, 17}, {-3, -2}, {40, 0}};
  for (const auto& [column, row] : corners) {
    const auto both = [&](int row_bytes, Swizzle swizzle) {
      run_box(bench, TensorElement::kFloat32, floats, kColumns, kRows, row_bytes, swizzle, column, row);
      run_box(bench, TensorElement::kBFloat16, halves, kColumns, kRows, row_bytes, swizzle, column, row);
    };
    both(48, Swizzle::kNone);
    both(32, Swizzle::k32Bytes);
    both(64, Swizzle::k64Bytes);
    both(128, Swizzle::k128Bytes);
  }
});

CASE("tensor maps that drivers refuse", [](Bench& bench) {
  float* const x = bench.allocate<float>(1024);
  const auto refused = [&](auto&& change) {
    cuda::TensorShape shape{x, TensorElement::kFloat32, 32, 32, 128, 32, 8, Swizzle::k128Bytes};
    change(shape);
    try {
      cuda::encode_tensor_map(shape);
      return false;
    } catch (const cuda::CudaFailure&) {
      return true;
    }
  };
  bench.expect(!refused([](cuda::TensorShape&) {}), "a map is refused");
  bench.expect(refused([](cuda::TensorShape& shape) { shape.address = static_cast<float*>(shape.address) + 1; }),
               "address");
  bench.expect(refused([](cuda::TensorShape& shape) { shape.row_bytes = 120; }), "row_bytes");
  bench.expect(refused([](cuda::TensorShape& shape) { shape.box_rows = 257; }), "box_rows");
  bench.expect(refused([](cuda::TensorShape& shape) { shape.box_columns = 64; }), "box_columns");
  bench.expect(refused([](cuda::TensorShape& shape) { shape.rows = 0; }), "rows");
});

// --- into shared memory and out again ---

enum class Fault {
  kNone,
  kNoProxyFence,
  kNoBarrier,
  kNoWaitForRead,
  kNoWaitAtAll,
  kMisplaced,
  kReadsResult,
};

constexpr int kColumns = 32, kRows = 8;  // a box of 128 bytes by 8

template <Fault kFault>
__global__ void double_box(const __grid_constant__ TensorMap from, const __grid_constant__ TensorMap to, float* out) {
  FORETOKEN_DYNAMIC_SHARED(memory);
  FORETOKEN_SHARED(uint64_t, barrier, );
  const int thread = threadIdx.x;
  auto* const box = reinterpret_cast<float*>(memory + (kFault == Fault::kMisplaced ? 64 : 0));
  if (thread == 0) {
    ptx::mbarrier_init(&barrier, 1);
    ptx::fence_mbarrier_init();
  }
  __syncthreads();
  for (int step = 0; step < 2; ++step) {
    if (thread == 0) {
      ptx::mbarrier_arrive_expect(&barrier, kColumns * kRows * 4);
      ptx::tensor_load(box, &from, 0, step * kRows, &barrier);
    }
    ptx::mbarrier_wait(&barrier, step);
    for (int i = thread; i < kColumns * kRows; i += 64) box[i] *= 2;
    if (kFault != Fault::kNoProxyFence) ptx::fence_proxy_async();
    if (kFault != Fault::kNoBarrier) __syncthreads();
    if (thread == 0) {
      ptx::tensor_store(&to, 0, step * kRows, box);
      ptx::bulk_commit();
      if (kFault == Fault::kReadsResult) {
        ptx::bulk_wait_read<0>();
        out[0] = out[kColumns - 1];
      } else if (kFault == Fault::kNoWaitForRead) {
        if (step == 1) ptx::bulk_wait<0>();
      } else if (kFault != Fault::kNoWaitAtAll || step == 0) {
        ptx::bulk_wait_read<0>();
      }
    }
    if (kFault != Fault::kNoBarrier) __syncthreads();
  }
}

template <Fault kFault>
void run_double(Bench& bench) {
  const auto x = numbers(kColumns * kRows * 2);
  float* const from = bench.upload(x);
  float* const to = bench.allocate<float>(x.size());
  const auto map_of = [](float* memory) {
    return cuda::encode_tensor_map(
        {memory, TensorElement::kFloat32, kColumns, 2 * kRows, kColumns * 4, kColumns, kRows, Swizzle::kNone});
  };
  bench.launch(double_box<kFault>, dim3(1), dim3(64), kColumns * kRows * 4 + 64, map_of(from), map_of(to), to);
  const auto result = bench.download(to, x.size());
  for (size_t i = 0; i < x.size(); ++i) bench.expect(result[i] == 2 * x[i], "a value is wrong");
}

CASE("box in, box out", run_double<Fault::kNone>);
CASE("box in, box out: no fence of proxies", run_double<Fault::kNoProxyFence>);
CASE("box in, box out: no barrier before the store", run_double<Fault::kNoBarrier>);
CASE("box in, box out: overwritten before it is read", run_double<Fault::kNoWaitForRead>);
CASE("box in, box out: the thread exits before it is read", run_double<Fault::kNoWaitAtAll>);
CASE("box in, box out: misplaced in shared memory", run_double<Fault::kMisplaced>);
CASE("box in, box out: the result is read before it is written", run_double<Fault::kReadsResult>);

// --- sums ---

__global__ void add_boxes(const __grid_constant__ TensorMap to) {
  FORETOKEN_DYNAMIC_SHARED(memory);
  auto* const box = reinterpret_cast<float*>(memory);
  for (int i = threadIdx.x; i < kColumns * kRows; i += 64) box[i] = static_cast<float>(i);
  ptx::fence_proxy_async();
  __syncthreads();
  if (threadIdx.x == 0) {
    ptx::tensor_reduce_add(&to, 8, 4, memory);
    ptx::bulk_commit();
    ptx::bulk_wait_read<0>();
  }
}

CASE("boxes are added up", [](Bench& bench) {
  constexpr int kBlocks = 3;
  float* const sums = bench.zeros<float>(kColumns * kRows);
  const TensorMap map = cuda::encode_tensor_map(
      {sums, TensorElement::kFloat32, kColumns, kRows, kColumns * 4, kColumns, kRows, Swizzle::kNone});
  bench.launch(add_boxes, dim3(kBlocks), dim3(64), kColumns * kRows * 4, map);
  const auto result = bench.download(sums, kColumns * kRows);
  for (int row = 0; row < kRows; ++row) {
    for (int column = 0; column < kColumns; ++column) {
      const int of = (row - 4) * kColumns + column - 8;
      const int expected = row >= 4 && column >= 8 ? kBlocks * of : 0;
      bench.expect(result[static_cast<size_t>(row * kColumns + column)] == static_cast<float>(expected),
                   "a sum is wrong");
    }
  }
});

// --- contiguous bytes ---

template <bool kWaits>
__global__ void copy_bulk(const float* from, float* to) {
  FORETOKEN_SHARED(float4, memory, [64]);
  FORETOKEN_SHARED(uint64_t, barrier, );
  if (threadIdx.x == 0) {
    ptx::mbarrier_init(&barrier, 2);
    ptx::fence_mbarrier_init();
    ptx::mbarrier_expect(&barrier, 1024);
    ptx::bulk_load(memory, from, 512, &barrier);
    ptx::bulk_load(memory + 32, from + 128, 512, &barrier);
    ptx::mbarrier_arrive(&barrier);
    ptx::mbarrier_arrive(&barrier);
    if (kWaits) ptx::mbarrier_wait(&barrier, 0);
    ptx::bulk_store(to, memory, 1024);
    ptx::bulk_commit();
    ptx::bulk_wait<0>();
    to[0] += 1;
    ptx::mbarrier_invalidate(&barrier);
    ptx::mbarrier_init(&barrier, 1);
  }
}

template <bool kWaits>
void run_bulk(Bench& bench) {
  const auto x = numbers(256);
  float* const to = bench.allocate<float>(256);
  bench.launch(copy_bulk<kWaits>, dim3(1), dim3(32), 0, bench.upload(x), to);
  const auto result = bench.download(to, 256);
  for (size_t i = 0; i < x.size(); ++i) bench.expect(result[i] == x[i] + (i == 0), "a value is wrong");
}

CASE("bulk copies", run_bulk<true>);
CASE("bulk copies: no wait between in and out", run_bulk<false>);

// --- barriers that are used wrongly ---

enum class Misuse { kNotMade, kMadeTwice, kTooManyArrivals, kOverwritten, kNoThreadWaits, kMadeUnseen };

template <Misuse kMisuse>
__global__ void misuse(const float* from) {
  FORETOKEN_SHARED(uint64_t, barrier, );
  FORETOKEN_SHARED(float4, memory, [4]);
  if (kMisuse == Misuse::kMadeUnseen) {
    if (threadIdx.x == 0) ptx::mbarrier_init(&barrier, 64);
    else if (threadIdx.x == 32) ptx::mbarrier_arrive(&barrier);
    return;
  }
  if (threadIdx.x != 0) return;
  if (kMisuse != Misuse::kNotMade) ptx::mbarrier_init(&barrier, 1);
  ptx::fence_mbarrier_init();
  if (kMisuse == Misuse::kMadeTwice) ptx::mbarrier_init(&barrier, 1);
  if (kMisuse == Misuse::kOverwritten) barrier = 7;
  ptx::mbarrier_arrive_expect(&barrier, 64);
  if (kMisuse == Misuse::kTooManyArrivals) ptx::mbarrier_arrive(&barrier);
  ptx::bulk_load(memory, from, 64, &barrier);
}

template <Misuse kMisuse>
void run_misuse(Bench& bench) {
  bench.launch(misuse<kMisuse>, dim3(1), dim3(64), 0, bench.zeros<float>(16));
}

CASE("mbarrier: not initialised", run_misuse<Misuse::kNotMade>);
CASE("mbarrier: initialised twice", run_misuse<Misuse::kMadeTwice>);
CASE("mbarrier: too many arrivals", run_misuse<Misuse::kTooManyArrivals>);
CASE("mbarrier: overwritten", run_misuse<Misuse::kOverwritten>);
CASE("mbarrier: no thread waits", run_misuse<Misuse::kNoThreadWaits>);
CASE("mbarrier: used before its initialisation is seen", run_misuse<Misuse::kMadeUnseen>);

}  // namespace

}  // namespace foretoken::simt::tests
