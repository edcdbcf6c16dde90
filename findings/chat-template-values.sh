#!/usr/bin/env bash
# @huggingface/jinja 0.5.11 renders chat templates in JavaScript; Python renders them with Jinja2 (3.1.6 gave the values
# below).
#
# A good guess: the same template and messages give the same prompt, or an error.
# Observed: values follow JavaScript. `strip` ignores its argument, so a template that strips "\n" also loses spaces;
# arrays are compared by identity and numbers with texts loosely, so a branch on `tool_calls == []` is never taken; %
# takes the sign of the dividend; a float joined to a text loses its ".0"; texts cannot be ordered.
# Consequence: render a template with both libraries once, before serving a model with the JavaScript prompt.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund @huggingface/jinja@0.5.11
cat >check.cjs <<'EOF'
const { Template } = require('@huggingface/jinja');

const render = (source) => {
  try {
    return new Template(source).render({});
  } catch (error) {
    return `throws: ${error.message}`;
  }
};
const cases = [
  // template, here, Jinja2
  [`{{ '\\n answer \\n'.strip('\\n') }}`, 'answer', ' answer '],
  [`{{ 'xxabcxx'.strip('x') }}`, 'xxabcxx', 'abc'],
  ['{{ [] == [] }}', 'false', 'True'],
  [`{{ 1 == '1' }}`, 'true', 'False'],
  ['{{ -7 % 3 }}', '-1', '2'],
  [`{{ 'a' ~ 1.0 }}`, 'a1', 'a1.0'],
  [`{{ 'b' < 'a' }}`, 'throws: Unknown operator "<" between StringValue and StringValue', 'False'],
];
let changed = 0;
for (const [source, observed, python] of cases) {
  const given = render(source);
  console.log(`${source}: ${JSON.stringify(given)} (Jinja2: ${JSON.stringify(python)})`);
  if (given !== observed) {
    console.error(`  observed before: ${JSON.stringify(observed)}`);
    changed += 1;
  }
}
process.exit(changed > 0 ? 1 : 0);
EOF
node check.cjs
