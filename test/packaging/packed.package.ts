import { cp, mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { command, node } from './command.js';
import { manifest, ROOT } from './manifest.js';

/** What `npm publish` would publish of the sources as they are now, built and packed in a folder of its own. */
export class PackedPackage {
  private constructor(
    /** The package before it was packed. */
    readonly folder: string,
    readonly tarball: string,
    /** What is in it, from the package's root. */
    readonly files: readonly string[],
  ) {}

  static async pack(within: string): Promise<PackedPackage> {
    const folder = join(within, 'package');
    await mkdir(folder);
    // Whether the sources are sound is for others to say.
    await node([join(ROOT, 'packaging/build.mjs'), join(folder, 'dist'), '--noCheck'], { cwd: ROOT });
    const rest = manifest.files.filter((file) => !file.startsWith('dist/'));
    for (const file of ['package.json', 'README.md', 'LICENSE', ...rest])
      await cp(join(ROOT, file), join(folder, file), { recursive: true });
    // The build that npm would start is done.
    const flags = ['--ignore-scripts', '--json', '--pack-destination', within];
    const printed = await command('npm', ['pack', ...flags], { cwd: folder });
    const packs = Object.values(JSON.parse(printed) as Record<string, Pack> | Pack[]);
    const { filename, files } = packs[0] as Pack;
    return new PackedPackage(
      folder,
      join(within, filename),
      files.map(({ path }) => path),
    );
  }

  async bytes(): Promise<Uint8Array> {
    return new Uint8Array(await readFile(this.tarball));
  }
}

interface Pack {
  readonly filename: string;
  readonly files: readonly { readonly path: string }[];
}
