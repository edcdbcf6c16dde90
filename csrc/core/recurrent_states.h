// The states of recurrent layers: one block for each sequence that has a state, for all layers.
#pragma once

#include <memory>

#include "csrc/core/page_pool.h"

namespace foretoken {

struct RecurrentSizes {
  int64_t layers;
  RecurrentShape shape;
  int64_t sequences;
};

class RecurrentStates {
 public:
  // Makes states without blocks. Throws kOutOfMemory, naming `purpose`, as reserve() does.
  RecurrentStates(const std::shared_ptr<Device>& device, const RecurrentSizes& sizes, const char* purpose);

  // Gives a sequence a block of zeros, if it has none.
  void reserve(int64_t sequence, const char* purpose);
  // Returns a sequence's block to the pool, if it has one.
  void release(int64_t sequence) { pool_.release(sequence); }
  bool has(int64_t sequence) const { return pool_.pages_of(sequence) > 0; }
  // The block of a sequence that has one: float32 [layers, floats of a layer].
  const Tensor& block(int64_t sequence) const { return pool_.page(sequence, 0); }

  const RecurrentSizes& sizes() const { return sizes_; }
  const std::shared_ptr<Device>& device() const { return pool_.device(); }
  // Bytes of all blocks, in use or free.
  int64_t bytes() const { return pool_.bytes(); }
  // The most rows of each sequence.
  const std::vector<int32_t>& room() const { return pool_.known_limits(); }

  // The states as kernels see one layer.
  RecurrentView view(int64_t layer) const;

 private:
  const RecurrentSizes sizes_;
  PagePool pool_;
};

}  // namespace foretoken
