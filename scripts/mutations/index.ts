// All mutations. Those of one source file stand together, so that a run builds that file once for each of them and not
// once more to restore it.
import { core } from './core';
import { cpu } from './cpu';
import { cuda } from './cuda';
import type { Mutation } from './mutation';

export const mutations: readonly Mutation[] = [...core, ...cpu, ...cuda];
