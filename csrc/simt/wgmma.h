// wgmma: products that the tensor cores of four warps compute while the threads continue. Each warp has 16 rows of the
// sums. The four warps must issue the same products.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "csrc/simt/ptx_wgmma.h"

namespace foretoken::simt {

struct Block;
struct Thread;
struct Warp;

// Sums to which pending products are added. The registers of all lanes hold poison meanwhile.
struct WgmmaSums {
  float* registers[32];
  int columns;
  std::vector<float> values;  // of the warp's 16 rows
};

struct WgmmaProduct {
  WgmmaIssue issue;
  size_t sums;        // index in WarpProducts::sums
  uint32_t a[32][4];  // of each lane, if a is in registers
  uint32_t group;
  uint32_t time;  // of the warp's tensor core
};

struct WarpProducts {
  std::vector<WgmmaProduct> pending;
  std::vector<WgmmaSums> sums;  // of pending products
  uint32_t groups = 0;          // committed
  bool fenced = false;
  uint64_t issued = 0;
};

// The products that some warps of a group of four have issued and others have not issued yet.
struct WarpgroupProducts {
  std::deque<WgmmaIssue> issues;
  uint64_t first = 0;  // number of the first of them
};

std::string problem_of_products(const Thread& thread);
std::string problem_of_products(const Block& block);

}  // namespace foretoken::simt
