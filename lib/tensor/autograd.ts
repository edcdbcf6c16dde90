import { callback, check, checker, string } from '../check';
import { ForetokenError } from '../errors';
import type { DType } from '../native/binding';
import { native } from '../native/load';
import { inScope, keepWith, own, scope, type Scoped, type Surviving } from './scope';
import type { Tensor } from './tensor';

/** Where a gradient gathers: a leaf's `grad`, or a recorded operation that has not run backward yet. */
export interface GradTarget {
  /** Adds `grad`, taking it over. */
  add(grad: Tensor): void;
  /** The gathering gradient itself, zeros at first, for kernels that accumulate in place. */
  buffer(): Tensor;
}

/**
 * The gradient of one recorded operation.
 * @param grad gradient of the operation's output
 * @param saved what `record` was told to save
 * @param targets one for each input, null where no gradient is wanted
 */
export type Backward = (
  grad: Tensor,
  saved: readonly Tensor[],
  targets: readonly (GradTarget | null)[],
) => void;

/** `grad` in a dtype, taking it over. */
function inDtype(grad: Tensor, dtype: DType): Tensor {
  if (grad.dtype === dtype) return grad;
  const cast = grad.cast(dtype);
  grad.dispose();
  return cast;
}

/** Gathers in float32, whatever operations compute in: many small gradients may add up. */
class LeafTarget implements GradTarget {
  constructor(readonly leaf: Tensor) {}

  add(grad: Tensor): void {
    if (this.leaf.grad) {
      native.accumulate(this.leaf.grad.handle, grad.handle, 1);
      grad.dispose();
    } else {
      this.leaf.grad = keepWith(inDtype(grad, 'float32'), this.leaf);
    }
  }

  buffer(): Tensor {
    return (this.leaf.grad ??= keepWith(this.leaf.device.zeros(this.leaf.shape), this.leaf));
  }
}

let nextOrder = 0;

/** One recorded operation: what it was made from and what its gradient needs. */
export class GradNode implements GradTarget, Surviving {
  /** Operations are numbered as they are recorded, so falling order is a valid order for backward. */
  readonly order = nextOrder++;
  /** What has gathered of the gradient of the operation's output, of its shape and dtype; null before anything has. */
  grad: Tensor | null = null;
  #consumed = false;

  constructor(
    /** Name of the operation, for messages. */
    readonly op: string,
    /** Where the gradients of its inputs go, in their order; null where none is wanted. */
    readonly targets: readonly (GradNode | LeafTarget | null)[],
    private readonly output: Pick<Tensor, 'device' | 'shape' | 'dtype'>,
    private saved: readonly Tensor[],
    private readonly backwardFunction: Backward,
  ) {
    if (inScope()) own(this);
  }

  add(grad: Tensor): void {
    if (this.grad) {
      native.accumulate(this.grad.handle, grad.handle, 1);
      grad.dispose();
    } else {
      this.grad = keepWith(inDtype(grad, this.output.dtype), this);
    }
  }

  buffer(): Tensor {
    const { device, shape, dtype } = this.output;
    return (this.grad ??= keepWith(device.zeros(shape, dtype), this));
  }

  /** Whether backward ran, or the scope of this operation ended: what it saved is gone. */
  get consumed(): boolean {
    return this.#consumed;
  }

  /** Passes the gathered gradient on, then frees what was saved for it. */
  run(): void {
    if (this.grad) scope(() => this.backwardFunction(this.grad!, this.saved, this.targets));
    this.dispose();
  }

  dispose(): void {
    this.#consumed = true;
    for (const tensor of this.saved) tensor.dispose();
    this.saved = [];
    this.grad?.dispose();
    this.grad = null;
  }

  dependencies(): Iterable<Scoped | null | undefined> {
    return [
      ...this.saved,
      ...this.targets.map((target) => (target instanceof LeafTarget ? target.leaf : target)),
    ];
  }
}

let recording = true;

/** Runs `fn` without recording anything for `backward`. */
export function noGrad<T>(fn: () => T): T {
  check('noGrad: fn', fn, callback);
  const before = recording;
  recording = false;
  try {
    return fn();
  } finally {
    recording = before;
  }
}

/** Whether an operation on these inputs will be recorded. */
export function isRecording(inputs: readonly (Tensor | null | undefined)[]): boolean {
  return recording && inputs.some((input) => input?.requiresGrad);
}

/** Where the gradient of a tensor gathers; null where none is wanted. */
export function gradTarget(tensor: Tensor | null | undefined): GradNode | LeafTarget | null {
  if (!tensor?.requiresGrad) return null;
  return tensor.node ?? new LeafTarget(tensor.master ?? tensor);
}

const ARRAY = checker<readonly unknown[]>('an array of tensors', Array.isArray);
const OUTPUT = checker<Tensor>(
  'a tensor',
  (value) => typeof value === 'object' && value !== null && 'requiresGrad' in value,
);

/**
 * Records how to pass a gradient from `output` back to `inputs`, when one of them wants it.
 * @param save tensors that `backward` needs; they stay readable for it whoever disposes them
 * @returns `output`
 */
export function record(
  op: string,
  inputs: readonly (Tensor | null | undefined)[],
  output: Tensor,
  save: readonly Tensor[],
  backward: Backward,
): Tensor {
  check('record: op', op, string);
  check('record: inputs', inputs, ARRAY);
  check('record: output', output, OUTPUT);
  check('record: save', save, ARRAY);
  check('record: backward', backward, callback);
  if (!isRecording(inputs)) return output;
  const targets = inputs.map(gradTarget);
  // Aliases share memory but not fate: the scope of the originals may end before backward runs.
  const saved = save.map((tensor) => tensor.detach());
  const { device, shape, dtype } = output;
  output.node = new GradNode(op, targets, { device, shape, dtype }, saved, backward);
  output.requiresGrad = true;
  return output;
}

/**
 * Backward from several tensors at once, for graphs that share operations.
 * @param roots each tensor with its gradient, or without one where it is a single element (1 is meant)
 */
export function backward(roots: readonly (readonly [Tensor, Tensor?])[]): void {
  for (const [output, grad] of roots) checkRoot(output, grad);
  runBackward(roots, ({ device, shape, dtype }, grad) =>
    grad ? grad.cast(dtype) : device.empty(shape, dtype).fill(1),
  );
}

/**
 * As {@link backward}, but takes the gradients over, which saves a copy of each: their contents are lost. A root may also be
 * a leaf, whose `grad` the gradient is added to.
 */
export function backwardTakingOver(roots: readonly (readonly [Tensor, Tensor])[]): void {
  runBackward(roots, (_, grad) => grad);
}

/** @param gradientOf makes the gradient that is accumulated into in place from then on */
function runBackward<Grad extends Tensor | undefined>(
  roots: readonly (readonly [Tensor, Grad])[] | readonly (readonly [Tensor, Grad?])[],
  gradientOf: (output: Tensor, grad: Grad) => Tensor,
): void {
  const targets = roots.map(([output]) => gradTarget(output)!);
  const graph = reachableFrom(targets.filter((target) => target instanceof GradNode));
  const consumed = graph.find((node) => node.consumed);
  if (consumed) {
    throw new ForetokenError('INVALID_ARGUMENT', `backward: the graph of ${consumed.op} was used already`);
  }
  try {
    noGrad(() =>
      scope(() => {
        roots.forEach(([output, grad], i) => targets[i]!.add(gradientOf(output, grad as Grad)));
        for (const node of graph) node.run();
      }),
    );
  } finally {
    // After a failure the graph is half used; it frees its memory all the same.
    for (const node of graph) node.dispose();
  }
}

function checkRoot(output: Tensor, grad?: Tensor): void {
  const shape = `[${output.shape.join(', ')}]`;
  if (!output.node) {
    throw new ForetokenError('INVALID_ARGUMENT', 'backward: no recorded operation made this tensor');
  }
  if (!grad && output.size !== 1) {
    throw new ForetokenError(
      'INVALID_ARGUMENT',
      `backward: the tensor is ${shape}; give a gradient of that shape`,
    );
  }
  if (grad && grad.shape.join() !== output.shape.join()) {
    throw new ForetokenError(
      'SHAPE_MISMATCH',
      `backward: grad is [${grad.shape.join(', ')}] but the tensor is ${shape}`,
    );
  }
}

/** Every recorded operation under `roots`, later ones first. */
function reachableFrom(roots: readonly GradNode[]): GradNode[] {
  const found = new Set<GradNode>(roots);
  for (const node of found) {
    for (const target of node.targets) if (target instanceof GradNode) found.add(target);
  }
  return [...found].sort((a, b) => b.order - a.order);
}
