declare module 'node-gyp-build' {
  /** Loads the addon found under `directory`: build/Release first, then prebuilds. */
  function nodeGypBuild(directory: string): unknown;
  export = nodeGypBuild;
}
