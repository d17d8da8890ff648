import { join } from 'node:path';
import { format, resolveConfig } from 'prettier';
import { beforeAll, expect, it } from 'vitest';
import { ApiReport } from './api.report.js';
import { entries, manifest, roomOf, ROOT, specifierOf } from './manifest.js';
import { PackedPackage } from './packed.package.js';

let folder: string;
let report: ApiReport;

const declarationsOf = (subpath: string): string => join(folder, 'dist/libs', roomOf(subpath), 'src/index.d.ts');

beforeAll(async () => {
  // Inside the repository, so that the package's peers resolve.
  ({ folder } = await PackedPackage.ready());
  const files = entries.map(([subpath]) => declarationsOf(subpath));
  report = new ApiReport(files, { name: manifest.name, file: declarationsOf('.') });
}, 600_000);

/** A page, so that it can be read, formatted as every other. */
async function pageOf(subpath: string): Promise<string> {
  const text = `# ${specifierOf(subpath)}

What this entry promises: a change here is a change for users. Written by \`npm run api\`.

\`\`\`ts
${report.of(declarationsOf(subpath))}\`\`\`
`;
  const options = await resolveConfig(join(ROOT, 'README.md'));
  return format(text, { ...options, parser: 'markdown' });
}

it.each(entries.map(([subpath]) => subpath))('the API of %s is the one that was agreed on', async (subpath) => {
  // Another API fails the test; `npm run api` agrees to it, and a reviewer sees what changed.
  await expect(await pageOf(subpath)).toMatchFileSnapshot(join(ROOT, `packaging/api/${roomOf(subpath)}.api.md`));
});
