// Epilogues of matrix products list the hooks that they have: a misspelt hook, a hook that is not listed, and a hook that the loop
// does not call do not compile.
import { compileForEmulator } from '../support/emulator-compiler';

/** The members of an epilogue that make its hooks. */
const members = {
  kBegin: 'template <typename Fragment> void begin(Fragment& fragment) const { fragment.clear(); }',
  kEndOfBlock: 'template <int kThreads> void end_of_block() const {}',
  kPrepare: 'template <typename Fragment> int prepare(const Fragment&) const { return 0; }',
  kWarpMemory: 'struct WarpMemory {};',
  kEnd: 'void end() const {}',
};
const hooks = Object.keys(members) as (keyof typeof members)[];

/** An epilogue that lists `hook`, unless it is empty, and has these members. */
const epilogue = (name: string, hook: string, had: string): string => `
  struct ${name} {
    using Hooks = HookList<${hook && `Hook::${hook}`}>;
    bool wanted() const { return true; }
    template <typename Fragment, typename... Second>
    void operator()(const Fragment&, const Second&...) const {}
    ${had}
  };`;

const misspelt = (member: string): string =>
  member.replace(/\b(begin|end_of_block|prepare|WarpMemory|end)\b/, '$1s');

/** The failed assertions among the compiler's messages, as "epilogue: assertion". */
function failures(messages: string): string[] {
  let name = '';
  const found = messages.split('\n').flatMap((line) => {
    name = /\bEpilogue = (?:\w+::)*(\w+)/.exec(line)?.[1] ?? name;
    const assertion = /error: static assertion failed: (.*)/.exec(line)?.[1];
    return assertion ? [`${name}: ${assertion}`] : [];
  });
  return [...new Set(found)].sort();
}

test('what an epilogue lists must be what it has', () => {
  const cases = hooks.flatMap((hook) => [
    { name: `right_${hook}`, hook, had: members[hook] },
    { name: `misspelt_${hook}`, hook, had: misspelt(members[hook]) },
    { name: `unlisted_${hook}`, hook: '', had: members[hook] },
  ]);
  const checks = cases.map(
    ({ name, hook, had }) => `
      ${epilogue(name, hook, had)}
      static_assert(check_hooks<${name}, Fragment<1, 8>, HookList<${hooks.map((each) => `Hook::${each}`).join(', ')}>>());`,
  );
  const messages = compileForEmulator(['csrc/cuda/linear/gemm_epilogues.cuh'], checks.join('\n'));
  const failed = failures(messages).map((failure) => failure.replace(/, and only if, .*/, ''));
  const wrong = hooks.flatMap((hook) => [
    `misspelt_${hook}: Hooks must list ${hook} if`,
    `unlisted_${hook}: Hooks must list ${hook} if`,
  ]);
  expect(failed).toEqual(wrong.sort());
});

test('an epilogue without a list, and one that lists an unknown hook, do not compile', () => {
  const check = (type: string) => `static_assert(check_hooks<${type}, Fragment<1, 8>, HookList<>>());`;
  const messages = compileForEmulator(
    ['csrc/cuda/linear/gemm_epilogues.cuh'],
    `struct NoList {};
     ${check('NoList')}
     ${epilogue('Unknown', 'kBegins', '')}`,
  );
  expect(messages).toMatch(/error: no type named .Hooks. in .*NoList/);
  expect(messages).toMatch(/error: .kBegins. is not a member of/);
});

test('a loop refuses hooks that it does not call', () => {
  const loops = [
    ['hopper', 'kEndOfBlock', 'multiply_tiles_on_hopper<Form::kNT>(context, gemm, epilogue, 1, gemm.k);'],
    [
      'tensor',
      'kEnd',
      'multiply_in<TensorLoop<BlockShape<4, 1, 1, 8>, Form::kNT>>(context, gemm, epilogue, 1, gemm.k);',
    ],
    ['rows', 'kBegin', 'multiply_rows(context, gemm, epilogue);'],
    [
      'slices',
      'kBegin',
      'launch(context, add_slices_kernel<slices>, dim3(1), dim3(32), 0, nullptr, 1, 1, 1, epilogue);',
    ],
  ] as const;
  const messages = compileForEmulator(
    ['csrc/cuda/linear/gemm_split.cuh', 'csrc/cuda/linear/gemm_skinny.cuh'],
    loops
      .map(
        ([name, hook, call]) => `
          ${epilogue(name, hook, members[hook])}
          void f(const Context& context, const Gemm& gemm, const ${name}& epilogue) { ${call} }`,
      )
      .join('\n'),
  );
  expect(failures(messages)).toEqual(
    loops.map(([name]) => `${name}: the epilogue lists a hook that this loop does not call`).sort(),
  );
});
