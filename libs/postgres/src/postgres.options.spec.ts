import { describe, expect, it } from 'vitest';
import { contextOf } from './postgres.fixture.js';
import { resolveEmbeddedOptions, resolvePostgresOptions } from './postgres.options.js';
import { embedded, postgres } from './postgres.js';
import { quotedSchema } from './sql/schema.name.js';

describe('the options of postgres() and embedded()', () => {
  it('need nothing, or a folder', () => {
    const { log, server } = resolvePostgresOptions({});
    expect(log).toMatchObject({ schema: 'eventing', partitions: 16, retention: undefined, commitInterval: 100 });
    expect(server).toMatchObject({ poolSize: 5, host: undefined });
    expect(resolveEmbeddedOptions({ dataDir: '/tmp/x' })).toMatchObject({ dataDir: '/tmp/x', partitions: 16 });
  });

  it('are checked all at once, naming each fault', () => {
    const wrong = (): unknown =>
      postgres({
        schema: 'Robert"; DROP SCHEMA public',
        partitions: 0,
        poolSize: 1,
        port: 70_000,
        leaseTime: 1_000,
        heartbeatInterval: 900,
        retention: { maxAge: Number.NaN },
      });
    expect(wrong).toThrow(expect.objectContaining({ code: 'EVT_INVALID_OPTIONS' }));
    for (const name of ['schema', 'partitions', 'poolSize', 'port', 'leaseTime', 'retention.maxAge'])
      expect(wrong).toThrow(`\`${name}\``);
    const misspelled = { host: 'a', hots: 'b' };
    expect(() => postgres(misspelled)).toThrow('there is no option `hots`');
    expect(() => embedded({ dataDir: '' })).toThrow('`dataDir`');
  });

  it('show nothing of an address that cannot be used', () => {
    const wrong = (): unknown => postgres({ connectionString: 'mysql://me:secret@host' });
    expect(wrong).toThrow('`connectionString`');
    expect(wrong).toThrow(expect.objectContaining({ message: expect.not.stringContaining('secret') as string }));
    expect(() => postgres({ connectionString: 'postgres://a@b/c', host: 'd' })).toThrow('both given');
  });

  it('decide the abilities, before any connection', () => {
    const { abilities, binding, kind } = postgres({ maxMessageBytes: 2_000_000 }).create(contextOf('shop'));
    expect(kind).toBe('postgres');
    expect(abilities).toMatchObject({ order: 'cluster', durable: true, groups: true, perProcess: true, replay: true });
    expect(abilities.largestMessage).toBe(2_000_000);
    expect(binding).toMatchObject({ attributePrefix: 'ce_', contentTypeHeader: 'content-type' });
    expect(embedded({ dataDir: '/tmp/x' }).create(contextOf('shop')).kind).toBe('embedded');
  });
});

describe('the name of the schema', () => {
  it('is quoted', () => {
    expect(quotedSchema('eventing_2')).toBe('"eventing_2"');
  });

  it.each(['', 'A', '1a', 'a-b', 'a"b', 'pg_catalog', 'a'.repeat(49), 'a; --'])('is not %j', (name) => {
    expect(() => quotedSchema(name)).toThrow(expect.objectContaining({ code: 'EVT_INVALID_OPTIONS' }));
  });
});
