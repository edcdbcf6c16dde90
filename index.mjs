// The package for `import`: the names of the one implementation, which is CommonJS.
export { Device, ForetokenError, Tensor, devices, openDevice, scope } from './dist/index.js';
