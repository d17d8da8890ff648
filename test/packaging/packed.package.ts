import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { builtOnce } from '../programs/built.once.js';
import { command, node } from './command.js';
import { manifest, ROOT } from './manifest.js';

/** What is published beside what is built. */
const TEXTS = ['package.json', 'README.md', 'LICENSE', ...manifest.files.filter((file) => !file.startsWith('dist/'))];
const SOURCES = ['libs', 'packaging', 'tsconfig.json', ...TEXTS];

/** What `npm publish` would publish, built and packed in a folder of its own. */
export class PackedPackage {
  private constructor(
    /** The package before it was packed. */
    readonly folder: string,
    readonly tarball: string,
    /** What is in it, from the package's root. */
    readonly files: readonly string[],
  ) {}

  /** Of the sources as they are now: packed once and used by all, who leave it as it is. */
  static async ready(): Promise<PackedPackage> {
    const made = await builtOnce({ name: 'package', sources: SOURCES, make: pack });
    const { filename, files } = JSON.parse(await readFile(join(made, PACK), 'utf8')) as Pack;
    return new PackedPackage(
      join(made, 'package'),
      join(made, filename),
      files.map(({ path }) => path),
    );
  }

  async bytes(): Promise<Uint8Array> {
    return new Uint8Array(await readFile(this.tarball));
  }
}

/** Where what npm said of it is kept. */
const PACK = 'pack.json';

interface Pack {
  readonly filename: string;
  readonly files: readonly { readonly path: string }[];
}

async function pack(within: string): Promise<void> {
  const folder = join(within, 'package');
  await mkdir(folder);
  // Whether the sources are sound is for others to say.
  await node([join(ROOT, 'packaging/build.mjs'), join(folder, 'dist'), '--noCheck'], { cwd: ROOT });
  for (const file of TEXTS) await cp(join(ROOT, file), join(folder, file), { recursive: true });
  // The build that npm would start is done.
  const flags = ['--ignore-scripts', '--json', '--pack-destination', within];
  const printed = await command('npm', ['pack', ...flags], { cwd: folder });
  const [packed] = Object.values(JSON.parse(printed) as Record<string, Pack> | Pack[]);
  await writeFile(join(within, PACK), JSON.stringify(packed));
}
