// The drafts of every kind of heads, for several texts at once, are those of a plain forward pass over each whole text.
import { HeadDrafter, type DraftRequest } from '../../lib/decode/head-drafter';
import type { Accepted } from '../../lib/decode/open-positions';
import type { Proposals } from '../../lib/decode/proposer';
import { inputsOf } from '../../lib/heads/inputs';
import { MtpModel, type TrunkStates } from '../../lib/model/model';
import { noGrad } from '../../lib/tensor/autograd';
import { capture } from '../../lib/tensor/capture';
import type { Device } from '../../lib/tensor/device';
import { embedding } from '../../lib/tensor/ops/layers/embedding';
import { keep, scope } from '../../lib/tensor/scope';
import type { Tensor } from '../../lib/tensor/tensor';
import { registerCuriousHeads } from '../support/curious-heads';
import { isEmulated, onDevice, targets } from '../support/devices';
import { headKinds } from '../support/exact';
import { Random } from '../support/random';
import { tinyModel } from '../support/training';

const curious = registerCuriousHeads();
const numHeads = 4;
const depth = numHeads - 1;
const vocabSize = 101;
const slots = 3;
/** Tokens of each text. */
const length = 40;

const random = new Random(3);
const texts = Array.from({ length: 4 }, () => Array.from({ length }, () => random.integer(vocabSize)));

/** A step of some slots. */
interface Step {
  /** Accepted positions by slot; 0 for a slot that is idle. */
  accepted: readonly number[];
  /** Whether every row is accepted, as in a piece of a prompt. Otherwise a rejected row follows each. */
  isPiece?: boolean;
  draft: { depth: number; width: number } | null;
  /** A slot that begins the last text after this step. */
  restarts?: number;
}

const steps: Step[] = [
  { accepted: [7, 0, 0], isPiece: true, draft: null },
  { accepted: [4, 1, 0], isPiece: true, draft: { depth, width: 2 } },
  { accepted: [1, 0, 0], draft: { depth, width: 3 } },
  { accepted: [3, 2, 1], draft: { depth, width: 2 } },
  { accepted: [1, 0, 4], draft: { depth: 1, width: 4 } },
  { accepted: [1, 3, 1], draft: null, restarts: 1 },
  { accepted: [2, 0, 1], draft: { depth: 2, width: 1 } },
  { accepted: [0, 9, 1], isPiece: true, draft: { depth, width: 2 } },
  { accepted: [4, 4, 1], draft: { depth, width: 2 } },
];

/** The rows of a step that captured steps have room for. */
const ROWS = 32;
const STRIDE = 9;

class Stage {
  /** Of all positions of all texts but the last of each, one text after another. */
  readonly #states: TrunkStates;
  readonly #drafter: HeadDrafter;
  /** The text of each slot, and its committed positions. */
  readonly #slots = Array.from({ length: slots }, (_, slot) => ({ text: slot, length: 0 }));

  constructor(readonly model: MtpModel) {
    model.tables.reserve(length);
    const all = texts.flatMap((text) => text.slice(0, -1));
    this.#states = noGrad(() => scope(() => this.#whole(all, texts.length)));
    for (const state of Object.values(this.#states)) keep(state);
    this.#drafter = new HeadDrafter(model, { slots, depth });
    for (let slot = 0; slot < slots; slot++) this.#drafter.reserve(slot, length);
  }

  #whole(tokens: readonly number[], batch: number): TrunkStates {
    return this.model.states(this.#ints(tokens), this.#packed(tokens.length / batch, batch));
  }

  #ints(values: readonly number[], shape?: number[]): Tensor {
    return this.model.device.tensor(Int32Array.from(values), shape);
  }

  #packed(count: number, batch = 1) {
    const positions = Array.from({ length: batch * count }, (_, i) => i % count);
    const starts = this.#ints(positions.map(() => 0));
    return { kind: 'packed', batch, starts, positions: this.#ints(positions) } as const;
  }

  /** The numbers of a step, with room for `room` rows: those of the slots, then padding. */
  #numbers({ accepted, isPiece }: Step, stride: number): Record<keyof Accepted | 'rows', number[]> {
    const rows: number[] = [];
    const count = accepted.length;
    const path = new Array<number>(count * stride).fill(-1);
    const drawn = new Array<number>(count * stride).fill(-1);
    accepted.forEach((positions, slot) => {
      const { text, length: start } = this.#slots[slot]!;
      for (let i = 0; i < positions; i++) {
        path[slot * stride + i] = rows.length;
        drawn[slot * stride + i] = texts[text]![start + i + 1]!;
        rows.push(text * (length - 1) + start + i);
        if (!isPiece) rows.push(0);
      }
    });
    accepted.forEach((positions, slot) => {
      this.#drafter.reserve(slot, this.#slots[slot]!.length + positions);
    });
    const lengths = accepted.map((_, slot) => this.#slots[slot]!.length);
    return { rows, path, drawn, counts: [...accepted], lengths };
  }

  /** Runs a step. Returns its proposals, which the caller disposes of. */
  run(step: Step): Proposals | null {
    const { accepted, draft, restarts } = step;
    const numbers = this.#numbers(step, Math.max(...accepted));
    const shape = [accepted.length, Math.max(...accepted)];
    const proposals = noGrad(() =>
      scope(() => {
        const given = {
          ...{ path: this.#ints(numbers.path, shape), drawn: this.#ints(numbers.drawn, shape) },
          ...{ counts: this.#ints(numbers.counts), lengths: this.#ints(numbers.lengths) },
        };
        const rows = accepted.reduce((sum, count) => sum + count);
        return this.#enqueue(this.#ints(numbers.rows), given, draft && { ...draft, rows }, rows);
      }),
    );
    this.#advance(accepted, restarts);
    return proposals;
  }

  #enqueue(rows: Tensor, accepted: Accepted, request: DraftRequest | null, most: number): Proposals | null {
    const states = Object.entries(this.#states).map(
      ([name, state]) => [name, embedding(rows, state)] as const,
    );
    const ofRows = Object.fromEntries(states) as TrunkStates;
    if (request) return this.#drafter.draft(ofRows, accepted, request);
    this.#drafter.read(ofRows, accepted, most);
    return null;
  }

  #advance(accepted: readonly number[], restarts: number | undefined): void {
    accepted.forEach((count, slot) => {
      this.#slots[slot]!.length += count;
    });
    if (restarts === undefined) return;
    this.#drafter.release(restarts);
    this.#drafter.reserve(restarts, length);
    this.#slots[restarts] = { text: texts.length - 1, length: 0 };
  }

  /** Captures steps that draft for all slots, with padding rows. Each call of the function that it returns runs one. */
  capture(): { run: (step: Step) => Proposals; dispose: () => void } {
    const { device } = this.model;
    const zeros = (count: number, shape?: number[]): Tensor => device.tensor(new Int32Array(count), shape);
    const inputs = {
      ...{ rows: zeros(ROWS), counts: zeros(slots), lengths: zeros(slots) },
      ...{ path: zeros(slots * STRIDE, [slots, STRIDE]), drawn: zeros(slots * STRIDE, [slots, STRIDE]) },
    };
    const { rows, ...accepted } = inputs;
    const request = { depth, width: 2, rows: slots * STRIDE };
    const captured = capture(device, () => ({ ...this.#enqueue(rows, accepted, request, 0)! }));
    return {
      run: (step) => {
        const numbers = this.#numbers(step, STRIDE);
        const padded = {
          ...numbers,
          rows: [...numbers.rows, ...new Array<number>(ROWS).fill(0)].slice(0, ROWS),
        };
        for (const [name, tensor] of Object.entries(inputs)) {
          tensor.write(Int32Array.from(padded[name as keyof typeof padded]));
        }
        captured.replay();
        this.#advance(step.accepted, step.restarts);
        return captured.result;
      },
      dispose: () => {
        captured.dispose();
        for (const tensor of Object.values(inputs)) tensor.dispose();
      },
    };
  }

  /** Drafts of a plain forward pass over the text of a slot: [depth][width]. */
  async expected(slot: number, { depth, width }: { depth: number; width: number }): Promise<number[][]> {
    const { text, length: end } = this.#slots[slot]!;
    const known = texts[text]!.slice(0, end + 1);
    const drafts: number[][] = [];
    for (let k = 2; k <= depth + 1; k++) {
      const following = [...known, ...drafts.map(([best]) => best!)];
      const hidden = noGrad(() => scope(() => this.#head(k, following, end)));
      drafts.push(await this.#likeliest(hidden, width));
    }
    return drafts;
  }

  /** Runs heads 2 … k on the first `end` positions of a text. */
  #head(k: number, text: readonly number[], end: number): Tensor {
    const { heads } = this.model;
    const states = this.#whole(text.slice(0, end), 1);
    let previous = states.hidden;
    for (let head = 2; ; head++) {
      const tokens = this.#ints(text.slice(head - 1, head - 1 + end));
      const available = { ...states, previous, tokens, root: this.#ints(text.slice(1, end + 1)) };
      const out = heads.forward(head, inputsOf(heads, available, this.#packed(end)));
      if (head === k) return out.hidden;
      previous = out.state ?? previous;
    }
  }

  async #likeliest(states: Tensor, width: number): Promise<number[]> {
    const weight = await this.model.unembedding.value.data();
    const { hiddenSize } = this.model.config;
    const hidden = Array.from(await states.data()).slice(-hiddenSize);
    states.dispose();
    const logits = Array.from({ length: vocabSize }, (_, token) =>
      hidden.reduce((sum, x, d) => sum + x * weight[token * hiddenSize + d]!, 0),
    );
    const tokens = logits.map((_, token) => token).sort((a, b) => logits[b]! - logits[a]!);
    return tokens.slice(0, width);
  }

  dispose(): void {
    this.#drafter.dispose();
    for (const state of Object.values(this.#states)) state.dispose();
  }
}

async function tokensOf({ tokens }: Proposals, slot: number): Promise<number[][]> {
  const [, heads, width] = tokens.shape as [number, number, number];
  const all = Array.from(await tokens.data()).slice(slot * heads * width, (slot + 1) * heads * width);
  return Array.from({ length: heads }, (_, head) => all.slice(head * width, (head + 1) * width));
}

async function onStage(device: Device, kind: string, fn: (stage: Stage) => Promise<void>): Promise<void> {
  const sizes = { ...tinyModel(kind, numHeads), vocabSize, numHiddenLayers: 3, initializerRange: 0.4 };
  using model = new MtpModel(device, sizes, { seed: 2 });
  const stage = new Stage(model);
  await fn(stage);
  stage.dispose();
}

// Drafting is the same on all levels of the CPU.
const chosen = targets.filter((target) => isEmulated(target) || target === targets[0]);

describe.each(chosen)('%s', (target) => {
  // The emulated GPU is slow; there these kinds read everything that heads can read.
  const kinds = [...headKinds, ...(isEmulated(target) ? curious.slice(2, 5) : curious)];
  describe.each(kinds)('%s', (kind) => {
    it('drafts what a plain forward pass predicts', async () => {
      await onDevice(target, async (device) => {
        await onStage(device, kind, async (stage) => {
          for (const [i, step] of steps.entries()) {
            const proposals = stage.run(step);
            if (proposals) await expectDrafts(i, stage, step, step.draft!, proposals);
            proposals?.tokens.dispose();
            proposals?.weights.dispose();
          }
        });
      });
    });

    it('drafts the same when it is captured with more rows than any step has', async () => {
      await onDevice(target, async (device) => {
        await onStage(device, kind, async (stage) => {
          const captured = stage.capture();
          for (const [i, step] of steps.entries()) {
            await expectDrafts(i, stage, step, { depth, width: 2 }, captured.run(step));
          }
          captured.dispose();
        });
      });
    });
  });
});

async function expectDrafts(
  step: number,
  stage: Stage,
  { accepted, restarts }: Step,
  request: { depth: number; width: number },
  proposals: Proposals,
): Promise<void> {
  for (const [slot, count] of accepted.entries()) {
    if (count === 0 || restarts === slot) continue;
    const drafted = await tokensOf(proposals, slot);
    expect({ step, slot, drafted }).toEqual({ step, slot, drafted: await stage.expected(slot, request) });
  }
}
