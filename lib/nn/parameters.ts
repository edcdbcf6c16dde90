import { boolean, check, checkOptions } from '../check';
import { ForetokenError } from '../errors';
import type { ActivationDType, WeightDType, DotDType } from '../tensor/types';
import { device as deviceChecker } from '../tensor/checks';
import type { Device } from '../tensor/device';
import { packedZeros, packWeight } from '../tensor/ops/linear/linear';
import { Random } from '../random';
import { keep } from '../tensor/scope';
import type { Tensor } from '../tensor/tensor';
import { INIT, PARAMETER_PARTS, STORE_OPTIONS } from './checks';

/** A named part of a parameter, which checkpoints store as one tensor. */
export interface ParameterPart {
  /** The tensor's name in the checkpoint. */
  name: string;
  /** Shape of the part; the parts of one parameter differ at most in the first dimension. */
  shape: readonly number[];
}

/** Initial values of a parameter: normal(0, std), or one value for all elements. */
export type Init =
  | {
      /** Standard deviation. */
      std: number;
    }
  | {
      /** Initial value of every element. */
      value: number;
    };

/**
 * One trainable tensor. Checkpoint tensors that are always used together (q, k and v projections; gate and up) are parts of one
 * parameter, stacked along the first dimension, so that one product multiplies with all of them.
 */
export class Parameter implements Disposable {
  /** Shape of the stacked parts. */
  readonly shape: readonly number[];
  /** Number of elements. */
  readonly size: number;
  #value: Tensor | null = null;
  #rounded: Tensor | null = null;
  #packed: Tensor | null = null;
  #isPacked = false;
  #disposed = false;

  constructor(
    /** Parts by their names in checkpoints, first rows first. */
    readonly parts: readonly ParameterPart[],
    /** Initial values. */
    readonly init: Init,
    /** Whether weight decay applies: to matrices, but not to norms and biases. */
    readonly decay: boolean,
  ) {
    check('Parameter: parts', parts, PARAMETER_PARTS);
    check('Parameter: init', init, INIT);
    check('Parameter: decay', decay, boolean);
    const first = parts[0]!.shape;
    this.shape = [parts.reduce((rows, part) => rows + part.shape[0]!, 0), ...first.slice(1)];
    this.size = this.shape.reduce((product, dim) => product * dim, 1);
  }

  /** The values, a leaf that accumulates gradients; optimizers change them and checkpoints store them. May be packed. */
  get value(): Tensor {
    const { name } = this.parts[0]!;
    if (this.#disposed) throw new ForetokenError('INVALID_HANDLE', `${name} was disposed of with its model`);
    if (!this.#value) throw new ForetokenError('INTERNAL', `${name} is not allocated yet`);
    return this.#value;
  }

  /** Set once by the store. */
  set value(tensor: Tensor) {
    this.#value = tensor;
  }

  /**
   * The tensor for products and embeddings: the value or, if the model computes in bfloat16, a rounded copy, whose gradients
   * accumulate in the value.
   */
  get operand(): Tensor {
    return this.#rounded ?? this.value;
  }

  /** Set once by the store. */
  set rounded(tensor: Tensor) {
    tensor.requireGrad().master = this.value;
    this.#rounded = tensor;
  }

  /** Replaces the value by these values packed for products in `dtype`, without an unpacked copy. */
  keepPacked(values: Tensor, dtype: DotDType): void {
    const before = this.#value;
    this.#value = keep(packWeight(values, dtype));
    this.#isPacked = true;
    before?.dispose();
  }

  /** Sets the value to zeros that are packed for products in `dtype`, for `packRows` to fill. */
  keepPackedZeros(device: Device, dtype: DotDType): void {
    this.#value = keep(packedZeros(device, this.shape, dtype));
    this.#isPacked = true;
  }

  /** The operand packed for `linear`, which reads that form fastest; kept until the value changes. */
  packed(): Tensor {
    if (this.#isPacked) return this.value;
    return (this.#packed ??= keep(packWeight(this.operand)));
  }

  /** Call after the operand has changed. */
  changed(): void {
    this.#packed?.dispose();
    this.#packed = null;
  }

  /** Frees the value, its gradient and all copies. */
  dispose(): void {
    this.changed();
    this.#rounded?.dispose();
    this.#rounded = null;
    this.#value?.grad?.dispose();
    this.#value?.dispose();
    this.#value = null;
    this.#disposed = true;
  }

  /** Calls {@link dispose}, for `using`. */
  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** All parameters that the optimizer treats alike, in one flat tensor. */
export interface Bucket {
  /** Whether weight decay applies. */
  readonly decay: boolean;
  /** One-dimensional: the parameters one after another. float32, except matrices without {@link StoreOptions.masters}. */
  readonly value: Tensor;
  /** The values rounded to the type that the model computes in, if that is another type. */
  rounded: Tensor | null;
  /** The gradients in the same order; null before `allocateGradients`. */
  grad: Tensor | null;
}

/** A named part of a parameter and its place in a bucket. */
export interface BucketPiece extends ParameterPart {
  /** Elements of the bucket before it. */
  readonly offset: number;
}

/** Lists the parts of parameters that lie one after another in a flat tensor. */
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

/** The types that a model computes in and keeps its parameters in. */
export interface StoreOptions {
  /**
   * Type of matrices and activations. Default float32. With bfloat16, products are in bfloat16, and norms and biases stay float32.
   * With int8, which needs `masters: false`, products are in int8, and activations are float32.
   */
  dtype?: WeightDType;
  /**
   * Whether to keep a float32 master copy of bfloat16 matrices, for training: a typical update is smaller than bfloat16's
   * resolution. Default true. Without masters, devices that do not compute in bfloat16 can multiply in it: matrices are kept packed
   * ({@link packWeight}), and activations are float32, rounded for each product.
   */
  masters?: boolean;
}

/**
 * Collects the parameters of a model while its layers are made, then allocates them in two large buckets, each of which takes one
 * optimizer launch and one gradient norm.
 */
export class ParameterStore implements Disposable {
  /** All parameters, in the order in which they were made. */
  readonly parameters: Parameter[] = [];
  /** Parameters that `linear` multiplies with. */
  readonly #weights = new Set<Parameter>();
  #buckets: Bucket[] = [];
  #disposed = false;
  /** Type of activations. */
  readonly dtype: ActivationDType;
  /** Type of stored matrices. */
  readonly storedDtype: WeightDType;
  /** Whether the values can be trained; false if only rounded values are kept. */
  readonly trainable: boolean;
  /** Type of matrices that are kept only packed; null if matrices are kept unpacked. */
  readonly packedDtype: DotDType | null;
  /** Grows whenever values change. */
  version = 0;

  constructor(
    /** The device of the parameters. */
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
   * At most two buckets, with weight decay and without; none before `allocate`. Matrices that are kept only packed are in none.
   * @throws ForetokenError INVALID_HANDLE after `dispose`
   */
  get buckets(): readonly Bucket[] {
    if (this.#disposed)
      throw new ForetokenError('INVALID_HANDLE', 'the parameters were disposed of with their model');
    return this.#buckets;
  }

  /** Registers a parameter; arguments as in {@link Parameter}. What does not decay stays float32 and unpacked. */
  create(parts: readonly ParameterPart[], init: Init, decay?: boolean): Parameter {
    if (this.buckets.length > 0) throw new ForetokenError('INTERNAL', 'the parameters are already allocated');
    check('ParameterStore.create: parts', parts, PARAMETER_PARTS);
    const parameter = new Parameter(parts, init, decay ?? parts[0]!.shape.length > 1);
    this.parameters.push(parameter);
    return parameter;
  }

  /** Marks a parameter that `linear` multiplies with. */
  addWeight(parameter: Parameter): void {
    this.#weights.add(parameter);
  }

  /**
   * Sets the values of a matrix that is kept only packed.
   * @param flat [size of the parameter]
   */
  pack(parameter: Parameter, flat: Tensor): void {
    using matrix = flat.view(0, parameter.shape);
    parameter.keepPacked(matrix, this.packedDtype!);
  }

  /** The matrices that are kept only packed. */
  get packedAlone(): Parameter[] {
    return this.packedDtype ? this.parameters.filter(({ decay }) => decay) : [];
  }

  /** Packs all weights that are not packed yet; must run before decoding is captured. */
  packWeights(): void {
    for (const weight of this.#weights) weight.packed();
  }

  /**
   * Allocates every parameter. Initial values are keyed by seed and name, so a trunk has the same initial values whatever its heads
   * are. Without a seed the values are zeros, for a checkpoint to fill.
   */
  allocate(seed?: number): void {
    for (const parameter of this.packedAlone) {
      if (seed === undefined) {
        parameter.keepPackedZeros(this.device, this.packedDtype!);
        continue;
      }
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
      // One parameter at a time, after the device has memory for all, because the host may have less memory.
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

  /** Allocates the gradients, zeros at first; the parameters' `grad` are views of them. */
  allocateGradients(): void {
    if (!this.trainable) {
      const problem = `its matrices are kept only in ${this.storedDtype} (masters: false)`;
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

  /** Sets the gradients to 0, if they are allocated. */
  zeroGradients(): void {
    for (const bucket of this.buckets) bucket.grad?.fill(0);
  }

  /** Lists the parts of parameters in a bucket, and in every other flat tensor of the same order. */
  pieces({ decay }: Bucket): BucketPiece[] {
    return piecesOfParameters(this.parameters.filter((parameter) => parameter.decay === decay));
  }

  /** Call after values have changed, as by a checkpoint: rounds them again. */
  changed(): void {
    for (const { value, rounded } of this.buckets) {
      if (!rounded) continue;
      using cast = value.cast(this.dtype);
      rounded.copyFrom(cast);
    }
    this.updated();
  }

  /** Call after both values and `rounded` have changed, as by an optimizer. */
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

  /** Calls {@link dispose}, for `using`. */
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
