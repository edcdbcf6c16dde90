import { shaped } from '../check';
import { ForetokenError } from '../errors';
import type { Candidates } from './best-first';
import type { DraftTree } from './draft-tree';

/**
 * Decides which tokens may come next in a text, as a grammar does. Immutable: every branch of a draft tree goes on from the
 * constraint of the node above.
 */
export interface TokenConstraint {
  /** Returns the constraint after a token; null if the token may not come next. */
  next(token: number): TokenConstraint | null;
  /**
   * Says which tokens may come next, while the model runs.
   * @param mask `[⌈vocabSize / 32⌉]`, zeros at first: set bit v % 32 of word v / 32 if token v may come next
   */
  allow(mask: Int32Array): void;
}

/** Any object with these functions. */
export const CONSTRAINT = shaped<TokenConstraint>('an object with the functions next and allow', {
  next: 'function',
  allow: 'function',
});

/** Nodes of a tree that a constraint allows. */
export interface AllowedNodes {
  /** In their order; the root is always among them. */
  readonly nodes: readonly number[];
  /** The constraint after each of them. */
  readonly constraints: readonly TokenConstraint[];
}

/** Finds the nodes of a tree whose tokens, and those of all nodes above, may come next. */
export function allowedNodes(
  { tokens, parents }: Pick<DraftTree, 'tokens' | 'parents'>,
  root: TokenConstraint,
): AllowedNodes {
  const after: (TokenConstraint | null)[] = [root];
  for (let node = 1; node < tokens.length; node++) {
    const above = after[parents[node]!];
    after.push(above ? nextOf(above, tokens[node]!) : null);
  }
  const nodes = after.flatMap((constraint, node) => (constraint ? [node] : []));
  return { nodes, constraints: nodes.map((node) => after[node]!) };
}

/**
 * Returns the constraint after a token.
 * @throws ForetokenError INVALID_ARGUMENT if the user's function returns neither a constraint nor null
 */
function nextOf(constraint: TokenConstraint, token: number): TokenConstraint | null {
  const next: unknown = constraint.next(token);
  if (next === null || CONSTRAINT.fits(next)) return next as TokenConstraint | null;
  throw new ForetokenError(
    'INVALID_ARGUMENT',
    `generate: constraint.next(${token}) must return ${CONSTRAINT.allowed}, or null`,
  );
}

/** Returns the constraint after a token that was drawn. */
export function afterDrawn(constraint: TokenConstraint, token: number): TokenConstraint {
  const next = nextOf(constraint, token);
  if (next) return next;
  throw new ForetokenError(
    'INVALID_ARGUMENT',
    `generate: constraint.next(${token}) is null, although constraint.allow() allows token ${token}`,
  );
}

/** Returns the tree of some nodes, with which the nodes above them must be. */
export function treeOf(tree: DraftTree, nodes: readonly number[]): DraftTree {
  if (nodes.length === tree.tokens.length) return tree;
  const some = nodesOf(tree, nodes);
  return { ...some, maxDepth: Math.max(...some.depths) };
}

/** Returns some of the candidates, with which the nodes above them must be. */
export function candidatesOf(candidates: Candidates, nodes: readonly number[]): Candidates {
  if (nodes.length === candidates.tokens.length) return candidates;
  return {
    ...nodesOf(candidates, nodes),
    probabilities: nodes.map((node) => candidates.probabilities[node]!),
    isFromHeads: nodes.map((node) => candidates.isFromHeads[node]!),
  };
}

function nodesOf(
  { tokens, parents, depths }: Omit<DraftTree, 'maxDepth'>,
  nodes: readonly number[],
): Omit<DraftTree, 'maxDepth'> {
  const places = new Map(nodes.map((node, place) => [node, place]));
  return {
    tokens: nodes.map((node) => tokens[node]!),
    parents: nodes.map((node) => places.get(parents[node]!) ?? -1),
    depths: nodes.map((node) => depths[node]!),
  };
}
