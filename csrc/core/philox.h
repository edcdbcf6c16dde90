// Philox4x32-10: random bits as a function of a counter and a key (Salmon, Moraes, Dror, Shaw 2011, "Parallel Random
// Numbers: As Easy as 1, 2, 3"). This is the definition, for the host and for CUDA; csrc/cpu/sampling/gumbel.h computes
// the same function for a vector of counters.
#pragma once

#include <cstdint>

#ifdef __CUDACC__
#define FORETOKEN_EVERYWHERE __host__ __device__
#else
#define FORETOKEN_EVERYWHERE
#endif

namespace foretoken {

constexpr int kPhiloxRounds = 10;
constexpr uint32_t kPhiloxMultiplier0 = 0xD2511F53, kPhiloxMultiplier1 = 0xCD9E8D57;
constexpr uint32_t kPhiloxWeyl0 = 0x9E3779B9, kPhiloxWeyl1 = 0xBB67AE85;  // added to the key after every round

struct PhiloxWords {
  uint32_t words[4];
  constexpr bool operator==(const PhiloxWords&) const = default;
};

FORETOKEN_EVERYWHERE constexpr PhiloxWords philox(PhiloxWords counter, uint64_t seed) {
  auto [c0, c1, c2, c3] = counter.words;
  auto key0 = static_cast<uint32_t>(seed), key1 = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < kPhiloxRounds; ++round) {
    const uint64_t product0 = uint64_t{kPhiloxMultiplier0} * c0, product1 = uint64_t{kPhiloxMultiplier1} * c2;
    c0 = static_cast<uint32_t>(product1 >> 32) ^ c1 ^ key0;
    c1 = static_cast<uint32_t>(product1);
    c2 = static_cast<uint32_t>(product0 >> 32) ^ c3 ^ key1;
    c3 = static_cast<uint32_t>(product0);
    key0 += kPhiloxWeyl0;
    key1 += kPhiloxWeyl1;
  }
  return {{c0, c1, c2, c3}};
}

// Known answers that the authors publish with Random123 (kat_vectors, philox4x32 10).
static_assert(philox({{0, 0, 0, 0}}, 0) == PhiloxWords{{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}});
static_assert(philox({{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}}, 0xffffffffffffffff) ==
              PhiloxWords{{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}});
static_assert(philox({{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}}, 0x299f31d0a4093822) ==
              PhiloxWords{{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}});

}  // namespace foretoken
