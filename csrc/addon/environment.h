// What one JavaScript environment (the main thread, a worker) owns: its devices, its tensors and the way back from
// a backend's thread to its event loop. Kept as N-API instance data, so environments never share state.
#pragma once

#include <napi.h>

#include <functional>
#include <memory>

#include "csrc/core/capture.h"
#include "csrc/core/device.h"
#include "csrc/core/handle_table.h"
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

  // The class that errors are made of; set once by lib/native.
  Napi::FunctionReference error_class;
  // As it was when the addon was loaded. A script may put another in its place, whose buffers need be neither as large
  // as they must be nor stay where they are.
  Napi::FunctionReference array_buffer_class;

  // Makes a promise of what `start` sets going, and hands it the completion that settles it from any thread: with what
  // `value` returns, on the event loop, or with the error. The event loop stays alive until then. An Error of `start`
  // rejects the promise; so does a completion that is dropped uncalled, because its device is closed.
  Napi::Value promise(std::function<napi_value(Napi::Env)> value, const std::function<void(Completion)>& start);

  // Tells V8 how much memory its handles hold, in coarse steps because every call may start a collection.
  void report_memory();

  // Called when the environment ends: stops the devices' streams while their memory, and the event loop, are still
  // there.
  void shut_down();

 private:
  // What the event loop needs to settle one promise.
  struct Settlement {
    napi_deferred deferred;
    std::function<napi_value(Napi::Env)> value;
    std::optional<Error> error;
  };
  // A promise on its way through a device's queue; settled at the latest when it is dropped there.
  class Pending {
   public:
    Pending(napi_threadsafe_function loop, std::unique_ptr<Settlement> settlement);
    ~Pending();
    Pending(const Pending&) = delete;
    Pending& operator=(const Pending&) = delete;

    void settle(std::optional<Error> error);

   private:
    const napi_threadsafe_function loop_;
    std::unique_ptr<Settlement> settlement_;
  };
  static void on_event_loop(napi_env env, napi_value, void* environment, void* settlement);
  void finish(Settlement& settlement);

  Napi::Env env_;
  napi_threadsafe_function loop_ = nullptr;
  int64_t pending_ = 0;
  int64_t reported_bytes_ = 0;
};

// The JavaScript error for a native one.
Napi::Value to_javascript(Environment& environment, Napi::Env env, const Error& error);

}  // namespace foretoken
