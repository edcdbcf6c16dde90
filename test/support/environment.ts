// Jest runs tests in a vm context, which has its own Error, Promise, Float32Array, …. Objects of the addon come from the
// outer realm and would fail `instanceof` in the context. So tests see the outer constructors, and objects that the engine
// makes inside the context (the TypeError of `null.x`, the promise of an async function) inherit from them.
import { TestEnvironment } from 'jest-environment-node';
import type { EnvironmentContext, JestEnvironmentConfig } from '@jest/environment';

const names = [
  ...[
    'Error',
    'AggregateError',
    'EvalError',
    'RangeError',
    'ReferenceError',
    'SyntaxError',
    'TypeError',
    'URIError',
  ],
  ...['Promise', 'ArrayBuffer', 'SharedArrayBuffer', 'DataView'],
  ...[
    'Int8Array',
    'Uint8Array',
    'Uint8ClampedArray',
    'Int16Array',
    'Uint16Array',
    'Int32Array',
    'Uint32Array',
  ],
  ...['Float32Array', 'Float64Array', 'BigInt64Array', 'BigUint64Array'],
];

type Constructors = Record<string, { prototype: object }>;

export default class SharedRealmEnvironment extends TestEnvironment {
  constructor(config: JestEnvironmentConfig, context: EnvironmentContext) {
    super(config, context);
    const outer = globalThis as unknown as Constructors;
    const inner = this.global as unknown as Constructors;
    for (const name of names) {
      const own = inner[name]!;
      if (own === outer[name]) continue; // jest shares some already
      Object.setPrototypeOf(own.prototype, outer[name]!.prototype);
      inner[name] = outer[name]!;
    }
  }
}
