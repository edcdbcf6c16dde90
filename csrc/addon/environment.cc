#include "csrc/addon/environment.h"

#include "csrc/addon/javascript.h"

namespace foretoken {

namespace {

// How long JavaScript may run without a turn of the event loop before the next promise is settled by such a turn.
constexpr auto kLongestTurn = std::chrono::milliseconds(4);

}  // namespace

Environment::Environment(Napi::Env env) : env_(env) {
  napi_ref array_buffer;
  check(napi_create_reference(env, get(env.Global(), "ArrayBuffer"), 1, &array_buffer));
  array_buffer_class = Napi::FunctionReference(env, array_buffer);
  check(napi_create_threadsafe_function(env, nullptr, nullptr, Napi::String::New(env, "foretoken"), 0, 1, nullptr,
                                        nullptr, this, on_event_loop, &loop_));
  // Only unsettled promises keep the process alive.
  napi_unref_threadsafe_function(env, loop_);
}

Environment::~Environment() = default;

Environment& Environment::of(napi_env env) {
  void* data = nullptr;
  napi_get_instance_data(env, &data);
  return *static_cast<Environment*>(data);
}

void Environment::shut_down() {
  captures = {};
  kv_caches = {};
  recurrent_states = {};
  tensors = {};
  devices = {};
  napi_release_threadsafe_function(loop_, napi_tsfn_abort);
}

Napi::Value Environment::promise(Backend& backend, std::function<napi_value(Napi::Env)> value,
                                 const std::function<void(Completion)>& start) {
  std::unique_ptr<Settlement> settlement(new Settlement{nullptr, std::move(value), {}});
  napi_value promise;
  check(napi_create_promise(env_, &settlement->deferred, &promise));
  const auto pending = std::make_shared<Pending>(*this, std::move(settlement));
  const bool helps = may_help();
  if (pending_++ == 0) napi_ref_threadsafe_function(env_, loop_);
  try {
    start([pending](std::optional<Error> error) { pending->settle(std::move(error)); });
    helps_ = helps;
    backend.awaited(helps);
    helps_ = false;
  } catch (const Error& error) {
    pending->settle(error);
  }
  if (const std::unique_ptr<Settlement> finished = std::move(finished_)) finish(*finished);
  return {env_, promise};
}

// Returns whether this thread may run work now that JavaScript is to wait for. If so, no other promise is unsettled:
// promises are settled in their order. And the event loop has just turned: a program that does nothing but await
// readbacks must not keep timers and other events waiting.
bool Environment::may_help() const {
  return pending_ == 0 && std::chrono::steady_clock::now() - last_turn_ < kLongestTurn;
}

Environment::Pending::Pending(Environment& environment, std::unique_ptr<Settlement> settlement)
    : environment_(environment), settlement_(std::move(settlement)) {}

Environment::Pending::~Pending() {
  if (settlement_) settle(make_error(ErrorCode::kInvalidHandle, "the device was closed before the operation finished"));
}

void Environment::Pending::settle(std::optional<Error> error) {
  if (error) settlement_->error.emplace(std::move(*error));
  environment_.deliver(std::move(settlement_));
}

// Brings a settlement from any thread to JavaScript's.
void Environment::deliver(std::unique_ptr<Settlement> settlement) {
  if (std::this_thread::get_id() == thread_ && helps_) {
    finished_ = std::move(settlement);
  } else {
    // Cannot fail, because the loop accepts calls as long as a stream runs. The settlement must not be freed on this
    // thread, so the call hands it over.
    napi_call_threadsafe_function(loop_, settlement.release(), napi_tsfn_nonblocking);
  }
}

void Environment::on_event_loop(napi_env env, napi_value, void* environment, void* settlement) {
  const std::unique_ptr<Settlement> owned(static_cast<Settlement*>(settlement));
  // A null env means that the environment is ending, so no JavaScript awaits the promise any more.
  if (env == nullptr) return;
  Environment& self = *static_cast<Environment*>(environment);
  self.last_turn_ = std::chrono::steady_clock::now();
  self.finish(*owned);
}

void Environment::finish(Settlement& settlement) {
  if (--pending_ == 0) napi_unref_threadsafe_function(env_, loop_);
  bool resolves = !settlement.error;
  napi_value result;
  try {
    result = resolves ? settlement.value(env_) : napi_value(to_javascript(*this, env_, *settlement.error));
  } catch (const JavaScriptFailed&) {
    resolves = false;
    result = take_exception(env_);
  }
  if (resolves) napi_resolve_deferred(env_, settlement.deferred, result);
  else napi_reject_deferred(env_, settlement.deferred, result);
  // Settling fails only if V8 is terminating JavaScript, which then awaits nothing. If a getter of `result` threw, the
  // promise has already been rejected with that.
  take_exception(env_);
}

void Environment::report_memory() {
  constexpr int64_t kStep = 16 << 20;
  int64_t bytes = 0;
  devices.for_each([&](const std::shared_ptr<Device>& device) { bytes += device->allocator().statistics().live; });
  if (bytes > reported_bytes_ + kStep || bytes < reported_bytes_ - kStep) {
    Napi::MemoryManagement::AdjustExternalMemory(env_, bytes - reported_bytes_);
    reported_bytes_ = bytes;
  }
}

Napi::Value to_javascript(Environment& environment, Napi::Env env, const Error& error) {
  const napi_value arguments[] = {Napi::String::New(env, name_of(error.code)), Napi::String::New(env, error.what())};
  napi_value made;
  if (!environment.error_class.IsEmpty()) {
    const napi_value error_class = environment.error_class.Value();
    if (napi_new_instance(env, error_class, 2, arguments, &made) == napi_ok) return {env, made};
    catch_exception(env);  // JavaScript passed something that is not a class
  }
  check(napi_create_error(env, arguments[0], arguments[1], &made));
  return {env, made};
}

}  // namespace foretoken
