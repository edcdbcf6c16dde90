#!/usr/bin/env bash
# @huggingface/hub 2.17.5 reads the environment of Python's huggingface_hub in part.
#
# A good guess: a library that honours HF_HOME and HF_HUB_CACHE honours HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE, too.
# Observed: the cache lies where HF_HUB_CACHE says, but requests go to https://huggingface.co, without the token, even if
# HF_HUB_OFFLINE=1 forbids them and HF_ENDPOINT names a mirror. A token that does not begin with hf_, as a mirror may give, is refused.
# Consequence: pass hubUrl and accessToken with every call, and check HF_HUB_OFFLINE before it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund --omit=optional @huggingface/hub@2.17.5
cat >check.cjs <<'EOS'
const { getHFHubCachePath, modelInfo } = require('@huggingface/hub');

(async () => {
  const requests = [];
  // Nothing leaves this machine: the library calls this in place of fetch.
  const fetch = async (url, { headers } = {}) => {
    requests.push(`${new URL(url).origin} ${headers?.Authorization ?? 'without a token'}`);
    return new Response(JSON.stringify({ _id: '1', id: 'owner/model' }), {
      headers: { 'content-type': 'application/json' },
    });
  };
  await modelInfo({ name: 'owner/model', fetch });
  const refused = await modelInfo({ name: 'owner/model', fetch, accessToken: 'mirror_token' }).then(
    () => 'none',
    (error) => error.message,
  );
  console.log(`cache: ${getHFHubCachePath()}`);
  console.log(`requests: ${requests}`);
  console.log(`with the token of a mirror: ${refused}`);
  const same =
    getHFHubCachePath() === '/cache/of/python' &&
    requests.join() === 'https://huggingface.co without a token' &&
    refused === "Your access token must start with 'hf_'";
  if (!same) console.error('the environment is read differently now');
  process.exit(same ? 0 : 1);
})();
EOS
HF_HUB_CACHE=/cache/of/python HF_HUB_OFFLINE=1 HF_ENDPOINT=http://127.0.0.1:9 HF_TOKEN=hf_secret node check.cjs
