// A program that runs the wrappers of PTX instructions on fixed inputs and prints the registers of each thread
// afterwards, as JSON: {"device": …, "dumps": {"mma_m16n8k16_bf16": [[…], …], …}}, a row for each thread. It is built
// for GPUs and for the emulator; test/cuda/conformance.test.ts compares the two.
#include "csrc/cuda/conformance/ptx_dump.h"

#include <cstdio>

#include "csrc/cuda/common/reduce.cuh"

namespace foretoken::cuda::conformance {
namespace {

// Floats of every kind that a conversion distinguishes.
FORETOKEN_DEVICE float float_case(int i) {
  constexpr uint32_t kCases[] = {0x00000000, 0x80000000, 0x3f800000, 0x3f808000, 0x3f818000, 0x3f80ffff, 0x7f7fffff,
                                 0x7f800000, 0xff800000, 0x7fc00000, 0x00000001, 0x007fffff, 0x33000000, 0x33000001,
                                 0x387fe000, 0x477fe000, 0x477fefff, 0x477ff000, 0x38800000, 0xc2f6e979, 0x3eaaaaab,
                                 0x40490fdb, 0xb8d1b717, 0x4b189680, 0x38000000, 0x387fffff, 0x33800000, 0x337fffff,
                                 0xbf808000, 0xbf818000, 0x477fffff, 0x00800000};
  return __uint_as_float(kCases[i]);
}

__global__ void conversions(uint32_t* out) {
  const int lane = threadIdx.x;
  uint32_t* const words = out + lane * kMostWords;
  const float x = float_case(lane), y = float_case((lane + 1) % kWarp);
  words[0] = ptx::bfloat16_of_float(x);
  words[1] = ptx::bfloat16x2_of_floats(x, y);
  words[2] = ptx::half_of_float(x);
  words[3] = __float_as_uint(ptx::float_of_half(static_cast<uint16_t>(lane * 2113)));
  words[4] = ptx::multiply_bfloat16x2(static_cast<uint32_t>(lane * 2113 | lane * 1999 << 16), pair_of(lane));
}

template <int kKind>  // 0: x4, 1: x4 transposed, 2: x2
__global__ void ldmatrix(uint32_t* out) {
  FORETOKEN_SHARED(uint4, tiles, [32]);  // 32 rows of 8 elements
  const int lane = threadIdx.x;
  auto* const elements = reinterpret_cast<uint16_t*>(tiles);
  for (int i = 0; i < 8; ++i) elements[lane * 8 + i] = static_cast<uint16_t>(lane * 256 + i);
  __syncthreads();
  // Permutes the rows, so that addresses matter.
  const uint4* const row = tiles + (lane * 5 + 3) % 32;
  uint32_t four[4] = {}, two[2] = {};
  if (kKind == 0) ptx::ldmatrix_x4(four, row);
  if (kKind == 1) ptx::ldmatrix_x4_transposed(four, row);
  if (kKind == 2) ptx::ldmatrix_x2(two, row);
  for (int i = 0; i < 4; ++i) out[lane * kMostWords + i] = kKind == 2 ? (i < 2 ? two[i] : 0) : four[i];
}

__global__ void mma_m16n8k16_bf16(uint32_t* out) {
  const int lane = threadIdx.x;
  uint32_t a[4], b[2];
  float d[4];
  for (int i = 0; i < 4; ++i) a[i] = pair_of(lane * 4 + i);
  for (int i = 0; i < 2; ++i) b[i] = pair_of(1000 + lane * 2 + i);
  for (int i = 0; i < 4; ++i) d[i] = static_cast<float>(lane * 4 + i);
  ptx::mma_m16n8k16_bf16(d, a, b);
  for (int i = 0; i < 4; ++i) out[lane * kMostWords + i] = __float_as_uint(d[i]);
}

__global__ void cp_async(uint32_t* out) {
  FORETOKEN_SHARED(uint4, copies, [32]);
  const int lane = threadIdx.x;
  auto* const source = reinterpret_cast<uint4*>(out + kWarp * kMostWords);
  source[lane] = make_uint4(lane, lane + 100, lane + 200, lane + 300);
  __syncthreads();
  ptx::cp_async_16(copies + lane, source + (lane + 7) % kWarp, lane % 3 != 0);
  ptx::cp_async_commit();
  ptx::cp_async_wait<0>();
  __syncthreads();
  const uint4 copy = copies[(lane + 1) % kWarp];
  const uint32_t words[] = {copy.x, copy.y, copy.z, copy.w};
  for (int i = 0; i < 4; ++i) out[lane * kMostWords + i] = words[i];
}

// The second warp waits for the words that the first one writes.
__global__ void named_barrier(uint32_t* out) {
  FORETOKEN_SHARED(uint32_t, words, [kWarp]);
  const int thread = threadIdx.x;
  uint32_t seen = 0;
  if (thread < kWarp) {
    words[thread] = static_cast<uint32_t>(thread * 11);
    ptx::bar_arrive(1, 2 * kWarp);
  } else {
    ptx::bar_sync(1, 2 * kWarp);
    seen = words[2 * kWarp - 1 - thread];
  }
  out[thread * kMostWords] = seen;
}

Dump dump_of(const char* name, int threads, int words, void (*kernel)(uint32_t*)) {
  return {name, threads, words, [=](const Context& context, uint32_t* out) {
            launch(context, kernel, dim3(1), dim3(static_cast<unsigned>(threads)), 0, out);
          }};
}

std::vector<Dump> dumps() {
  return {dump_of("conversions", kWarp, 5, conversions),
          dump_of("ldmatrix_x4", kWarp, 4, ldmatrix<0>),
          dump_of("ldmatrix_x4_transposed", kWarp, 4, ldmatrix<1>),
          dump_of("ldmatrix_x2", kWarp, 2, ldmatrix<2>),
          dump_of("mma_m16n8k16_bf16", kWarp, 4, mma_m16n8k16_bf16),
          dump_of("cp_async", kWarp, 4, cp_async),
          dump_of("named_barrier", 2 * kWarp, 1, named_barrier)};
}

void print(const Dump& dump, cudaStream_t stream) {
  constexpr size_t kBytes = size_t{1} << 20;
  void *memory = nullptr, *copy = nullptr;
  check(cudaMalloc(&memory, kBytes), "cudaMalloc");
  check(cudaHostAlloc(&copy, kBytes, cudaHostAllocDefault), "cudaHostAlloc");
  Context context{};
  context.stream = stream;
  dump.launch(context, static_cast<uint32_t*>(memory));
  check(cudaMemcpyAsync(copy, memory, kBytes, cudaMemcpyDeviceToHost, stream), "cudaMemcpyAsync");
  check(cudaStreamSynchronize(stream), dump.name);
  const auto* const words = static_cast<const uint32_t*>(copy);
  std::printf("\"%s\": [", dump.name);
  for (int thread = 0; thread < dump.threads; ++thread) {
    std::printf("%s[", thread ? ", " : "");
    for (int i = 0; i < dump.words; ++i) std::printf("%s%u", i ? ", " : "", words[thread * kMostWords + i]);
    std::printf("]");
  }
  std::printf("]");
  check(cudaFreeHost(copy), "cudaFreeHost");
  check(cudaFree(memory), "cudaFree");
}

}  // namespace
}  // namespace foretoken::cuda::conformance

int main() {
  using namespace foretoken::cuda;
  using namespace foretoken::cuda::conformance;
  try {
    cudaDeviceProp properties;
    check(cudaGetDeviceProperties(&properties, 0), "cudaGetDeviceProperties");
    check(cudaSetDevice(0), "cudaSetDevice");
    cudaStream_t stream = nullptr;
    check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
    std::printf("{\"device\": \"%s\", \"dumps\": {", properties.name);
    const char* separator = "";
    std::vector<Dump> all = dumps();
    if (properties.major == 9 && properties.minor == 0) {
      for (const auto& more : {copy_dumps(), wgmma_dumps()}) all.insert(all.end(), more.begin(), more.end());
    }
    for (const Dump& dump : all) {
      std::printf("%s\n", separator);
      print(dump, stream);
      separator = ",";
    }
    std::printf("\n}}\n");
    check(cudaStreamDestroy(stream), "cudaStreamDestroy");
  } catch (const CudaFailure& failure) {
    std::fprintf(stderr, "ptx_dump: %s failed with %s: %s\n", failure.what(), cudaGetErrorName(failure.code),
                 cudaGetErrorString(failure.code));
    return 1;
  }
  return 0;
}
