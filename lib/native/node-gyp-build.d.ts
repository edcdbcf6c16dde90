declare module 'node-gyp-build' {
  /** Loads the addon found under `directory`: build/Release first, then prebuilds. */
  function nodeGypBuild(directory: string): unknown;
  namespace nodeGypBuild {
    /** The file that would be loaded. */
    function resolve(directory: string): string;
  }
  export = nodeGypBuild;
}
