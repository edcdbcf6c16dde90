#include "csrc/addon/environment.h"

namespace foretoken {

Environment::Environment(Napi::Env env) : env_(env) {
  const Napi::Function nothing = Napi::Function::New(env, [](const Napi::CallbackInfo&) {});
  loop_ = Napi::ThreadSafeFunction::New(env, nothing, "foretoken", 0, 1);
  // Only work that somebody awaits keeps the process alive.
  loop_.Unref(env);
}

Environment::~Environment() = default;

Environment& Environment::of(napi_env env) {
  void* data = nullptr;
  napi_get_instance_data(env, &data);
  return *static_cast<Environment*>(data);
}

void Environment::shut_down() {
  captures = {};
  tensors = {};
  devices = {};
  loop_.Abort();
}

Napi::Promise Environment::promise(std::function<Napi::Value(Napi::Env)> value, Completion* completion) {
  const auto pending = std::make_shared<Pending>(*this, std::move(value));
  if (pending_++ == 0) loop_.Ref(env_);
  *completion = [pending](std::optional<Error> error) { pending->settle(std::move(error)); };
  return pending->promise();
}

Environment::Pending::Pending(Environment& environment, std::function<Napi::Value(Napi::Env)> value)
    : loop_(environment.loop_),
      settlement_(new Settlement{environment, Napi::Promise::Deferred(environment.env_), std::move(value), {}}) {}

Environment::Pending::~Pending() {
  if (settlement_) settle(make_error(ErrorCode::kInvalidHandle, "the device was closed before this was done"));
}

void Environment::Pending::settle(std::optional<Error> error) {
  if (error) settlement_->error.emplace(std::move(*error));
  // Where this fails the environment is closing: nobody is left to tell, and what the settlement holds must not be
  // freed on this thread.
  loop_.NonBlockingCall(settlement_.release(), [](Napi::Env, Napi::Function, Settlement* raw) {
    const std::unique_ptr<Settlement> owned(raw);
    owned->environment.finish(*owned);
  });
}

void Environment::finish(Settlement& settlement) {
  if (--pending_ == 0) loop_.Unref(env_);
  const Napi::HandleScope scope(env_);
  if (settlement.error) {
    settlement.deferred.Reject(to_javascript(*this, env_, *settlement.error));
  } else {
    settlement.deferred.Resolve(settlement.value(env_));
  }
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
  const Napi::String code = Napi::String::New(env, name_of(error.code));
  const Napi::String message = Napi::String::New(env, error.what());
  if (!environment.error_class.IsEmpty()) {
    try {
      return environment.error_class.New({code, message});
    } catch (const Napi::Error&) {
      // The class that JavaScript gave is not one.
    }
  }
  Napi::Error plain = Napi::Error::New(env, error.what());
  plain.Set("code", code);
  return plain.Value();
}

}  // namespace foretoken
