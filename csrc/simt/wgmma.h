// wgmma: products that the tensor cores of four warps compute while the threads go on. Each warp has its 16 rows of the
// sums; what the four have in common is that they must issue the same.
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

// Sums that products under way are added to: the registers of all lanes hold poison meanwhile.
struct WgmmaSums {
  float* registers[32];
  int columns;
  std::vector<float> values;  // of the warp's 16 rows
};

struct WgmmaProduct {
  WgmmaIssue issue;
  size_t sums;        // which
  uint32_t a[32][4];  // of each lane, if a is in registers
  uint32_t group;
  uint32_t time;  // of the warp's tensor core
};

struct WarpProducts {
  std::vector<WgmmaProduct> pending;
  std::vector<WgmmaSums> sums;  // those of pending products
  uint32_t groups = 0;          // committed
  bool fenced = false;
  uint64_t issued = 0;
};

// What warps of a group of four have issued and others not yet.
struct WarpgroupProducts {
  std::deque<WgmmaIssue> issues;
  uint64_t first = 0;  // number of the first of them
};

std::string problem_of_products(const Thread& thread);
std::string problem_of_products(const Block& block);

}  // namespace foretoken::simt
