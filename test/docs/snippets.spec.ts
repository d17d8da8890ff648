import { describe, expect, it } from 'vitest';
import { fences } from './pages.js';
import { collect, programs } from './snippets.js';

const CONTEXTS = new Map([['send.ts', "import { events } from './events.js';\n{\n  // the snippet\n}\n"]]);
const fence = (code: string, language = 'ts'): string => `\`\`\`${language}\n${code}\n\`\`\`\n`;
const of = (text: string, contexts: ReadonlyMap<string, string> = new Map()) =>
  collect(fences('docs/page.md', text), contexts);

describe('a page', () => {
  it('has fences of any indentation, length and mark', () => {
    const text =
      'text\n\n1. list\n\n   ```ts\n   one\n     two\n   ```\n\n````md\n```ts\n```\n````\n~~~sh\nthree\n~~~\n';
    expect(fences('page.md', text)).toEqual([
      { page: 'page.md', line: 6, language: 'ts', code: 'one\n  two\n', note: undefined },
      { page: 'page.md', line: 11, language: 'md', code: '```ts\n```\n', note: undefined },
      { page: 'page.md', line: 15, language: 'sh', code: 'three\n', note: undefined },
    ]);
  });

  it('has notes right before fences', () => {
    const text = `<!-- snippet: one -->\n\n${fence('a')}${fence('b')}<!-- snippet: two -->\ntext\n${fence('c')}`;
    expect(fences('page.md', text).map(({ note }) => note)).toEqual(['one', undefined, undefined]);
  });
});

describe('a fence of TypeScript', () => {
  it('is a whole file', () => {
    const { snippets, problems } = of(fence('// file: a.ts\nhello();\n// prints: hello\n// prints: twice'));
    expect(problems).toEqual([]);
    expect(snippets).toEqual([
      expect.objectContaining({ file: 'docs-page-md/a.ts', line: 2, offset: 0, prints: ['hello', 'twice'] }),
    ]);
  });

  it('is a fragment, put into its context as it is', () => {
    const { snippets, problems } = of(`<!-- snippet: in send.ts -->\n\n${fence("send('$&');")}`, CONTEXTS);
    expect(problems).toEqual([]);
    expect(snippets).toEqual([
      expect.objectContaining({
        source: "import { events } from './events.js';\n{\nsend('$&');\n}\n",
        file: 'docs-page-md/send.ts',
        line: 4,
        offset: 2,
        length: 1,
      }),
    ]);
  });

  it('may say why it is not run, or not compiled', () => {
    const { snippets, problems } = of(
      `<!-- snippet: not run: it takes a day -->\n${fence('// file: a.ts')}` +
        `<!-- snippet: not compiled: it is a sketch -->\n${fence('…')}` +
        `<!-- snippet: in send.ts, not run: it costs -->\n${fence('send();')}`,
      CONTEXTS,
    );
    expect(problems).toEqual([]);
    expect(snippets.map(({ notRun, notCompiled }) => [notRun, notCompiled])).toEqual([
      ['it takes a day', undefined],
      [undefined, 'it is a sketch'],
      ['it costs', undefined],
    ]);
    expect(programs(snippets)).toEqual([]);
  });

  it('is run, unless another file of its page imports it', () => {
    const { snippets } = of(
      fence('// file: a.ts') +
        fence("// file: b.ts\nimport { a } from './a.js';") +
        fence("// file: c.ts\nimport './a.js';"),
    );
    expect(programs(snippets).map(({ file }) => file)).toEqual(['docs-page-md/b.ts', 'docs-page-md/c.ts']);
  });

  it.each([
    ['says nothing', fence('send();'), /^docs\/page\.md:2 is not compiled: begin it with/],
    ['says nothing, by its other name', fence('send();', 'typescript'), /is not compiled/],
    ['says only that it is not run', `<!-- snippet: not run: why -->\n${fence('send();')}`, /is not compiled/],
    ['gives no reason', `<!-- snippet: not compiled -->\n${fence('send();')}`, /a note that cannot be read/],
    ['has a misspelt note', `<!-- snippet: of send.ts -->\n${fence('send();')}`, /a note that cannot be read/],
    ['lacks its context', `<!-- snippet: in send.ts -->\n${fence('send();')}`, /send\.ts, which is not there/],
    ['is both', `<!-- snippet: in send.ts -->\n${fence('// file: a.ts')}`, /a whole file, and names a context/],
    ['could be compiled', `<!-- snippet: not compiled: why -->\n${fence('// file: a.ts')}`, /compile it/],
    ['has a name twice', fence('// file: a.ts') + fence('// file: a.ts'), /:5 is a second a\.ts/],
    ['is JavaScript', fence('send();', 'js'), /or write TypeScript/],
    ['is of no language', fence('send();', ''), /is code of no language/],
    ['is another language', `<!-- snippet: in a.ts -->\n${fence('npm ci', 'sh')}`, /has a note, and is no TypeScript/],
  ])('is refused where it %s', (_what, text, message) => {
    const { problems } = of(text);
    expect(problems).toEqual([expect.stringMatching(message)]);
  });

  it('is refused where its context has no place for it, or two', () => {
    const contexts = new Map([
      ['none.ts', 'export {};\n'],
      ['two.ts', '// the snippet\n// the snippet\n'],
      ['idle.ts', '// the snippet\n'],
    ]);
    const text = `<!-- snippet: in none.ts -->\n${fence('a')}<!-- snippet: in two.ts -->\n${fence('b')}`;
    expect(of(text, contexts).problems).toEqual([
      'docs/page.md:3 names context/none.ts, which must say "// the snippet" on one line',
      'docs/page.md:7 names context/two.ts, which must say "// the snippet" on one line',
      'context/idle.ts is of no snippet',
    ]);
  });
});
