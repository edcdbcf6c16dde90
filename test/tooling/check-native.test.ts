import { findAssembly, findCasts, findUnsafeCalls } from '../../scripts/check-native';

test('inline assembly is found in all its spellings', () => {
  const source = [
    'int f() {',
    '  asm("nop");',
    '  asm volatile("nop");',
    '  __asm__ __volatile__("nop");',
    '}',
  ].join('\n');
  expect(findAssembly(source)).toEqual([2, 3, 4]);
});

test('comments, strings and longer names are not assembly', () => {
  const source = [
    '// asm("nop")',
    '/* asm',
    ' asm */',
    'const char* s = "asm(\\"x\\")";',
    'int asm_count, plasma;',
  ].join('\n');
  expect(findAssembly(source)).toEqual([]);
});

test('functions of node-addon-api that can run JavaScript are found', () => {
  const source = [
    'info.Set("kind", kind);',
    'const Napi::Value element = array.Get(i);',
    'kept->Value().ToString();',
    'error.ThrowAsJavaScriptException();',
    'throw Napi::TypeError::New(env, "message");',
    'Napi::Promise::Deferred deferred(env);',
    'return Napi::Float32Array::New(env, count, contents, 0);',
    'NODE_API_MODULE(foretoken, initialize)',
  ];
  expect(findUnsafeCalls(source.join('\n'))).toEqual(source.map((_, i) => i + 1));
});

test('functions that cannot run JavaScript are allowed', () => {
  const source = [
    'const Napi::Object info = Napi::Object::New(env);  // not info.Set()',
    'const Napi::Array names = Napi::Array::New(env);',
    'set(names, names.Length(), Napi::String::New(env, name));',
    'const double number = value.As<Napi::Number>().DoubleValue();',
    'Napi::FunctionReference error_class = Napi::Persistent(given.As<Napi::Function>());',
    'napi_value result = pointer.get();',
  ];
  expect(findUnsafeCalls(source.join('\n'))).toEqual([]);
});

test('results that are cast away are found', () => {
  const source = [
    '(void)cudaFree(memory);',
    'static_cast<void>(cudaFree(memory));',
    'discard(cudaFree(memory), "(void)");',
  ];
  expect(findCasts([...source, 'int f(void);'].join('\n'))).toEqual([1, 2, 4]);
});
