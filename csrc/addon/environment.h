// The state of one JavaScript environment (the main thread, a worker): its devices, its tensors and the way from a
// backend's thread back to its event loop. Stored as Node-API instance data, so environments never share state.
#pragma once

#include <napi.h>

#include <chrono>
#include <functional>
#include <memory>
#include <thread>

#include "csrc/core/capture.h"
#include "csrc/core/device.h"
#include "csrc/core/handle_table.h"
#include "csrc/core/kv_cache.h"
#include "csrc/core/recurrent_states.h"
#include "csrc/core/tensor.h"

namespace foretoken {

class Environment {
 public:
  explicit Environment(Napi::Env env);
  ~Environment();

  static Environment& of(napi_env env);

  HandleTable<std::shared_ptr<Device>> devices;
  HandleTable<Tensor> tensors;
  HandleTable<std::unique_ptr<Capture>> captures;
  HandleTable<std::shared_ptr<KvCache>> kv_caches;
  HandleTable<std::shared_ptr<RecurrentStates>> recurrent_states;

  // The class of errors; set once by lib/native.
  Napi::FunctionReference error_class;
  // The built-in ArrayBuffer. A script may replace the global one after the addon is loaded, by a class whose buffers
  // are smaller or move.
  Napi::FunctionReference array_buffer_class;

  // Makes a promise for the work that `start` begins on `backend`, and passes `start` the completion that settles it.
  // The completion may be called on any thread. It resolves the promise with the result of `value`, which runs on
  // JavaScript's thread, or rejects it with an error; the event loop stays alive until then. The promise is also
  // rejected if `start` throws an Error, or if the completion is dropped without a call because the device is closed.
  // If the backend finishes short work at once, the promise is settled already.
  Napi::Value promise(Backend& backend, std::function<napi_value(Napi::Env)> value,
                      const std::function<void(Completion)>& start);

  // Tells V8 how much memory the handles hold, in coarse steps, because every report may start a garbage collection.
  void report_memory();

  // Called when the environment ends: stops the devices' streams while their memory and the event loop still exist.
  void shut_down();

 private:
  // All that the event loop needs to settle one promise.
  struct Settlement {
    napi_deferred deferred;
    std::function<napi_value(Napi::Env)> value;
    std::optional<Error> error;
  };
  // A promise on its way through a device's queue. Settled at the latest when the queue drops it.
  class Pending {
   public:
    Pending(Environment& environment, std::unique_ptr<Settlement> settlement);
    ~Pending();
    Pending(const Pending&) = delete;
    Pending& operator=(const Pending&) = delete;

    void settle(std::optional<Error> error);

   private:
    Environment& environment_;
    std::unique_ptr<Settlement> settlement_;
  };
  bool may_help() const;
  void deliver(std::unique_ptr<Settlement> settlement);
  static void on_event_loop(napi_env env, napi_value, void* environment, void* settlement);
  void finish(Settlement& settlement);

  Napi::Env env_;
  napi_threadsafe_function loop_ = nullptr;
  const std::thread::id thread_ = std::this_thread::get_id();
  int64_t pending_ = 0;
  // When the event loop last settled a promise, and so served all other events, too.
  std::chrono::steady_clock::time_point last_turn_{};
  bool helps_ = false;                    // whether a backend may run work on this thread now
  std::unique_ptr<Settlement> finished_;  // of the promise for which that work was
  int64_t reported_bytes_ = 0;
};

// Converts a native error to a JavaScript error.
Napi::Value to_javascript(Environment& environment, Napi::Env env, const Error& error);

}  // namespace foretoken
