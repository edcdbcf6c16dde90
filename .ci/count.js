// `node count.js <failed steps> <folder of jest reports>`: prints `N passed, N failed`; exit status 1 if any failed.
'use strict';
const { readdirSync, readFileSync } = require('node:fs');
const path = require('node:path');

const [, , failedSteps, folder] = process.argv;
let passed = 0;
let failed = Number(failedSteps);
for (const file of readdirSync(folder)) {
  const report = JSON.parse(readFileSync(path.join(folder, file), 'utf8'));
  passed += report.numPassedTests;
  // A file that could not run has no tests to count.
  failed += report.numFailedTests + report.numRuntimeErrorTestSuites;
  // Anything else that makes jest fail, such as a handle left open, counts too.
  if (!report.success && report.numFailedTests + report.numRuntimeErrorTestSuites === 0) failed++;
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
