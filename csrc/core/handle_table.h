// Stores values under integer handles, which JavaScript can hold and pass cheaply. A handle is a slot and the slot's
// generation, so a disposed handle stays invalid even after its slot is reused.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

namespace foretoken {

template <typename T>
class HandleTable {
 public:
  // Returns a handle that is positive and exact in a double: 22 bits of slot, 30 bits of generation.
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
    entry.place = used_.size();
    used_.push_back(slot);
    entry.value.emplace(std::move(value));
    return (entry.generation << kSlotBits) | slot;
  }

  T* find(int64_t handle) {
    if (handle < 0) return nullptr;
    const size_t slot = slot_of(handle);
    if (slot >= entries_.size()) return nullptr;
    Entry& entry = entries_[slot];
    return entry.generation == handle >> kSlotBits && entry.value ? &*entry.value : nullptr;
  }

  bool erase(int64_t handle) {
    if (find(handle) == nullptr) return false;
    retire(slot_of(handle));
    return true;
  }

  template <typename F>
  void erase_if(F&& matches) {
    // From the end, because the last slot takes the place of one that retires.
    for (size_t i = used_.size(); i-- > 0;) {
      if (matches(*entries_[used_[i]].value)) retire(used_[i]);
    }
  }

  template <typename F>
  void for_each(F&& visit) const {
    for (const uint32_t slot : used_) visit(*entries_[slot].value);
  }

  size_t size() const { return used_.size(); }
  bool full() const { return free_.empty() && entries_.size() >= (size_t{1} << kSlotBits); }

 private:
  static constexpr int kSlotBits = 22;
  static constexpr int kGenerationBits = 30;

  static size_t slot_of(int64_t handle) { return static_cast<size_t>(handle & ((int64_t{1} << kSlotBits) - 1)); }

  void retire(size_t slot) {
    Entry& entry = entries_[slot];
    entry.value.reset();
    entries_[used_.back()].place = entry.place;
    used_[entry.place] = used_.back();
    used_.pop_back();
    // Retires a slot for good when its generations are used up: a wrapped generation would revive old handles.
    if (++entry.generation < (int64_t{1} << kGenerationBits)) free_.push_back(static_cast<uint32_t>(slot));
  }

  struct Entry {
    int64_t generation = 1;
    size_t place = 0;  // in used_
    std::optional<T> value;
  };
  std::deque<Entry> entries_;  // a deque, so that pointers from find() survive insertions
  std::vector<uint32_t> free_;
  std::vector<uint32_t> used_;  // slots with a value: visits do not depend on how many values there once were
};

}  // namespace foretoken
