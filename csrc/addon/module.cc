// The addon's entry point: creates the environment's state and exports all functions.
#include "csrc/addon/call.h"
#include "csrc/addon/families.h"
#include "csrc/addon/javascript.h"

namespace foretoken {

namespace {

void throw_error(napi_env env, const Error& error) {
  check(napi_throw(env, to_javascript(Environment::of(env), env, error)));
}

// Runs an exported function and converts C++ exceptions to JavaScript errors.
napi_value invoke(napi_env env, napi_callback_info info) {
  void* data = nullptr;
  napi_get_cb_info(env, info, nullptr, nullptr, nullptr, &data);
  const Export& exported = *static_cast<const Export*>(data);
  try {
    try {
      Call call(env, info, exported.name);
      const napi_value result = exported.function(call);
      call.check_all_read();
      return result;
    } catch (const Error& error) {
      throw_error(env, error);
    } catch (const std::bad_alloc&) {
      throw_error(env, make_error(ErrorCode::kOutOfMemory, "%s: out of memory", exported.name));
    } catch (const std::exception& failure) {
      throw_error(env, make_error(ErrorCode::kInternal, "%s: %s", exported.name, failure.what()));
    }
  } catch (const JavaScriptFailed&) {
    // Node throws the pending exception.
  }
  return nullptr;
}

void export_all(napi_env env, napi_value exports, const Exports& family) {
  for (const Export& exported : family) {
    napi_value function;
    check(
        napi_create_function(env, exported.name, NAPI_AUTO_LENGTH, invoke, const_cast<Export*>(&exported), &function));
    check(napi_set_named_property(env, exports, exported.name, function));
  }
}

napi_value initialize(napi_env env, napi_value exports) {
  try {
    auto made = std::make_unique<Environment>(env);
    Environment* const environment = made.get();
    const auto free = [](napi_env, void* ended, void*) { delete static_cast<Environment*>(ended); };
    check(napi_set_instance_data(env, environment, free, nullptr));
    made.release();
    // The hook runs before the instance data is freed, while the event loop can still drop pending calls.
    const auto shut_down = [](void* ending) { static_cast<Environment*>(ending)->shut_down(); };
    check(napi_add_env_cleanup_hook(env, shut_down, environment));
    for (const Exports* family : all_families()) export_all(env, exports, *family);
    return exports;
  } catch (const JavaScriptFailed&) {
    // Has no effect if an exception is already pending or V8 is terminating JavaScript.
    napi_throw_error(env, nullptr, "foretoken cannot be started in this JavaScript environment");
    return nullptr;
  }
}

}  // namespace

}  // namespace foretoken

NAPI_MODULE_INIT() { return foretoken::initialize(env, exports); }
