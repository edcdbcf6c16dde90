// The options of the emulator, and its messages about wrong ones.
import { runCases } from './cases';

function refusal(options: string, program: 'simt_cases' | 'simt_cases_checked' = 'simt_cases'): string {
  try {
    runCases(program, options, ['elect']);
  } catch (error) {
    return (error as { stderr: string }).stderr.trim();
  }
  throw new Error(`"${options}" was accepted`);
}

test('all options are accepted in any order, with extra spaces', () => {
  const options = ' memory=1000000 residentBlocks=64  races=0 seed=0 asyncCopies=early schedule=starve ';
  expect(runCases('simt_cases', options, ['elect'])).toEqual({ elect: { report: '', wrong: '' } });
});

test.each([
  ['schedule=forward', 'schedule is "forward", but must be in-order, reverse, random or starve'],
  ['asyncCopies=never', 'asyncCopies is "never", but must be early, late or random'],
  ['seed=-1', 'seed is "-1", but must be a whole number, 0 … 9223372036854775807'],
  ['seed=', 'seed is "", but must be a whole number, 0 … 9223372036854775807'],
  ['seed=99999999999999999999', 'seed is "99999999999999999999", but must be a whole number'],
  ['residentBlocks=0', 'residentBlocks is "0", but must be a whole number, 1 … 64'],
  ['races=2', 'races is "2", but must be a whole number, 0 … 1'],
  ['memory=1e9', 'memory is "1e9", but must be a whole number, 1 … '],
  [
    'threads=4',
    'there is no option "threads"; the options are schedule, asyncCopies, seed, races, residentBlocks, memory, cublas, refused, driver, devices and computeCapability',
  ],
  ['schedule', '"schedule" is not name=value'],
])('"%s" is refused', (options, message) => {
  expect(refusal(options)).toContain(`cuda-emulated: ${message}`);
});

test('races=1 requires the checked build', () => {
  expect(refusal('races=1')).toContain(
    'races is "1", but must be 0, because this build of the emulator cannot check accesses',
  );
  expect(runCases('simt_cases_checked', 'races=1', ['elect']).elect!.report).toBe('');
});
