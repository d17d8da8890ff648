import { describe, expect, it, onTestFinished } from 'vitest';
import { ScriptedService } from './scripted.service.js';

const T = Date.UTC(2026, 10, 20);
const SENT = [
  {
    ...{
      outcome: 'sent',
      provider: 'default',
      channel: 'orders',
      event: 'orders.placed',
      version: 1,
      id: 'e1',
      key: 'k1',
    },
    ...{ attempts: 1, size: 20, storedAt: T, settledAt: T + 1000 },
  },
  {
    ...{
      outcome: 'failed',
      provider: 'audit',
      channel: 'bills',
      recipient: 'Bill',
      event: 'bills.sent',
      version: 2,
      id: 'e2',
    },
    ...{
      attempts: 5,
      size: 20,
      storedAt: T + 2000,
      error: { name: 'Error', code: 'EVT_X', message: 'no\u001b[31m\nway' },
    },
  },
];
const HANDLED = [
  { outcome: 'handled', listener: 'Bill', event: 'orders.placed', version: 1, id: 'e1', key: 'k1', attempts: 2, at: T },
  {
    ...{
      outcome: 'failed',
      listener: 'Mail',
      at: T + 1000,
      attempts: 5,
      error: { name: 'TypeError', message: 'no printer' },
    },
    letter: { id: 'l1', provider: 'default', reason: 'undecodable' },
  },
];
const RESEND = { sent: 2, handled: 1, failed: 0, failures: [], more: false };

async function service(answers: object = {}): Promise<ScriptedService> {
  const opened = await ScriptedService.open([]);
  onTestFinished(() => opened.close());
  const log = { sent: { entries: SENT }, handled: { entries: HANDLED }, resend: RESEND, ...answers };
  await opened.write('log.json', log);
  return opened;
}
const json = (text: string): unknown => JSON.parse(text);

describe('eventing log sent', () => {
  it('prints a table, and nothing that moves the cursor', async () => {
    const shop = await service({ sent: { entries: SENT, cursor: '17' } });
    const { code, out, err } = await shop.run('log', 'sent');
    expect([code, err]).toEqual([0, '']);
    expect(out).toBe(
      [
        'STORED AT                 OUTCOME  TO                  EVENT          KEY  ID  ATTEMPTS  ERROR',
        '2026-11-20T00:00:00.000Z  sent     default:orders      orders.placed  k1   e1  1',
        '2026-11-20T00:00:02.000Z  failed   audit:bills → Bill  bills.sent@2        e2  5         EVT_X: no\\x1b[31m way',
        'There may be more: --cursor 17',
        '',
      ].join('\n'),
    );
  });

  it('prints JSON, with times as dates', async () => {
    const { out } = await (await service()).run('log', 'sent', '--json');
    expect(json(out)).toMatchObject({
      entries: [
        { id: 'e1', storedAt: '2026-11-20T00:00:00.000Z', settledAt: '2026-11-20T00:00:01.000Z' },
        { id: 'e2' },
      ],
    });
  });

  it('passes on what is asked for', async () => {
    const shop = await service();
    const flags =
      '--event orders.placed --id e1 --key k --channel orders --error EVT_X --provider audit --outcome failed';
    const paging = '--since 2026-11-20T00:00Z --until 2026-11-21T00:00Z --limit 7 --cursor c';
    await shop.run('log', 'sent', ...flags.split(' '), ...paging.split(' '));
    expect(await shop.asked()).toEqual([
      [
        'sent',
        {
          ...{ event: 'orders.placed', id: 'e1', key: 'k', channel: 'orders', error: 'EVT_X', provider: 'audit' },
          ...{ outcome: 'failed', since: T, until: T + 86_400_000 },
        },
        { limit: 7, cursor: 'c' },
      ],
    ]);
  });

  it('says so where there is nothing', async () => {
    const shop = await service({ sent: { entries: [] } });
    expect(await shop.run('log', 'sent')).toEqual({ code: 0, out: 'Nothing.\n', err: '' });
  });
});

describe('eventing log handled', () => {
  it('prints a table, and JSON', async () => {
    const shop = await service();
    const { code, out } = await shop.run('log', 'handled', '--listener', 'Bill', '--outcome', 'handled');
    expect(code).toBe(0);
    expect(out.split('\n')).toEqual([
      'AT                        OUTCOME  LISTENER  EVENT          KEY  ID  ATTEMPTS  ERROR',
      '2026-11-20T00:00:00.000Z  handled  Bill      orders.placed  k1   e1  2',
      '2026-11-20T00:00:01.000Z  failed   Mail                              5         TypeError: no printer',
      '',
    ]);
    expect(await shop.asked()).toEqual([['handled', { listener: 'Bill', outcome: 'handled' }, { limit: 50 }]]);
    expect(json((await shop.run('log', 'handled', '--json')).out)).toMatchObject({
      entries: [{ at: '2026-11-20T00:00:00.000Z' }, { letter: { id: 'l1', reason: 'undecodable' } }],
    });
  });
});

describe('eventing log resend', () => {
  it('says how many there are, until it is confirmed', async () => {
    const shop = await service();
    const asked = await shop.run('log', 'resend', '--error', 'EVT_X', '--of', 'sent', '--limit', '5');
    expect(asked).toEqual({
      code: 2,
      out: '',
      err: '2 failed sends and 1 failed handling would be sent again. Say --yes to do it.\n',
    });
    const done = await shop.run('log', 'resend', '--all', '--yes', '--force');
    expect([done.code, done.out]).toEqual([0, '2 failed sends and 1 failed handling sent again, 0 failed.\n']);
    expect(await shop.asked()).toEqual([
      ['resend', { error: 'EVT_X', of: 'sent' }, { limit: 5, dryRun: true }],
      ['resend', {}, { limit: 1000, force: true, dryRun: false }],
    ]);
  });

  it('only counts in a dry run', async () => {
    const shop = await service({ resend: { ...RESEND, more: true } });
    const { code, out } = await shop.run('log', 'resend', '--all', '--dry-run');
    expect([code, out]).toEqual([
      0,
      '2 failed sends and 1 failed handling would be sent again. There are more: run it again, or raise --limit.\n',
    ]);
    expect(await shop.asked()).toEqual([['resend', {}, { limit: 1000, force: false, dryRun: true }]]);
  });

  it('tells of each that failed, and exits 1', async () => {
    const error = { code: 'EVT_DEAD_LETTER_LISTENER', message: 'not known' };
    const report = { ...RESEND, failed: 1, failures: [{ id: 'l1', listener: 'Mail', error }] };
    const shop = await service({ resend: report });
    const { code, out, err } = await shop.run('log', 'resend', '--listener', 'Mail', '--yes');
    expect([code, out, err]).toEqual([
      1,
      '2 failed sends and 1 failed handling sent again, 1 failed.\n',
      'EVT_DEAD_LETTER_LISTENER not known\n',
    ]);
    const document = await shop.run('log', 'resend', '--all', '--yes', '--json');
    expect(json(document.out)).toMatchObject({ sent: 2, handled: 1, failed: 1, failures: [{ id: 'l1', listener: 'Mail', ...error }] }); // prettier-ignore
  });
});

describe('the log and the replay on the command line', () => {
  it.each<[string, string[], RegExp]>([
    ['nothing chosen', ['log', 'resend', '--yes'], /^resend: which of them\? Give a filter, or --all\.\n$/],
    ['an unknown outcome', ['log', 'sent', '--outcome', 'lost'], /Allowed choices are waiting, retrying, sent, failed/],
    ['an unknown side', ['log', 'resend', '--of', 'both'], /Allowed choices are sent, handled/],
    ['a listener of what was sent', ['log', 'sent', '--listener', 'x'], /unknown option '--listener'/],
    ['a replay from nowhere', ['replay', 'Bill'], /required option '--from <position>' not specified/],
    ['a replay from a time that is none', ['replay', 'Bill', '--from', 'soon'], /^--from must be earliest, a date /],
    ['positions that are none', ['replay', 'Bill', '--from', '{"a":1}'], /^--from: positions are a JSON object/],
  ])('exit 2 for %s', async (_what, args, message) => {
    const { code, out, err } = await (await service()).run(...args);
    expect([code, out]).toEqual([2, '']);
    expect(err).toMatch(message);
  });

  it.each<[string, string, string[], RegExp]>([
    ['no log', 'export default { service: "shop" };', ['log', 'sent'], /^EVT_INVALID_OPTIONS .*has no log of events/],
    ['a log that is none', 'export default { log: {} };', ['log', 'sent'], /log must be an EventLog/],
    ['no application', 'export default {};', ['replay', 'x', '--from', '1h'], /names no application/],
    [
      'an application that is no function',
      'export default {}; export const application = 5;',
      ['replay', 'x', '--from', '1h'],
      /application must be a function/,
    ],
    [
      'an application that gives no module',
      'export default {}; export const application = () => 5;',
      ['replay', 'x', '--from', '1h'],
      /must return a Nest module/,
    ],
    [
      'an application without eventing',
      'export default {}; class AppModule {} export const application = () => AppModule;',
      ['replay', 'x', '--from', '1h'],
      /^EVT_INVALID_OPTIONS .*does not import EventingModule/,
    ],
  ])('exit 1 for a configuration with %s', async (_what, text, args, message) => {
    const shop = await service();
    await shop.write('own.config.mjs', text);
    const { code, out, err } = await shop.run(...args, '--config', 'own.config.mjs');
    expect([code, out, err]).toEqual([1, '', expect.stringMatching(message)]);
  });
});
