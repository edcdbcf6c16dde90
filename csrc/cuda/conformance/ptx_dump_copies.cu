// Dumps of the copy engine, its barriers and clusters.
#include "csrc/cuda/common/reduce.cuh"
#include "csrc/cuda/conformance/ptx_dump.h"
#include "csrc/cuda/ptx/ptx_hopper.cuh"

namespace foretoken::cuda::conformance {
namespace {

constexpr int kColumns = 32, kRows = 8;  // of boxes of float32, whose rows are 128 bytes

FORETOKEN_DEVICE float number(int i) { return static_cast<float>(i * 3 % 101); }

__global__ void fill(float* tensor) {
  for (int i = threadIdx.x; i < kColumns * kRows; i += kWarp) tensor[i] = static_cast<float>(1000 + i);
}

// Loads a row of the tensor, doubles it, and stores it after the tensor. Dumps the loaded and the stored row.
__global__ void bulk_copies(float* tensor, uint32_t* out) {
  FORETOKEN_SHARED(uint4, memory, [kWarp / 4]);
  FORETOKEN_SHARED(uint64_t, barrier, );
  const int lane = threadIdx.x;
  float* const sent = tensor + kColumns * kRows;
  auto* const row = reinterpret_cast<float*>(memory);
  ptx::grid_dependency_wait();
  ptx::grid_dependency_launch();
  if (lane == 0) {
    ptx::mbarrier_init(&barrier, 2);
    ptx::fence_mbarrier_init();
    ptx::mbarrier_expect(&barrier, sizeof memory);
    ptx::bulk_load(memory, tensor, sizeof memory, &barrier);
    ptx::mbarrier_arrive(&barrier);
    ptx::mbarrier_arrive(&barrier);
  }
  __syncwarp();
  ptx::mbarrier_wait(&barrier, 0);
  out[lane * kMostWords] = __float_as_uint(row[lane]);
  row[lane] *= 2;
  ptx::fence_proxy_async();
  __syncwarp();
  if (lane == 0) {
    ptx::bulk_store(sent, memory, sizeof memory);
    ptx::bulk_commit();
    ptx::bulk_wait_read<0>();
    ptx::bulk_wait<0>();
    ptx::mbarrier_invalidate(&barrier);
  }
  __syncwarp();
  out[lane * kMostWords + 1] = __float_as_uint(sent[lane]);
}

// Stores or adds a box of which only a part lies inside the tensor.
template <bool kAdds>
__global__ void boxes(const __grid_constant__ TensorMap map, const float* tensor, uint32_t* out) {
  FORETOKEN_DYNAMIC_SHARED(memory);
  auto* const box = reinterpret_cast<float*>(memory);
  for (int i = threadIdx.x; i < kColumns * kRows; i += kWarp) box[i] = number(i);
  ptx::fence_proxy_async();
  __syncwarp();
  if (threadIdx.x == 0) {
    ptx::tensor_prefetch(&map);
    if (kAdds) ptx::tensor_reduce_add(&map, 8, 3, box);
    else ptx::tensor_store(&map, 8, 3, box);
    ptx::bulk_commit();
    ptx::bulk_wait<0>();
  }
  __syncwarp();
  for (int i = 0; i < kRows; ++i) {
    out[threadIdx.x * kMostWords + i] = __float_as_uint(tensor[i * kColumns + threadIdx.x]);
  }
}

// Two blocks dump their ranks, what lies in the other's memory, and a box that the first block loads into both once
// both have arrived at its barrier.
__global__ void cluster(const __grid_constant__ TensorMap map, uint32_t* out) {
  FORETOKEN_DYNAMIC_SHARED(memory);
  FORETOKEN_SHARED(uint32_t, own, [kWarp]);
  FORETOKEN_SHARED(uint64_t, full, );
  FORETOKEN_SHARED(uint64_t, ready, );
  const uint32_t rank = ptx::cluster_rank(), blocks = ptx::cluster_blocks();
  const int lane = threadIdx.x;
  own[lane] = rank * 100 + static_cast<uint32_t>(lane);
  if (lane == 0) {
    ptx::mbarrier_init(&full, 1);
    ptx::mbarrier_init(&ready, blocks);
    ptx::fence_mbarrier_init();
    ptx::mbarrier_arrive_expect(&full, kColumns * kRows * sizeof(float));
  }
  __syncwarp();
  ptx::cluster_arrive();
  ptx::cluster_wait();
  const uint32_t others = *ptx::in_block(own + lane, rank ^ 1);
  if (lane == 0) {
    ptx::mbarrier_arrive_at(&ready, 0);
    if (rank == 0) {
      ptx::mbarrier_wait_cluster(&ready, 0);
      ptx::tensor_load_multicast(memory, &map, 0, 0, &full, 3);
    }
  }
  __syncwarp();
  ptx::mbarrier_wait(&full, 0);
  uint32_t* const words = out + (blockIdx.x * kWarp + lane) * kMostWords;
  words[0] = rank;
  words[1] = blocks;
  words[2] = others;
  words[3] = reinterpret_cast<const uint32_t*>(memory)[lane];
  // Dumps how many lanes are elected: which one is up to the GPU.
  words[4] = static_cast<uint32_t>(__popc(__ballot_sync(kAllLanes, ptx::elect_one())));
  ptx::cluster_sync();
}

constexpr size_t kBoxBytes = kColumns * kRows * sizeof(float);

// A dump that calls launch_on(context, map, tensor, out) with a filled tensor.
template <typename Launch>
Dump dump_of_tensor(const char* name, int threads, int words, Swizzle swizzle, Launch launch_on) {
  return {name, threads, words, [=](const Context& context, uint32_t* out) {
            auto* const tensor = reinterpret_cast<float*>(out + threads * kMostWords);
            launch(context, fill, dim3(1), dim3(kWarp), 0, tensor);
            const TensorMap map = encode_tensor_map({.address = tensor,
                                                     .element = TensorElement::kFloat32,
                                                     .columns = kColumns,
                                                     .rows = kRows,
                                                     .row_bytes = kColumns * sizeof(float),
                                                     .box_columns = kColumns,
                                                     .box_rows = kRows,
                                                     .swizzle = swizzle});
            launch_on(context, map, tensor, out);
          }};
}

}  // namespace

std::vector<Dump> copy_dumps() {
  using Map = const TensorMap&;
  return {dump_of_tensor("bulk_copies", kWarp, 2, Swizzle::kNone,
                         [](const Context& context, Map, float* tensor, uint32_t* out) {
                           launch(context, bulk_copies, dim3(1), dim3(kWarp), 0, tensor, out);
                         }),
          dump_of_tensor("tensor_store", kWarp, kRows, Swizzle::k128Bytes,
                         [](const Context& context, Map map, float* tensor, uint32_t* out) {
                           launch(context, boxes<false>, dim3(1), dim3(kWarp), kBoxBytes, map, tensor, out);
                         }),
          dump_of_tensor("tensor_reduce_add", kWarp, kRows, Swizzle::kNone,
                         [](const Context& context, Map map, float* tensor, uint32_t* out) {
                           launch(context, boxes<true>, dim3(1), dim3(kWarp), kBoxBytes, map, tensor, out);
                         }),
          dump_of_tensor("cluster", 2 * kWarp, 5, Swizzle::kNone,
                         [](const Context& context, Map map, float*, uint32_t* out) {
                           launch_clusters(context, cluster, dim3(2), dim3(kWarp), 2, kBoxBytes, map, out);
                         })};
}

}  // namespace foretoken::cuda::conformance
