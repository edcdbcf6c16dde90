#include "csrc/simt/atomic_order.h"

namespace foretoken::simt {

void AtomicOrder::fence(Actor& actor, FenceState& state, bool device) {
  const auto take = [&](FenceState::Scope& scope) {
    actor.known = clocks_.joined(actor.known, scope.pending);
    scope.pending = ClockRef();
  };
  take(state.block);
  if (device) take(state.device);
  const ClockRef released = clocks_.of(actor);
  state.block.released = released;
  if (device) state.device.released = released;
  actor.advance();
}

AtomicOrder::Location& AtomicOrder::location(const void* address) {
  Location& location = locations_.try_emplace(address, Location{wave_, {}}).first->second;
  if (location.wave != wave_) {
    // The clock that an earlier wave left becomes history.
    if (location.sum) {
      const auto history = std::make_shared<History>();
      if (location.sum->history) history->waves = location.sum->history->waves;
      history->waves.push_back({location.wave, location.sum});
      location.sum = clocks_.unknowing(history);
    }
    location.wave = wave_;
  }
  return location;
}

void AtomicOrder::change(const void* address, FenceState::Scope& scope) {
  Location& here = location(address);
  scope.pending = clocks_.joined(scope.pending, here.sum);
  here.sum = clocks_.joined(here.sum, scope.released);
}

void AtomicOrder::read(const void* address, FenceState::Scope& scope) {
  const auto found = locations_.find(address);
  if (found != locations_.end()) scope.pending = clocks_.joined(scope.pending, location(address).sum);
}

void AtomicOrder::write(const void* address, FenceState::Scope& scope) { location(address).sum = scope.released; }

}  // namespace foretoken::simt
