import { ForetokenError } from '../errors';
import type { Device } from '../tensor/device';
import { packWeight } from '../tensor/ops/linear';
import { Random } from '../tensor/random';
import { keep } from '../tensor/scope';
import type { Tensor } from '../tensor/tensor';

/** A named piece of a parameter, as checkpoints store it. */
export interface ParameterPart {
  /** The tensor's name in the checkpoint. */
  name: string;
  /** Its shape; the parts of one parameter differ in the first dimension at most. */
  shape: readonly number[];
}

/** How a parameter starts: normal(0, std), or all the same value. */
export type Init =
  | {
      /** Standard deviation. */
      std: number;
    }
  | {
      /** What every element starts as. */
      value: number;
    };

/**
 * One trainable tensor. Several checkpoint tensors that are always used together (q, k and v projections; gate and up)
 * are parts of one parameter, stacked along the first dimension, so that they cost one product.
 */
export class Parameter {
  /** That of the parts, one below the other. */
  readonly shape: readonly number[];
  /** Number of elements. */
  readonly size: number;
  #value: Tensor | null = null;
  #packed: Tensor | null = null;

  constructor(
    /** What checkpoints call its pieces, first rows first. */
    readonly parts: readonly ParameterPart[],
    /** How it starts. */
    readonly init: Init,
    /** Whether weight decay applies: matrices, but neither norms nor biases. */
    readonly decay: boolean,
  ) {
    const first = parts[0]!.shape;
    this.shape = [parts.reduce((rows, part) => rows + part.shape[0]!, 0), ...first.slice(1)];
    this.size = this.shape.reduce((product, dim) => product * dim, 1);
  }

  /** The tensor itself, a leaf that gathers gradients. */
  get value(): Tensor {
    if (!this.#value) throw new ForetokenError('INTERNAL', `${this.parts[0]!.name}: not allocated yet`);
    return this.#value;
  }

  /** Set once, by the store. */
  set value(tensor: Tensor) {
    this.#value = tensor;
  }

  /** The value as `linear` reads it fastest; kept until the value changes. */
  packed(): Tensor {
    return (this.#packed ??= keep(packWeight(this.value)));
  }

  /** To be called when the value has changed. */
  changed(): void {
    this.#packed?.dispose();
    this.#packed = null;
  }

  /** Frees value, gradient and packed form. */
  dispose(): void {
    this.changed();
    this.#value?.grad?.dispose();
    this.#value?.dispose();
    this.#value = null;
  }
}

/** All parameters with one treatment by the optimizer, in one flat tensor. */
export interface Bucket {
  /** Whether weight decay applies. */
  readonly decay: boolean;
  /** float32, one-dimensional: the parameters one after another. */
  readonly value: Tensor;
  /** Their gradients in the same places; null before `allocateGradients`. */
  grad: Tensor | null;
}

/** Where a named piece of a parameter lies in its bucket. */
export interface BucketPiece extends ParameterPart {
  /** Elements of the bucket before it. */
  readonly offset: number;
}

/**
 * Collects the parameters of a model while its layers are made, then gives them memory in a few large buckets: one
 * optimizer launch, one gradient norm, one all-reduce each.
 */
export class ParameterStore {
  /** All of them, in the order in which they were made. */
  readonly parameters: Parameter[] = [];
  /** At most two, with weight decay and without; none before `allocate`. */
  buckets: Bucket[] = [];

  constructor(
    /** Where the parameters lie. */
    readonly device: Device,
  ) {}

  /** Registers a parameter; `parts` as in {@link Parameter}. */
  create(parts: readonly ParameterPart[], init: Init): Parameter {
    if (this.buckets.length > 0) throw new ForetokenError('INTERNAL', 'parameters are allocated already');
    const parameter = new Parameter(parts, init, parts[0]!.shape.length > 1);
    this.parameters.push(parameter);
    return parameter;
  }

  /**
   * Gives every parameter its memory. Initial values are keyed by seed and name, so a trunk starts the same whatever
   * heads are put on it. Without a seed the values are left for a checkpoint to fill.
   */
  allocate(seed?: number): void {
    this.buckets = [true, false].flatMap((decay) => {
      const members = this.parameters.filter((parameter) => parameter.decay === decay);
      const size = members.reduce((sum, parameter) => sum + parameter.size, 0);
      if (size === 0) return [];
      const value = keep(
        seed === undefined ? this.device.zeros([size]) : this.device.tensor(initial(members, size, seed)),
      );
      let offset = 0;
      for (const parameter of members) {
        parameter.value = keep(value.view(offset, parameter.shape)).requireGrad();
        offset += parameter.size;
      }
      return [{ decay, value, grad: null }];
    });
  }

  /** Makes room for gradients, zero at first; the parameters' `grad` are views of it. */
  allocateGradients(): void {
    for (const bucket of this.buckets) {
      if (bucket.grad) continue;
      bucket.grad = keep(this.device.zeros([bucket.value.size]));
      let offset = 0;
      for (const parameter of this.parameters) {
        if (parameter.decay !== bucket.decay) continue;
        parameter.value.grad?.dispose();
        parameter.value.grad = keep(bucket.grad.view(offset, parameter.shape));
        offset += parameter.size;
      }
    }
  }

  /** Sets the gradients to 0, if there is room for them. */
  zeroGradients(): void {
    for (const bucket of this.buckets) bucket.grad?.fill(0);
  }

  /** What lies where in a bucket, and in every flat tensor that goes with it. */
  pieces({ decay }: Bucket): BucketPiece[] {
    let offset = 0;
    return this.parameters
      .filter((parameter) => parameter.decay === decay)
      .flatMap(({ parts }) => parts)
      .map((part) => {
        const piece = { ...part, offset };
        offset += part.shape.reduce((product, dim) => product * dim, 1);
        return piece;
      });
  }

  /** To be called when values have changed, by an optimizer or a checkpoint. */
  changed(): void {
    for (const parameter of this.parameters) parameter.changed();
  }

  /** Number of trainable scalars. */
  get size(): number {
    return this.parameters.reduce((sum, parameter) => sum + parameter.size, 0);
  }

  /** Frees values and gradients of all parameters. */
  dispose(): void {
    for (const parameter of this.parameters) parameter.dispose();
    for (const bucket of this.buckets) {
      bucket.value.dispose();
      bucket.grad?.dispose();
    }
    this.buckets = [];
  }
}

function initial(members: readonly Parameter[], size: number, seed: number): Float32Array {
  const values = new Float32Array(size);
  let offset = 0;
  for (const { parts, init } of members) {
    for (const part of parts) {
      const count = part.shape.reduce((product, dim) => product * dim, 1);
      const target = values.subarray(offset, offset + count);
      if ('value' in init) target.fill(init.value);
      else {
        const random = new Random(seed, part.name);
        for (let i = 0; i < count; i++) target[i] = init.std * random.normal();
      }
      offset += count;
    }
  }
  return values;
}
