import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { ERROR_CODES, type ErrorCode, EventingError, RejectEvent } from './eventing.error.js';

const root = fileURLToPath(new URL('../../../../', import.meta.url));
const codes = Object.keys(ERROR_CODES) as ErrorCode[];

/** `docs/errors.md` by code: the text under its heading. */
const sections = new Map(
  readFileSync(`${root}docs/errors.md`, 'utf8')
    .split(/^#{2,3} /m)
    .slice(1)
    .map((section) => section.split('\n') as [string, ...string[]])
    .filter(([heading]) => heading.startsWith('EVT_'))
    .map(([heading, ...lines]) => [heading, lines.join('\n').trim()] as const),
);

/** Everything that is shipped, without its comments. */
const sources = readdirSync(`${root}libs`, { recursive: true, encoding: 'utf8' })
  .filter((file) => /^\w+\/src\/.*\.ts$/.test(file) && !/\.(?:spec|fixture|d)\.ts$/.test(file))
  .map((file) => readFileSync(`${root}libs/${file}`, 'utf8').replace(/\/\*[^]*?\*\/|^\s*\/\/.*$/gm, ''))
  .join('\n');

describe('docs/errors.md', () => {
  it('has a section for each code, in their order, and for nothing else', () => {
    expect([...sections.keys()]).toEqual(codes);
  });

  it.each(codes)('begins the section of %s with what it means', (code) => {
    const meaning = (sections.get(code) ?? '').split('\n\n')[0] ?? '';
    const text = ERROR_CODES[code];
    expect(meaning).toBe(`${text[0]?.toUpperCase()}${text.slice(1)}.`);
  });

  it.each(codes)('says of %s where it shows itself, its usual cause and the remedy', (code) => {
    const lines = (sections.get(code) ?? '').split('\n').filter((line) => line.startsWith('- '));
    expect(lines.map((line) => line.split(':')[0])).toEqual(['- Where', '- Cause', '- Remedy']);
    expect(lines[0]).toMatch(/^- Where: (?:start|send|receive|dead letter|call|the log)\b/);
    for (const line of lines) expect(line.length).toBeGreaterThan('- Remedy: x.'.length);
  });
});

describe('the codes', () => {
  it.each(codes)('%s is thrown somewhere', (code) => {
    expect(sources).toContain(`'${code}'`);
  });

  it('are all that is thrown', () => {
    const thrown = new Set(sources.match(/'EVT_\w+'/g));
    expect([...thrown].map((code) => code.slice(1, -1)).filter((code) => !(code in ERROR_CODES))).toEqual([]);
  });
});

describe('EventingError', () => {
  it('has a code, a message and its cause, and is an error like any other', () => {
    const cause = new Error('no route to host');
    const error = new EventingError('EVT_CONNECTION', 'kafka is away', { cause });
    expect(error).toBeInstanceOf(Error);
    expect(error).toMatchObject({
      name: 'EventingError',
      code: 'EVT_CONNECTION',
      message: 'kafka is away',
      cause,
      indeterminate: false,
    });
    expect(String(error)).toBe('EventingError: kafka is away');
  });

  it('has no cause where there is none', () => {
    expect(new EventingError('EVT_CONNECTION', 'away')).not.toHaveProperty('cause');
  });

  it('tells whether the broker may have stored the event', () => {
    expect(new EventingError('EVT_PUBLISH_TIMEOUT', 'late', { indeterminate: true }).indeterminate).toBe(true);
  });

  it('is what RejectEvent is, with a code of its own', () => {
    expect(new RejectEvent('never')).toBeInstanceOf(EventingError);
    expect(new RejectEvent('never')).toMatchObject({ name: 'RejectEvent', code: 'EVT_REJECTED' });
  });
});
