// Calls of Node-API that can run JavaScript, and can therefore fail.
//
// V8 may end JavaScript in the middle of a native call: worker.terminate(), process.exit() in a worker, the time limit
// of a vm script. From then on these calls fail, without an exception that could be had or an object that could be made
// for one. node-addon-api would make a Napi::Error nevertheless, and ends the process when it cannot. So the addon
// takes from it only what reads a value or makes a plain one; scripts/check-native.ts refuses the rest.
#pragma once

#include <napi.h>

namespace foretoken {

// A call of Node-API failed. What JavaScript threw, if that was it, stays pending in the environment, and is thrown
// again as soon as the native function returns.
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

// What JavaScript threw, which is pending no longer; undefined if it threw nothing.
inline Napi::Value take_exception(Napi::Env env) {
  napi_value exception = nullptr;
  napi_get_and_clear_last_exception(env, &exception);
  return {env, exception};
}

// Catches what JavaScript threw, to throw something else. Where V8 is ending JavaScript it looks as if null had been
// thrown, and whatever is thrown in its place would be caught by the script that is to end: then, nothing is.
inline void catch_exception(Napi::Env env) {
  if (take_exception(env).IsNull()) throw JavaScriptFailed{};
}

}  // namespace foretoken
