import type { GenerateStats } from '../decode/generate-stats';

/** Describes the statistics of a text in a few lines. */
export function describeStats(stats: GenerateStats): string {
  const share = (accepted: number): string => `${(100 * accepted).toFixed(0)} %`;
  return [
    `${stats.tokens} tokens in ${stats.decodeSeconds.toFixed(2)} s: ${stats.tokensPerSecond.toFixed(0)} tokens/s`,
    `${stats.steps} steps, ${stats.tokensPerStep.toFixed(2)} tokens per step`,
    `${stats.accepted} of ${stats.drafted} drafts accepted; by depth: ${stats.cumulativeAcceptance.map(share).join(', ')}`,
    `prompt of ${stats.promptTokens} tokens in ${stats.prefillSeconds.toFixed(2)} s; ended by ${stats.finishReason ?? 'nothing yet'}`,
  ].join('\n');
}
