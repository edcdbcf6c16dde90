// Calls of Node-API that can run JavaScript, and can therefore fail.
//
// V8 may terminate JavaScript in the middle of a native call: by worker.terminate(), by process.exit() in a worker, by
// the time limit of a vm script. From then on these calls fail, with no exception to fetch and no way to create an
// object for one. node-addon-api tries to create a Napi::Error nevertheless, and ends the process when that fails. So
// the addon uses from node-addon-api only what reads a value or creates a plain one; scripts/check-native.ts refuses
// the rest.
#pragma once

#include <napi.h>

namespace foretoken {

// Thrown when a call of Node-API fails. If JavaScript threw an exception, it stays pending in the environment, and Node
// throws it again when the native function returns.
struct JavaScriptFailed {};

inline void check(napi_status status) {
  if (status != napi_ok) throw JavaScriptFailed{};
}

inline Napi::Value get(const Napi::Object& object, const char* name) {
  napi_value value;
  check(napi_get_named_property(object.Env(), object, name, &value));
  return {object.Env(), value};
}

inline Napi::Value get(const Napi::Array& array, uint32_t index) {
  napi_value value;
  check(napi_get_element(array.Env(), array, index, &value));
  return {array.Env(), value};
}

inline void set(const Napi::Object& object, const char* name, napi_value value) {
  check(napi_set_named_property(object.Env(), object, name, value));
}

inline void set(const Napi::Array& array, uint32_t index, napi_value value) {
  check(napi_set_element(array.Env(), array, index, value));
}

// Fetches and clears the pending exception; undefined if there is none.
inline Napi::Value take_exception(Napi::Env env) {
  napi_value exception = nullptr;
  napi_get_and_clear_last_exception(env, &exception);
  return {env, exception};
}

// Clears the pending exception so that the caller can throw another. If V8 is terminating JavaScript, the exception
// looks like null, and the script to be terminated could catch a replacement: then this throws JavaScriptFailed
// instead.
inline void catch_exception(Napi::Env env) {
  if (take_exception(env).IsNull()) throw JavaScriptFailed{};
}

}  // namespace foretoken
