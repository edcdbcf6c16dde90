import { TemporaryDirectory } from './temporary';
import { HubServer, type ServedModel } from './hub-server';

/** A Hub on this machine and an empty cache, which the environment points to while a test runs. */
export class TestHub extends TemporaryDirectory {
  server!: HubServer;

  constructor() {
    super();
    beforeEach(async () => {
      this.server = await new HubServer().start();
      this.setEnvironment({});
    });
    afterEach(async () => {
      jest.restoreAllMocks();
      await this.server.stop();
    });
  }

  get cache(): string {
    return this.at('hub');
  }

  /** Sets variables beside those that point to this Hub. */
  setEnvironment(more: Record<string, string>): void {
    const { HF_TOKEN: _, HF_HUB_CACHE: __, ...env } = process.env;
    jest.replaceProperty(process, 'env', {
      ...env,
      ...{ HF_ENDPOINT: this.server.endpoint, HF_HOME: this.path, HF_HUB_OFFLINE: '' },
      ...more,
    });
  }

  /** Offers a model with the files that loading needs, and others. */
  serveModel(name = 'owner/tiny', more: Partial<ServedModel> = {}): ServedModel {
    return this.server.serve(
      name,
      {
        '.gitattributes': '*.safetensors filter=lfs\n',
        'README.md': '# Tiny\n',
        'config.json': '{"model_type": "llama"}\n',
        'tokenizer.json': '{}\n',
        'model.safetensors': Buffer.alloc(100_000, 'weights '),
        'pytorch_model.bin': 'pickled',
        'onnx/model.safetensors': 'another format',
      },
      more,
    );
  }
}
