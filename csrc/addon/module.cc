// The addon's entry: makes the environment's state and exports every family of ops.
#include <napi.h>

#include "csrc/addon/call.h"
#include "csrc/addon/families.h"

namespace foretoken {

namespace {

// Runs an exported function and turns what it throws into a JavaScript error.
napi_value invoke(napi_env env, napi_callback_info info) {
  void* data = nullptr;
  napi_get_cb_info(env, info, nullptr, nullptr, nullptr, &data);
  const Export& exported = *static_cast<const Export*>(data);
  try {
    Call call(env, info, exported.name);
    return exported.function(call);
  } catch (const Error& error) {
    napi_throw(env, to_javascript(Environment::of(env), env, error));
  } catch (const Napi::Error& error) {
    error.ThrowAsJavaScriptException();
  } catch (const std::bad_alloc&) {
    const Error error = make_error(ErrorCode::kOutOfMemory, "%s: out of memory", exported.name);
    napi_throw(env, to_javascript(Environment::of(env), env, error));
  } catch (const std::exception& failure) {
    const Error error = make_error(ErrorCode::kInternal, "%s: %s", exported.name, failure.what());
    napi_throw(env, to_javascript(Environment::of(env), env, error));
  }
  return nullptr;
}

void export_all(Napi::Env env, Napi::Object exports, const Exports& family) {
  for (const Export& exported : family) {
    napi_value function;
    napi_create_function(env, exported.name, NAPI_AUTO_LENGTH, invoke, const_cast<Export*>(&exported), &function);
    exports.Set(exported.name, Napi::Value(env, function));
  }
}

Napi::Object initialize(Napi::Env env, Napi::Object exports) {
  auto environment = std::make_unique<Environment>(env);
  // The hook runs before the instance data is freed, while the event loop can still drop pending calls.
  env.AddCleanupHook([](Environment* ending) { ending->shut_down(); }, environment.get());
  env.SetInstanceData(environment.release());
  for (const Exports* family : all_families()) export_all(env, exports, *family);
  return exports;
}

}  // namespace

NODE_API_MODULE(foretoken, initialize)

}  // namespace foretoken
