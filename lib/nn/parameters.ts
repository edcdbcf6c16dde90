import { boolean, check, checkOptions } from '../check';
import { ForetokenError } from '../errors';
import type { ActivationDType, WeightDType, DotDType } from '../tensor/types';
import { device as deviceChecker } from '../tensor/checks';
import type { Device } from '../tensor/device';
import { packWeight } from '../tensor/ops/linear/linear';
import { Random } from '../random';
import { keep } from '../tensor/scope';
import type { Tensor } from '../tensor/tensor';
import { INIT, PARAMETER_PARTS, STORE_OPTIONS } from './checks';

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
export class Parameter implements Disposable {
  /** That of the parts, one below the other. */
  readonly shape: readonly number[];
  /** Number of elements. */
  readonly size: number;
  #value: Tensor | null = null;
  #rounded: Tensor | null = null;
  #packed: Tensor | null = null;
  #isPacked = false;
  #disposed = false;

  constructor(
    /** What checkpoints call its pieces, first rows first. */
    readonly parts: readonly ParameterPart[],
    /** How it starts. */
    readonly init: Init,
    /** Whether weight decay applies: matrices, but neither norms nor biases. */
    readonly decay: boolean,
  ) {
    check('Parameter: parts', parts, PARAMETER_PARTS);
    check('Parameter: init', init, INIT);
    check('Parameter: decay', decay, boolean);
    const first = parts[0]!.shape;
    this.shape = [parts.reduce((rows, part) => rows + part.shape[0]!, 0), ...first.slice(1)];
    this.size = this.shape.reduce((product, dim) => product * dim, 1);
  }

  /** The tensor itself, a leaf that gathers gradients; what optimizers change and checkpoints store. May be packed. */
  get value(): Tensor {
    const { name } = this.parts[0]!;
    if (this.#disposed) throw new ForetokenError('INVALID_HANDLE', `${name} was disposed, with its model`);
    if (!this.#value) throw new ForetokenError('INTERNAL', `${name}: not allocated yet`);
    return this.#value;
  }

  /** Set once, by the store. */
  set value(tensor: Tensor) {
    this.#value = tensor;
  }

  /**
   * What the model multiplies with, and embeds with: the value, or where the model computes in bfloat16 a copy rounded to
   * that, whose gradients gather in the value.
   */
  get operand(): Tensor {
    return this.#rounded ?? this.value;
  }

  /** Set once, by the store. */
  set rounded(tensor: Tensor) {
    tensor.requireGrad().master = this.value;
    this.#rounded = tensor;
  }

  /** Keeps these values packed alone, for products in `dtype`, instead of what it had. */
  keepPacked(values: Tensor, dtype: DotDType): void {
    const before = this.#value;
    this.#value = keep(packWeight(values, dtype));
    this.#isPacked = true;
    before?.dispose();
  }

  /** The operand as `linear` reads it fastest; kept until the value changes. */
  packed(): Tensor {
    if (this.#isPacked) return this.value;
    return (this.#packed ??= keep(packWeight(this.operand)));
  }

  /** To be called when the operand has changed. */
  changed(): void {
    this.#packed?.dispose();
    this.#packed = null;
  }

  /** Frees value, gradient and all copies. */
  dispose(): void {
    this.changed();
    this.#rounded?.dispose();
    this.#rounded = null;
    this.#value?.grad?.dispose();
    this.#value?.dispose();
    this.#value = null;
    this.#disposed = true;
  }

  /** What `using` calls: {@link dispose}. */
  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** All parameters with one treatment by the optimizer, in one flat tensor. */
export interface Bucket {
  /** Whether weight decay applies. */
  readonly decay: boolean;
  /** One-dimensional: the parameters one after another. float32, but for matrices that keep no {@link StoreOptions.masters}. */
  readonly value: Tensor;
  /** The same rounded to what the model computes in, where that is not what they are. */
  rounded: Tensor | null;
  /** Their gradients in the same places; null before `allocateGradients`. */
  grad: Tensor | null;
}

/** Where a named piece of a parameter lies in its bucket. */
export interface BucketPiece extends ParameterPart {
  /** Elements of the bucket before it. */
  readonly offset: number;
}

/** What lies where in a flat tensor of these parameters, one after another. */
export function piecesOfParameters(parameters: readonly Parameter[]): BucketPiece[] {
  let offset = 0;
  return parameters
    .flatMap(({ parts }) => parts)
    .map((part) => {
      const piece = { ...part, offset };
      offset += part.shape.reduce((product, dim) => product * dim, 1);
      return piece;
    });
}

/** What a model computes in, and what that makes of its parameters. */
export interface StoreOptions {
  /**
   * Type of matrices and activations. Default float32. With bfloat16 matrices are multiplied in bfloat16, norms and biases
   * stay float32. With int8, which needs `masters` to be false, matrices are multiplied in int8, and activations are float32.
   */
  dtype?: WeightDType;
  /**
   * Whether matrices in bfloat16 are kept in float32 as well: what training needs, which changes them by less than bfloat16
   * can tell. Default true. Without, devices that do not compute in bfloat16 can multiply in it all the same: matrices are kept
   * packed for that, and activations are float32, rounded where they meet a matrix ({@link packWeight}).
   */
  masters?: boolean;
}

/**
 * Collects the parameters of a model while its layers are made, then gives them memory in a few large buckets: one
 * optimizer launch, one gradient norm, one all-reduce each.
 */
export class ParameterStore implements Disposable {
  /** All of them, in the order in which they were made. */
  readonly parameters: Parameter[] = [];
  /** Those that `linear` multiplies with. */
  readonly #weights = new Set<Parameter>();
  #buckets: Bucket[] = [];
  #disposed = false;
  /** Type of activations. */
  readonly dtype: ActivationDType;
  /** Type that matrices are stored in. */
  readonly storedDtype: WeightDType;
  /** Whether the values can be trained: not where only rounded ones are kept. */
  readonly trainable: boolean;
  /** Type that matrices are packed in which are kept so alone; null where they are kept as they are. */
  readonly packedDtype: DotDType | null;
  /** Rises whenever values change. */
  version = 0;

  constructor(
    /** Where the parameters lie. */
    readonly device: Device,
    options: StoreOptions = {},
  ) {
    check('ParameterStore: device', device, deviceChecker);
    const { dtype = 'float32', masters = true } = checkOptions('ParameterStore', options, STORE_OPTIONS);
    this.trainable = masters || dtype === 'float32';
    this.dtype = dtype !== 'int8' && (this.trainable || device.computesIn(dtype)) ? dtype : 'float32';
    this.storedDtype = this.trainable ? 'float32' : dtype;
    const { storedDtype } = this;
    this.packedDtype = storedDtype !== 'float32' && device.packs(storedDtype) ? storedDtype : null;
  }

  /**
   * At most two, with weight decay and without; none before `allocate`. Matrices that are kept packed alone are in none.
   * @throws ForetokenError INVALID_HANDLE once disposed
   */
  get buckets(): readonly Bucket[] {
    if (this.#disposed)
      throw new ForetokenError('INVALID_HANDLE', 'the parameters were disposed, with their model');
    return this.#buckets;
  }

  /** Registers a parameter; `parts` as in {@link Parameter}. */
  create(parts: readonly ParameterPart[], init: Init): Parameter {
    if (this.buckets.length > 0) throw new ForetokenError('INTERNAL', 'parameters are allocated already');
    check('ParameterStore.create: parts', parts, PARAMETER_PARTS);
    const parameter = new Parameter(parts, init, parts[0]!.shape.length > 1);
    this.parameters.push(parameter);
    return parameter;
  }

  /** Says that `linear` multiplies with this parameter. */
  addWeight(parameter: Parameter): void {
    this.#weights.add(parameter);
  }

  /**
   * Gives a matrix that is kept packed alone its values.
   * @param flat [its size]
   */
  pack(parameter: Parameter, flat: Tensor): void {
    using matrix = flat.view(0, parameter.shape);
    parameter.keepPacked(matrix, this.packedDtype!);
  }

  /** The matrices that are kept packed alone. */
  get packedAlone(): Parameter[] {
    return this.packedDtype ? this.parameters.filter(({ decay }) => decay) : [];
  }

  /** Packs all weights that are not packed yet: once decoding is captured, it is too late. */
  packWeights(): void {
    for (const weight of this.#weights) weight.packed();
  }

  /**
   * Gives every parameter its memory. Initial values are keyed by seed and name, so a trunk starts the same whatever
   * heads are put on it. Without a seed the values are left for a checkpoint to fill.
   */
  allocate(seed?: number): void {
    for (const parameter of this.packedAlone) {
      using values = this.#initialValue([parameter], 'float32', seed);
      this.pack(parameter, values);
    }
    const kinds = this.packedDtype ? [false] : [true, false];
    for (const decay of kinds) {
      const members = this.parameters.filter((parameter) => parameter.decay === decay);
      if (members.length === 0) continue;
      const value = keep(this.#initialValue(members, decay ? this.storedDtype : 'float32', seed));
      const bucket: Bucket = { decay, value, rounded: null, grad: null };
      this.#buckets.push(bucket);
      const isRounded = decay && this.trainable && this.dtype !== 'float32';
      if (isRounded) bucket.rounded = keep(this.device.empty(value.shape, this.dtype));
      const { rounded } = bucket;
      let offset = 0;
      for (const parameter of members) {
        parameter.value = keep(value.view(offset, parameter.shape));
        if (this.trainable) parameter.value.requireGrad();
        if (rounded) parameter.rounded = keep(rounded.view(offset, parameter.shape));
        offset += parameter.size;
      }
    }
    this.changed();
  }

  #initialValue(members: readonly Parameter[], dtype: WeightDType, seed?: number): Tensor {
    const size = members.reduce((sum, parameter) => sum + parameter.size, 0);
    if (seed === undefined) return this.device.zeros([size], dtype);
    const all = this.device.empty([size], dtype);
    try {
      let offset = 0;
      // One parameter at a time, and only once the device has room for all: the host may have less memory.
      for (const parameter of members) {
        using drawn = this.device.tensor(initialValues(parameter, seed));
        using values = dtype === 'float32' ? drawn.detach() : drawn.cast(dtype);
        using part = all.view(offset, [parameter.size]);
        part.copyFrom(values);
        offset += parameter.size;
      }
      return all;
    } catch (error) {
      all.dispose();
      throw error;
    }
  }

  /** Makes room for gradients, zero at first; the parameters' `grad` are views of it. */
  allocateGradients(): void {
    if (!this.trainable) {
      const problem = `its matrices are kept in ${this.storedDtype} alone (masters: false)`;
      throw new ForetokenError('INVALID_ARGUMENT', `the model cannot be trained: ${problem}`);
    }
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
    return piecesOfParameters(this.parameters.filter((parameter) => parameter.decay === decay));
  }

  /** To be called when values have changed, as by a checkpoint: rounds them anew. */
  changed(): void {
    for (const { value, rounded } of this.buckets) {
      if (!rounded) continue;
      using cast = value.cast(this.dtype);
      rounded.copyFrom(cast);
    }
    this.updated();
  }

  /** To be called when values have changed and `rounded` with them, as by an optimizer. */
  updated(): void {
    this.version += 1;
    for (const parameter of this.parameters) parameter.changed();
  }

  /** Number of trainable scalars. */
  get size(): number {
    return this.parameters.reduce((sum, parameter) => sum + parameter.size, 0);
  }

  /** Frees values and gradients of all parameters. */
  dispose(): void {
    for (const parameter of this.parameters) parameter.dispose();
    for (const bucket of this.#buckets) {
      bucket.value.dispose();
      bucket.rounded?.dispose();
      bucket.grad?.dispose();
    }
    this.#buckets = [];
    this.#disposed = true;
  }

  /** What `using` calls: {@link dispose}. */
  [Symbol.dispose](): void {
    this.dispose();
  }
}

function initialValues({ parts, init, size }: Parameter, seed: number): Float32Array {
  const values = new Float32Array(size);
  let offset = 0;
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
  return values;
}
