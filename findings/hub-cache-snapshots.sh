#!/usr/bin/env bash
# @huggingface/hub 2.17.5 downloads files into the cache that Python's huggingface_hub shares.
#
# A good guess: two files of the revision `main` land in one snapshot, under the commit of `main`, and refs/main names it, as in Python.
# Observed: downloadFileToCacheDir puts each file into a snapshot under the commit that changed *this file* last, and writes no ref. So
# config.json and model.safetensors of one revision lie in two directories, and Python finds neither: its lookup begins at refs/main.
# snapshotDownload and a full commit hash as revision do it right.
# Consequence: resolve the revision to a commit first (modelInfo gives `sha`) and download by that, or use snapshotDownload.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund --omit=optional @huggingface/hub@2.17.5
cat >check.cjs <<'EOS'
const { existsSync, readdirSync } = require('node:fs');
const { createServer } = require('node:http');
const { join, relative } = require('node:path');
const { downloadFileToCacheDir } = require('@huggingface/hub');

console.debug = () => undefined;
const HEAD = 'c'.repeat(40); // the commit of main
const files = {
  'config.json': { content: '{}', oid: '1'.repeat(40), lastCommit: 'a'.repeat(40) },
  'model.safetensors': { content: 'weights', oid: '2'.repeat(40), lastCommit: 'b'.repeat(40) },
};

// Answers like the Hub: paths-info with the last commit of each path, and the files themselves.
const server = createServer((request, response) => {
  let body = '';
  request.on('data', (chunk) => (body += chunk));
  request.on('end', () => {
    if (request.url.includes('/paths-info/')) {
      const [path] = JSON.parse(body).paths;
      const { content, oid, lastCommit } = files[path];
      const commit = { id: lastCommit, title: '', date: '2026-01-01T00:00:00.000Z' };
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify([{ type: 'file', path, size: content.length, oid, lastCommit: commit }]));
      return;
    }
    const { content, oid } = files[request.url.split('/').at(-1)];
    const headers = { etag: `"${oid}"`, 'x-repo-commit': HEAD };
    if (!request.headers.range) return response.writeHead(200, headers).end(content);
    response.writeHead(206, { ...headers, 'content-range': `bytes 0-0/${content.length}` }).end(content[0]);
  });
});

server.listen(0, '127.0.0.1', async () => {
  const cacheDir = join(process.cwd(), 'cache');
  const hubUrl = `http://127.0.0.1:${server.address().port}`;
  const found = [];
  for (const path of Object.keys(files)) {
    const place = await downloadFileToCacheDir({ repo: 'owner/model', path, revision: 'main', cacheDir, hubUrl });
    found.push(relative(cacheDir, place));
    console.log(`${path} of main (commit ccc…): ${found.at(-1)}`);
  }
  const model = join(cacheDir, 'models--owner--model');
  console.log(`snapshots: ${readdirSync(join(model, 'snapshots')).map((name) => `${name.slice(0, 3)}…`)}`);
  console.log(`refs/main ${existsSync(join(model, 'refs/main')) ? 'exists' : 'does not exist'}`);
  server.close();
  const expected = Object.entries(files).map(
    ([path, { lastCommit }]) => `models--owner--model/snapshots/${lastCommit}/${path}`,
  );
  const same = found.join() === expected.join() && !existsSync(join(model, 'refs/main'));
  if (!same) console.error('the snapshots are no longer those of the last change of each file');
  process.exit(same ? 0 : 1);
});
EOS
node check.cjs
