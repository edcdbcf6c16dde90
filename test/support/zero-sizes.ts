// Operations with a dimension of 0 write their output and their gradients, and take no time for rows without elements, however
// many. Every family of operations lists its cases in a test of its own.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Device } from '../../lib/tensor/device';
import type { Tensor } from '../../lib/tensor/tensor';
import { bfloat16Targets, onDevice, targets } from './devices';

/** A tensor that an operation returned or changed, or a leaf for its gradient, with the expected shape and contents. */
type Expected = readonly [tensor: Tensor, shape: readonly number[], contents: readonly number[]];

interface Outcome {
  results: Expected[];
  /** Gradients of the sum of the first result's elements times 1, 2, 3, …. */
  gradients?: Expected[];
}

/** Makes leaves with the contents 1, 2, 3, …, and tensors of given integers. */
export interface Make {
  device: Device;
  /** In the type that the operation computes in. */
  floats: (...shape: number[]) => Tensor;
  /** Always float32: biases, weights of norms, statistics. */
  exact: (...shape: number[]) => Tensor;
  ints: (shape: number[], ...values: number[]) => Tensor;
}

export type Case = readonly [title: string, run: (make: Make) => Outcome];

/** The cases of functions, by their names. */
export type Cases = Record<string, Case[]>;

/** More rows than a loop could visit. */
export const MANY = 2 ** 40;
export const zeros = (count: number): number[] => new Array<number>(count).fill(0);
export const empty = (tensor: Tensor, ...shape: number[]): Expected => [tensor, shape, []];

/** One case for each of several empty shapes. */
export function everyShape(run: (make: Make, shape: readonly number[]) => Outcome): Case[] {
  const shapes = [[0], [0, 3], [3, 0], [MANY, 0]];
  return shapes.map((shape) => [`of [${shape.join(', ')}]`, (make) => run(make, shape)]);
}

/**
 * Tests the operations of a folder of lib/tensor/ops.
 * @param others functions that the folder exports beside operations
 */
export function testFamily(family: string, operations: Cases, others: readonly string[] = []): void {
  test('every operation has an entry', () => {
    const folder = join(__dirname, '../../lib/tensor/ops', family);
    const exported = readdirSync(folder).flatMap((file) => {
      const module = jest.requireActual<Record<string, unknown>>(join(folder, file));
      return Object.keys(module).filter((name) => typeof module[name] === 'function');
    });
    expect([...Object.keys(operations), ...others].sort()).toEqual(exported.sort());
  });
  testCases(operations);
}

/** Tests functions on all devices, in all types that a device computes in. */
export function testCases(cases: Cases): void {
  const table = Object.entries(cases).flatMap(([name, list]) =>
    list.map(([title, run]) => [name, title, run] as const),
  );
  describe.each([
    ...targets.map((target) => [target, 'float32'] as const),
    ...bfloat16Targets.map((target) => [target, 'bfloat16'] as const),
  ])('on %s in %s', (target, dtype) => {
    test.each(table)('%s: %s', async (_name, _title, run) => {
      await onDevice(target, (device) => expectOutcome(device, dtype, run));
    });
  });
}

async function expectOutcome(device: Device, dtype: 'float32' | 'bfloat16', run: Case[1]): Promise<void> {
  const counted = (shape: readonly number[]): Tensor => {
    const size = shape.reduce((product, dim) => product * dim, 1);
    return device.tensor(
      Float32Array.from({ length: size }, (_, i) => i + 1),
      shape,
    );
  };
  const { results, gradients } = run({
    device,
    floats: (...shape) => counted(shape).cast(dtype).requireGrad(),
    exact: (...shape) => counted(shape).requireGrad(),
    ints: (shape, ...values) => device.tensor(Int32Array.from(values), shape),
  });
  const [first] = results[0]!;
  expect(first.node !== null).toBe(gradients !== undefined);
  if (gradients) first.backward(counted(first.shape));
  for (const [tensor, shape, contents] of results) await expectContents(tensor, shape, contents);
  for (const [leaf, shape, contents] of gradients ?? []) await expectContents(leaf.grad!, shape, contents);
}

async function expectContents(
  tensor: Tensor,
  shape: readonly number[],
  contents: readonly number[],
): Promise<void> {
  expect(tensor.shape).toEqual(shape);
  const exact = tensor.dtype === 'int32' ? tensor : tensor.cast('float32');
  expect(Array.from(await exact.data())).toEqual(contents);
}
