/** Names of the built-in kinds, for help that must not load the addon, which the kinds themselves do. */
export const BUILT_IN_KINDS = ['parallel', 'medusa', 'rooted', 'sequential', 'recursive'] as const;
