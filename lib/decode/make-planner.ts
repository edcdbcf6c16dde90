import type { MtpModel } from '../model/model';
import type { Speculation } from './options';
import { AdaptivePlanner } from './adaptive';
import { isTimeToReplan, RankPathStatistics } from './rank-path-statistics';
import type { Planner, StepOutcome } from './planner';
import { best, chain, full } from './tree';
import type { TreePlan } from './tree-plan';

/** The tree of plain decoding. */
export const ROOT_ONLY: TreePlan = chain(0);

function fixed(plan: TreePlan): Planner {
  return { maxDepth: plan.maxDepth, next: () => plan, observe: () => undefined };
}

/** Plans trees of a fixed number of nodes, on the paths accepted most often. */
class BestPlanner implements Planner {
  readonly #statistics: RankPathStatistics;
  #plan: TreePlan;
  #steps = 0;

  constructor(
    private readonly nodes: number,
    readonly maxDepth: number,
    vocabSize: number,
  ) {
    this.#statistics = new RankPathStatistics(maxDepth, vocabSize);
    this.#plan = best(nodes, this.#statistics);
  }

  next(): TreePlan {
    return this.#plan;
  }

  observe({ plan, path }: StepOutcome): void {
    this.#statistics.observe(plan, path);
    if (isTimeToReplan(++this.#steps)) this.#plan = best(this.nodes, this.#statistics);
  }
}

/** Planners by model and size: all texts of a model share what was measured. */
const adaptivePlanners = new WeakMap<MtpModel, Map<number, AdaptivePlanner>>();

function adaptivePlanner(model: MtpModel, maxNodes: number): AdaptivePlanner {
  const known = adaptivePlanners.get(model) ?? new Map<number, AdaptivePlanner>();
  adaptivePlanners.set(model, known);
  const planner =
    known.get(maxNodes) ?? new AdaptivePlanner(maxNodes, model.numHeads - 1, model.config.vocabSize);
  known.set(maxNodes, planner);
  return planner;
}

/** Makes the planner for a kind of speculation. */
export function makePlanner(speculation: Speculation, model: MtpModel): Planner {
  const deepest = model.numHeads - 1;
  if (speculation === 'none' || deepest === 0) return fixed(ROOT_ONLY);
  switch (speculation.tree) {
    case 'chain':
      return fixed(chain(speculation.depth ?? deepest));
    case 'full':
      return fixed(full(speculation.widths));
    case 'best':
      return new BestPlanner(speculation.nodes ?? 8, deepest, model.config.vocabSize);
    case 'adaptive':
      return adaptivePlanner(model, speculation.maxNodes ?? 16);
  }
}
