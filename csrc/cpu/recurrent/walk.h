// The order in which the nodes of a tree are visited, depth first, with few copies of S. The child with the most
// descendants comes last and takes over its parent's copy. So the copies of a node are one more than those of its parent
// only if its subtree is less than half of the parent's.
#pragma once

#include "csrc/cpu/sizes.h"

namespace foretoken::cpu::FORETOKEN_ISA {

// S of a node is computed when its first child is visited, directly after the node, because leaves need none.
struct Visit {
  int32_t row;
  int32_t source;  // the copy to read, or -1 for the state
  int32_t target;  // the copy for S of the parent, which is the last visit's row; -1 if `source` is S of the parent
};

// The most copies of S for a tree of `rows` nodes. A tree that needs n + 1 copies has a node with two children whose
// subtrees both need n copies; one copy takes two nodes.
inline int64_t copies_for(int64_t rows) {
  int64_t copies = 0;
  for (int64_t nodes = 2; nodes <= rows; nodes = 2 * nodes + 1) ++copies;
  return copies;
}

// Writes the visits of a tree, at most kMostRecurrentRows, to visits[0 … rows - 1]. Node i of the tree is row first + i.
inline void plan_walk(const int32_t* parents, int32_t first, int32_t rows, Visit* visits) {
  struct Node {
    int32_t parent, size;
    int32_t last;   // the child to visit last
    int32_t place;  // among the visits
    int32_t next;   // the place of the next child
    int32_t copy;   // of S
  };
  // The state comes first, as the parent of the roots.
  Node nodes[kMostRecurrentRows + 1];
  for (int32_t i = 0; i <= rows; ++i) nodes[i].size = 1, nodes[i].last = 0;
  for (int32_t i = rows; i > 0; --i) {
    const int32_t above = parents[first + i - 1], parent = above < 0 ? 0 : above - first + 1;
    nodes[i].parent = parent;
    nodes[parent].size += nodes[i].size;
    if (nodes[parent].last == 0 || nodes[nodes[parent].last].size < nodes[i].size) nodes[parent].last = i;
  }
  nodes[0].place = nodes[0].copy = -1;
  nodes[0].next = 0;
  for (int32_t i = 1; i <= rows; ++i) {
    Node &node = nodes[i], &parent = nodes[node.parent];
    const bool is_last = parent.last == i;
    node.place = is_last ? parent.place + parent.size - node.size : parent.next;
    if (!is_last) parent.next += node.size;
    node.next = node.place + 1;
    node.copy = node.parent == 0 ? 0 : parent.copy + !is_last;
    const bool follows = node.parent > 0 && node.place == parent.place + 1;
    visits[node.place] = {first + i - 1, follows ? nodes[parent.parent].copy : parent.copy, follows ? parent.copy : -1};
  }
}

}  // namespace foretoken::cpu::FORETOKEN_ISA
