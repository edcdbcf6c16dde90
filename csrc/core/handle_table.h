// Values under integer handles that JavaScript can hold and pass cheaply. A handle is a slot and the slot's
// generation, so one that was disposed stays invalid for good even when its slot is used again.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

namespace foretoken {

template <typename T>
class HandleTable {
 public:
  // Handles are positive and exact in a double: 22 bits of slot, 30 bits of generation.
  int64_t insert(T value) {
    uint32_t slot;
    if (free_.empty()) {
      slot = static_cast<uint32_t>(entries_.size());
      entries_.emplace_back();
    } else {
      slot = free_.back();
      free_.pop_back();
    }
    Entry& entry = entries_[slot];
    entry.value.emplace(std::move(value));
    ++size_;
    return (entry.generation << kSlotBits) | slot;
  }

  T* find(int64_t handle) {
    if (handle < 0) return nullptr;
    const size_t slot = static_cast<size_t>(handle & ((int64_t{1} << kSlotBits) - 1));
    if (slot >= entries_.size()) return nullptr;
    Entry& entry = entries_[slot];
    return entry.generation == handle >> kSlotBits && entry.value ? &*entry.value : nullptr;
  }

  bool erase(int64_t handle) {
    if (find(handle) == nullptr) return false;
    const size_t slot = static_cast<size_t>(handle & ((int64_t{1} << kSlotBits) - 1));
    retire(slot);
    return true;
  }

  template <typename F>
  void erase_if(F&& matches) {
    for (size_t slot = 0; slot < entries_.size(); ++slot) {
      if (entries_[slot].value && matches(*entries_[slot].value)) retire(slot);
    }
  }

  template <typename F>
  void for_each(F&& visit) const {
    for (const Entry& entry : entries_) {
      if (entry.value) visit(*entry.value);
    }
  }

  size_t size() const { return size_; }
  bool full() const { return free_.empty() && entries_.size() >= (size_t{1} << kSlotBits); }

 private:
  static constexpr int kSlotBits = 22;
  static constexpr int kGenerationBits = 30;

  void retire(size_t slot) {
    Entry& entry = entries_[slot];
    entry.value.reset();
    --size_;
    // A slot whose generations are used up stays empty: a wrapped one would revive old handles.
    if (++entry.generation < (int64_t{1} << kGenerationBits)) free_.push_back(static_cast<uint32_t>(slot));
  }

  struct Entry {
    int64_t generation = 1;
    std::optional<T> value;
  };
  std::deque<Entry> entries_;  // what find() returned stays where it is when more is inserted
  std::vector<uint32_t> free_;
  size_t size_ = 0;
};

}  // namespace foretoken
