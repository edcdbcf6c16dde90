import { callback, check, checker, string } from '../check';
import { ForetokenError } from '../errors';
import type { DType } from '../native/binding';
import { native } from '../native/load';
import { inScope, keepWith, own, scope, type Scoped, type Surviving } from './scope';
import type { Tensor } from './tensor';

/** Accumulates a gradient: of a leaf, in its `grad`, or of a recorded operation that has not run backward yet. */
export interface GradTarget {
  /** Adds `grad` and takes ownership of it. */
  add(grad: Tensor): void;
  /** The accumulated gradient itself, zeros at first, for kernels that add to it in place. */
  buffer(): Tensor;
}

/**
 * Computes the gradients of one recorded operation.
 * @param grad gradient of the operation's output
 * @param saved the tensors that `record` was told to save
 * @param targets one for each input, null if the input needs no gradient
 */
export type Backward = (
  grad: Tensor,
  saved: readonly Tensor[],
  targets: readonly (GradTarget | null)[],
) => void;

/** Converts `grad` to a dtype and takes ownership of it. */
function inDtype(grad: Tensor, dtype: DType): Tensor {
  if (grad.dtype === dtype) return grad;
  const cast = grad.cast(dtype);
  grad.dispose();
  return cast;
}

/** Accumulates in float32 whatever the operations compute in, because many small gradients may add up. */
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

/** One recorded operation: its inputs, and the tensors that its gradient needs. */
export class GradNode implements GradTarget, Surviving {
  /** Operations are numbered as they are recorded, so descending order is a valid order for backward. */
  readonly order = nextOrder++;
  /** The gradient of the operation's output accumulated so far, of the output's shape and dtype; null at first. */
  grad: Tensor | null = null;
  #consumed = false;

  constructor(
    /** Name of the operation, for messages. */
    readonly op: string,
    /** Where the gradients of the inputs go, in the order of the inputs; null if an input needs none. */
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

  /** Whether backward ran or the scope of this operation ended, so that its saved tensors are freed. */
  get consumed(): boolean {
    return this.#consumed;
  }

  /** Passes the accumulated gradient on, then frees the saved tensors. */
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

/** Returns where the gradient of a tensor accumulates; null if the tensor needs none. */
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
 * Records how to pass a gradient from `output` back to `inputs`, if one of them needs it.
 * @param save tensors that `backward` needs; they stay readable for `backward` even if the caller disposes of them
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
  // Aliases, because the scope of the originals may end before backward runs.
  const saved = save.map((tensor) => tensor.detach());
  const { device, shape, dtype } = output;
  output.node = new GradNode(op, targets, { device, shape, dtype }, saved, backward);
  output.requiresGrad = true;
  return output;
}

/**
 * Runs backward from several tensors at once, for graphs that share operations.
 * @param roots each tensor with its gradient; a tensor of one element may come without, for a gradient of 1
 */
export function backward(roots: readonly (readonly [Tensor, Tensor?])[]): void {
  for (const [output, grad] of roots) checkRoot(output, grad);
  runBackward(roots, ({ device, shape, dtype }, grad) =>
    grad ? grad.cast(dtype) : device.empty(shape, dtype).fill(1),
  );
}

/**
 * As {@link backward}, but takes ownership of the gradients, which saves a copy of each; their contents are lost. A root may also
 * be a leaf: its gradient is added to the leaf's `grad`.
 */
export function backwardTakingOver(roots: readonly (readonly [Tensor, Tensor])[]): void {
  runBackward(roots, (_, grad) => grad);
}

/** @param gradientOf makes the tensor that further gradients are added to in place */
function runBackward<Grad extends Tensor | undefined>(
  roots: readonly (readonly [Tensor, Grad])[] | readonly (readonly [Tensor, Grad?])[],
  gradientOf: (output: Tensor, grad: Grad) => Tensor,
): void {
  const targets = roots.map(([output]) => gradTarget(output)!);
  const graph = reachableFrom(targets.filter((target) => target instanceof GradNode));
  const consumed = graph.find((node) => node.consumed);
  if (consumed) {
    throw new ForetokenError(
      'INVALID_ARGUMENT',
      `backward: the graph of ${consumed.op} has already been used`,
    );
  }
  try {
    noGrad(() =>
      scope(() => {
        roots.forEach(([output, grad], i) => targets[i]!.add(gradientOf(output, grad as Grad)));
        for (const node of graph) node.run();
      }),
    );
  } finally {
    // A failure leaves some operations that have not run; their memory is freed, too.
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
      `backward: the tensor is ${shape}; pass a gradient of that shape`,
    );
  }
  if (grad && grad.shape.join() !== output.shape.join()) {
    throw new ForetokenError(
      'SHAPE_MISMATCH',
      `backward: grad is [${grad.shape.join(', ')}] but the tensor is ${shape}`,
    );
  }
}

/** Finds every recorded operation that `roots` depend on, themselves included, later ones first. */
function reachableFrom(roots: readonly GradNode[]): GradNode[] {
  const found = new Set<GradNode>(roots);
  for (const node of found) {
    for (const target of node.targets) if (target instanceof GradNode) found.add(target);
  }
  return [...found].sort((a, b) => b.order - a.order);
}
