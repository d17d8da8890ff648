import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { pages } from './pages.js';

it('docs/lifecycle.md names files that are there', async () => {
  const page = await readFile('docs/lifecycle.md', 'utf8');
  const files = [...page.matchAll(/`(libs\/[\w./-]+\.ts)`/g)].map(([, file = '']) => file);
  expect(files.length).toBeGreaterThan(10);
  expect(files.filter((file) => !existsSync(file))).toEqual([]);
});

it('the way out and the way in have five hops each', async () => {
  const page = await readFile('docs/lifecycle.md', 'utf8');
  for (const title of ['## Out: five hops', '## In: five hops']) {
    const section = page.split(title)[1]?.split('\n## ')[0] ?? '';
    expect(section.match(/^\d\. /gm)).toHaveLength(5);
  }
});

it('relative links of the documentation lead somewhere', async () => {
  for (const page of await pages()) {
    const folder = page.includes('/') ? page.slice(0, page.lastIndexOf('/')) : '.';
    const text = await readFile(page, 'utf8');
    for (const [, link = ''] of text.matchAll(/\]\((?!https?:|#)([^)#]+)/g))
      expect([page, link, existsSync(`${folder}/${link}`)]).toEqual([page, link, true]);
  }
});
