import { homedir } from 'node:os';
import { join } from 'node:path';
import { cacheDirectory, hubSettings } from '../../lib/hub/settings';
import { TemporaryDirectory } from '../support/temporary';

const temporary = new TemporaryDirectory();

function setEnvironment(variables: Record<string, string>): void {
  jest.replaceProperty(process, 'env', variables);
}
afterEach(() => jest.restoreAllMocks());

it.each([
  [{}, join(homedir(), '.cache/huggingface/hub')],
  [{ XDG_CACHE_HOME: '/x' }, '/x/huggingface/hub'],
  [{ XDG_CACHE_HOME: '/x', HF_HOME: '/h' }, '/h/hub'],
  [{ HF_HOME: '~/h' }, join(homedir(), 'h/hub')],
  [{ HF_HOME: '/h', HUGGINGFACE_HUB_CACHE: '/old' }, '/old'],
  [{ HF_HOME: '/h', HUGGINGFACE_HUB_CACHE: '/old', HF_HUB_CACHE: '/c' }, '/c'],
  [{ HF_HUB_CACHE: '$DISK/${PART}/$NONE', DISK: '/d', PART: 'p' }, '/d/p/$NONE'],
  [{ HF_HOME: '', HF_HUB_CACHE: '' }, join(homedir(), '.cache/huggingface/hub')],
])('%j: the cache is %s', (variables, path) => {
  setEnvironment(variables);
  expect(cacheDirectory()).toBe(path);
});

it('finds the token in a variable, then in a file', async () => {
  const HF_HOME = temporary.path;
  const tokenWith = async (more: Record<string, string>): Promise<unknown> => {
    setEnvironment({ HF_HOME, ...more });
    return (await hubSettings()).token;
  };
  expect(await tokenWith({})).toBeUndefined();
  const source = temporary.write('token', ' of-file\n');
  expect(await tokenWith({})).toEqual({ value: 'of-file', source });
  const other = temporary.write('other', 'of-other');
  expect(await tokenWith({ HF_TOKEN_PATH: other })).toEqual({ value: 'of-other', source: other });
  const old = { HUGGING_FACE_HUB_TOKEN: 'old' };
  expect(await tokenWith(old)).toEqual({ value: 'old', source: 'HUGGING_FACE_HUB_TOKEN' });
  expect(await tokenWith({ ...old, HF_TOKEN: 'new\n' })).toEqual({ value: 'new', source: 'HF_TOKEN' });
  expect(await tokenWith({ HF_TOKEN: '' })).toEqual({ value: 'of-file', source });
});

it('asks the public Hub by default, and waits for 30 seconds', async () => {
  setEnvironment({ HF_HOME: temporary.path, HF_HUB_DOWNLOAD_TIMEOUT: 'soon' });
  expect(await hubSettings()).toMatchObject({ endpoint: 'https://huggingface.co', timeoutMs: 30_000 });
});

it.each(['Infinity', '1e9'])('waits for a timeout of %s as long as a timer can', async (seconds) => {
  setEnvironment({ HF_HOME: temporary.path, HF_HUB_DOWNLOAD_TIMEOUT: seconds });
  expect(await hubSettings()).toMatchObject({ timeoutMs: 2 ** 31 - 1 });
});

it.each(['one\ntwo', 'with space', 'tök'])('the token %j is refused and not shown', async (HF_TOKEN) => {
  setEnvironment({ HF_HOME: temporary.path, HF_TOKEN });
  await expect(hubSettings()).rejects.toMatchObject({
    code: 'INVALID_ARGUMENT',
    message: 'HF_TOKEN must be a token of printable ASCII characters without spaces, but holds others',
  });
});
