import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { letter, ScriptedService, type ScriptedLetter } from './scripted.service.js';

const DAY = Date.UTC(2026, 10, 20);
const LETTERS = [
  letter({ id: 'one', deadAt: DAY + 1000 }),
  letter({
    id: 'two',
    deadAt: DAY + 2000,
    listener: 'Stock',
    error: { name: 'Error', code: 'EVT_EXPIRED', message: 'too late' },
    reason: 'expired',
  }),
  letter({ id: 'three', deadAt: DAY + 3000 }),
];

async function service(letters: readonly ScriptedLetter[] = LETTERS): Promise<ScriptedService> {
  const opened = await ScriptedService.open(letters);
  onTestFinished(() => opened.close());
  return opened;
}
const json = (text: string): Record<string, unknown> => JSON.parse(text) as Record<string, unknown>;

describe('eventing dead-letters list', () => {
  it('prints a table, oldest first', async () => {
    const { code, out, err } = await (await service()).run('dead-letters', 'list');
    expect([code, err]).toEqual([0, '']);
    expect(out).toBe(
      [
        'ID     GIVEN UP AT               LISTENER     EVENT          REASON   ERROR',
        'one    2026-11-20T00:00:01.000Z  SendReceipt  orders.placed  failed   CardRefused: the card was refused',
        'two    2026-11-20T00:00:02.000Z  Stock        orders.placed  expired  EVT_EXPIRED: too late',
        'three  2026-11-20T00:00:03.000Z  SendReceipt  orders.placed  failed   CardRefused: the card was refused',
        '',
      ].join('\n'),
    );
  });

  it('prints JSON, page by page', async () => {
    const shop = await service();
    const first = json((await shop.run('dead-letters', 'list', '--json', '--limit', '2')).out);
    expect(first['letters']).toMatchObject([
      { id: 'one', provider: 'default', deadAt: '2026-11-20T00:00:01.000Z', event: { id: 'event-one' }, size: 25 },
      { id: 'two', error: { name: 'Error', code: 'EVT_EXPIRED', message: 'too late' } },
    ]);
    const rest = await shop.run('dead-letters', 'list', '--json', '--limit', '2', '--cursor', String(first['cursor']));
    expect(json(rest.out)).toMatchObject({ letters: [{ id: 'three' }] });
  });

  it.each([
    [['--listener', 'Stock'], ['two']],
    [
      ['--reason', 'failed', '--error', 'CardRefused'],
      ['one', 'three'],
    ],
    [
      ['--since', '2026-11-20T00:00:02Z'],
      ['two', 'three'],
    ],
    [['--until', '2026-11-20T00:00:01Z', '--event', 'orders.placed'], ['one']],
    [['--text', 'LATE'], ['two']],
    [['--since', '1s'], []],
  ])('picks by %j', async (flags, expected) => {
    const { out } = await (await service()).run('dead-letters', 'list', '--json', ...flags);
    expect((json(out)['letters'] as { id: string }[]).map(({ id }) => id)).toEqual(expected);
  });

  it('prints nothing that moves the cursor or changes colours', async () => {
    const error = { name: 'Error', message: 'a\u001b[31mred\u0007\nline' };
    const { out } = await (await service([letter({ id: 'x', error })])).run('dead-letters', 'list');
    expect(out).toContain('Error: a\\x1b[31mred\\x07 line');
  });

  it('prints a letter whatever is in it', async () => {
    const hostile = { ...letter({ id: 'x', deadAt: 1e300, reason: '\u009b2J' }), attempts: 1e300, event: undefined };
    const shop = await service([hostile]);
    const table = await shop.run('dead-letters', 'list');
    expect([table.code, table.out]).toEqual([
      0,
      expect.stringMatching(/^x +1e\+300 +SendReceipt +\\x9b2J +CardRefused/m),
    ]);
    const document = await shop.run('dead-letters', 'list', '--json');
    expect([document.code, document.out.includes('\u009b')]).toEqual([0, false]);
    expect(json(document.out)).toMatchObject({ letters: [{ reason: '\u009b2J', deadAt: '1e+300' }] });
    const page = await shop.run('dead-letters', 'show', 'x');
    expect([page.code, page.out.includes('\u009b')]).toEqual([0, false]);
  });

  it('says so where there are none', async () => {
    expect(await (await service([])).run('dead-letters', 'list')).toEqual({
      code: 0,
      out: 'No dead letters.\n',
      err: '',
    });
  });
});

describe('eventing dead-letters groups', () => {
  it('counts what fails alike', async () => {
    const shop = await service();
    const { out } = await shop.run('dead-letters', 'groups');
    expect(out.split('\n').slice(1)).toEqual([
      expect.stringMatching(
        /^2 +SendReceipt +failed +CardRefused +2026-11-20T00:00:01.000Z +2026-11-20T00:00:03.000Z +the card was refused$/,
      ),
      expect.stringMatching(/^1 +Stock +expired +EVT_EXPIRED /),
      '3 dead letters.',
      '',
    ]);
    const document = json((await shop.run('dead-letters', 'groups', '--json', '--listener', 'Stock')).out);
    expect(document).toMatchObject({
      letters: 1,
      ungrouped: 0,
      groups: [{ count: 1, firstAt: '2026-11-20T00:00:02.000Z' }],
    });
  });
});

describe('eventing dead-letters show', () => {
  it('prints error, headers and body', async () => {
    const error = { name: 'CardRefused', message: 'no', stack: 'CardRefused: no\n    at pay (card.js:1)' };
    const { code, out } = await (await service([letter({ id: 'one', error })])).run('dead-letters', 'show', 'one');
    expect(code).toBe(0);
    for (const part of [
      /^id +one$/m,
      /^listener +SendReceipt$/m,
      /^reason +failed after 5 attempts$/m,
      /^error +CardRefused: no$/m,
      /^stack\n {2}CardRefused: no\n {6}at pay/m,
      /^headers\n {2}ce_type +orders\.placed\n {2}tenant +t1$/m,
      /^body \(25 bytes\)\n {2}\{\n {4}"orderId": "1",$/m,
    ])
      expect(out).toMatch(part);
  });

  it('prints JSON, and bounds what is large', async () => {
    const letters = [letter({ id: 'one', body: 'x'.repeat(100_000) }), letter({ id: 'two', body: '\u00ff\u0000' })];
    const shop = await service(letters);
    const large = json((await shop.run('dead-letters', 'show', 'one', '--json')).out);
    expect(large).toMatchObject({
      id: 'one',
      size: 100_000,
      headers: { tenant: 't1' },
      body: { kind: 'text', cut: true },
    });
    expect((large['body'] as { text: string }).text).toHaveLength(64 * 1024);
    const bytes = json((await shop.run('dead-letters', 'show', 'two', '--json')).out);
    expect(bytes['body']).toEqual({ kind: 'bytes', base64: '/wA=' });
  });

  it('takes an id that looks like a flag behind --', async () => {
    const shop = await service([letter({ id: '-3DmW' })]);
    const { code, out } = await shop.run('dead-letters', 'show', '--json', '--', '-3DmW');
    expect([code, json(out)['id']]).toEqual([0, '-3DmW']);
  });

  it('fails where there is none', async () => {
    const { code, out, err } = await (await service()).run('dead-letters', 'show', 'four');
    expect([code, out]).toEqual([1, '']);
    expect(err).toBe('EVT_DEAD_LETTER_UNKNOWN There is no dead letter "four": it was redriven or removed.\n');
  });
});

describe('eventing dead-letters redrive', () => {
  it('asks where nobody has said which listeners there are, and does it when forced', async () => {
    const shop = await service();
    const refused = await shop.run('dead-letters', 'redrive', 'one');
    expect([refused.code, refused.err]).toEqual([
      1,
      expect.stringMatching(/^EVT_DEAD_LETTER_LISTENER .*there is none/),
    ]);
    expect(await shop.letters()).toHaveLength(3);
    const { code, out } = await shop.run('dead-letters', 'redrive', 'one', 'three', '--force');
    expect([code, out]).toEqual([0, '2 redriven, 0 failed.\n']);
    expect(await shop.sent()).toMatchObject([
      { id: 'event-one', channel: 'orders', key: 'k', to: 'SendReceipt', body: '{"orderId":"1","total":5}' },
      { id: 'event-three', to: 'SendReceipt' },
    ]);
    expect(await shop.letters()).toEqual(['two']);
  });

  it('goes on where one of the ids is gone, tells of it, and exits 1', async () => {
    const shop = await service();
    const ids = ['one', 'gone', 'three'];
    const { code, out, err } = await shop.run('dead-letters', 'redrive', ...ids, '--force');
    expect([code, out]).toEqual([1, '2 redriven, 1 failed.\n']);
    expect(err).toBe('EVT_DEAD_LETTER_UNKNOWN There is no dead letter "gone": it was redriven or removed.\n');
    expect(await shop.letters()).toEqual(['two']);
    const again = await shop.run('dead-letters', 'redrive', 'gone', 'two', '--force', '--json');
    expect([again.code, json(again.out)]).toMatchObject([
      1,
      { redriven: 1, failed: 1, failures: [{ id: 'gone', code: 'EVT_DEAD_LETTER_UNKNOWN' }], more: false },
    ]);
  });

  it('sends what a filter picks, if that is confirmed', async () => {
    const shop = await service();
    const asked = await shop.run('dead-letters', 'redrive', '--reason', 'failed', '--force');
    expect([asked.code, asked.err]).toEqual([2, '2 dead letters would be redriven. Say --yes to do it.\n']);
    const done = await shop.run('dead-letters', 'redrive', '--all', '--limit', '2', '--force', '--yes', '--json');
    expect([done.code, json(done.out)]).toEqual([0, { redriven: 2, failed: 0, failures: [], more: true }]);
    const refused = await shop.run('dead-letters', 'redrive', '--all', '--yes');
    expect([refused.code, refused.out]).toEqual([1, '0 redriven, 1 failed.\n']);
    expect(refused.err).toMatch(/^EVT_DEAD_LETTER_LISTENER /);
    expect(await shop.letters()).toEqual(['three']);
  });
});

describe('eventing dead-letters purge', () => {
  it('throws away what is named', async () => {
    const shop = await service();
    expect(await shop.run('dead-letters', 'purge', 'two')).toEqual({ code: 0, out: '1 purged.\n', err: '' });
    expect(await shop.letters()).toEqual(['one', 'three']);
  });

  it('goes on where one of the ids is gone, tells of it, and exits 1', async () => {
    const shop = await service();
    const { code, out, err } = await shop.run('dead-letters', 'purge', 'gone', 'two');
    expect([code, out]).toEqual([1, '1 purged, 1 failed.\n']);
    expect(err).toMatch(/^EVT_DEAD_LETTER_UNKNOWN /);
    expect(await shop.letters()).toEqual(['one', 'three']);
    const again = await shop.run('dead-letters', 'purge', 'two', 'one', '--json');
    expect([again.code, json(again.out)]).toMatchObject([1, { purged: 1, failures: [{ id: 'two' }] }]);
  });

  it('throws away what a filter picks, if that is confirmed', async () => {
    const shop = await service();
    const asked = await shop.run('dead-letters', 'purge', '--listener', 'SendReceipt');
    expect([asked.code, asked.err]).toEqual([2, '2 dead letters would be thrown away for good. Say --yes to do it.\n']);
    const { out } = await shop.run('dead-letters', 'purge', '--listener', 'SendReceipt', '--yes', '--json');
    expect(json(out)).toEqual({ purged: 2 });
    expect(await shop.letters()).toEqual(['two']);
  });
});

describe('eventing migrate', () => {
  it('tells what each provider has done', async () => {
    const shop = await service();
    expect((await shop.run('migrate')).out).toBe('default (scripted) is up to date.\n');
    await shop.write('migrations.json', ['events', 'positions']);
    expect((await shop.run('migrate')).out).toBe('default (scripted):\n  created events\n  created positions\n');
    expect(json((await shop.run('migrate', '--json')).out)).toEqual({
      migrated: [{ provider: 'default', kind: 'scripted', done: ['created events', 'created positions'] }],
    });
  });

  it('says so where there is nothing to migrate', async () => {
    const shop = await service();
    await shop.write('plain.config.mjs', 'export default { service: "shop" };');
    expect((await shop.run('migrate', '--config', 'plain.config.mjs')).out).toBe(
      'No provider here has anything to migrate.\n',
    );
  });
});

describe('the command', () => {
  it.each<[string, string[], RegExp]>([
    ['no command', [], /Usage: eventing/],
    ['an unknown one', ['dead-letter'], /unknown command 'dead-letter'/],
    ['an unknown flag', ['dead-letters', 'list', '--lisener', 'x'], /unknown option '--lisener'/],
    ['an unknown reason', ['dead-letters', 'list', '--reason', 'luck'], /Allowed choices are failed, /],
    ['a limit that is none', ['dead-letters', 'list', '--limit', '0'], /whole number of at least 1/],
    ['a time that is none', ['dead-letters', 'list', '--since', 'soon'], /It must be a date/],
    ['no id', ['dead-letters', 'show'], /missing required argument 'id'/],
    ['nothing chosen', ['dead-letters', 'purge', '--yes'], /^purge: which of them\? Give ids, a filter, or --all\.\n$/],
    [
      'ids and a filter',
      ['dead-letters', 'redrive', 'one', '--listener', 'x'],
      /^Ids and --listener exclude each other\.\n$/,
    ],
    ['a body that is no JSON', ['dead-letters', 'edit', 'one', '--body', '{'], /^--body is not JSON: /],
    [
      'a body that is no object',
      ['dead-letters', 'edit', 'one', '--merge', '5'],
      /^--merge must be a JSON object\.\n$/,
    ],
    [
      'a header that is none',
      ['dead-letters', 'edit', 'one', '--header', 'x'],
      /^--header must be name=value, not "x"\.\n$/,
    ],
    [
      'a file that is not there',
      ['dead-letters', 'list', '--config', 'x.js'],
      /^There is no file \S+x\.js: --config names/,
    ],
  ])('exits 2 for %s', async (_what, args, message) => {
    const { code, out, err } = await (await service()).run(...args);
    expect([code, out]).toEqual([2, '']);
    expect(err).toMatch(message);
  });

  it('exits 2 where there is no configuration', async () => {
    const shop = await service();
    await rm(join(shop.folder, 'eventing.config.mjs'));
    const { code, err } = await shop.run('dead-letters', 'list');
    expect([code, err]).toEqual([
      2,
      expect.stringMatching(/^There is no eventing\.config\.js, eventing\.config\.mjs, /),
    ]);
  });

  it('prints help to where results go, and exits 0', async () => {
    const { code, out, err } = await (await service()).run('dead-letters', 'redrive', '--help');
    expect([code, err]).toEqual([0, '']);
    for (const flag of ['--listener', '--reason', '--since', '--limit', '--force', '--yes', '--config', '--json'])
      expect(out).toContain(flag);
  });

  it('tells code and message of what went wrong, and the stack if asked', async () => {
    const shop = await service();
    await shop.write('away.json', ['no route to host']);
    const { code, err } = await shop.run('dead-letters', 'list');
    expect([code, err]).toEqual([1, 'Error: no route to host\n']);
    expect((await shop.run('dead-letters', 'list', '--verbose')).err).toMatch(
      /^Error: no route to host\nError: no route.*\n +at /,
    );
  });

  it('waits for a broker for so long, and says which it is', async () => {
    const shop = await service();
    await shop.write('away.json', ['for ever']);
    const { code, err } = await shop.run('dead-letters', 'list', '--timeout', '0.2');
    expect([code, err]).toEqual([
      1,
      expect.stringMatching(/^EVT_CONNECTION "default" \(scripted\) was not reached within 0\.2 s: /),
    ]);
  });

  it.each([
    ['a broken one', 'throw new Error("half written");', /^Error: half written\n$/],
    ['one that exports nothing', 'export default undefined;', /^EVT_INVALID_OPTIONS .* gives no options: export/],
    ['one with classes that are no list', 'export default {}; export const classes = 5;', /classes must be a list/],
    [
      'one with options that cannot be used',
      'export default { service: "a b" };',
      /^EVT_INVALID_OPTIONS EventingModule: service "a b"/,
    ],
    [
      'one with a class that is none',
      'export default {}; export const classes = [class X {}];',
      /^EVT_NOT_AN_EVENT X is not an event/,
    ],
  ])('exits 1 for %s', async (_what, text, message) => {
    const shop = await service();
    await shop.write('own.config.mjs', text);
    const { code, err } = await shop.run('dead-letters', 'show', 'x', '--config', 'own.config.mjs');
    expect([code, err]).toEqual([1, expect.stringMatching(message)]);
  });
});
