import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { type ArtemisBroker, startOwnArtemis } from '../brokers/brokers.js';
import { clientUrl } from '../brokers/credentials.js';
import { ProgramRunner } from '../programs/program.runner.js';
import type { PrintedAccount } from './printed.account.js';

const brokers = inject('kafkaBrokers');
const rabbitmq = inject('rabbitmq');
const artemis = inject('artemis');
const postgres = inject('postgres');

/** What tells the quickstart where a broker is; `undefined` where it could not be had. */
type Where = () => readonly string[] | undefined;

let quickstart: ProgramRunner;
/** The services of the shop have one kind of dead letters a broker: a second Artemis for the second protocol. */
let other: ArtemisBroker | undefined;
beforeAll(async () => {
  const [built, second] = await Promise.all([ProgramRunner.open('apps/quickstart/src/main'), startOwnArtemis()]);
  quickstart = built;
  if (second.available) other = second;
}, 600_000);
afterAll(async () => Promise.all([quickstart?.close(), other?.close()]));

const PROVIDERS: readonly (readonly [string, Where])[] = [
  ['kafka', () => (brokers.length === 0 ? undefined : ['--brokers', brokers.join(',')])],
  ['rabbitmq', () => rabbitmq && ['--url', rabbitmq.url]],
  ['amqp', () => artemis && ['--url', artemis.url]],
  ['postgres', () => postgres && ['--url', postgres.connectionString]],
  ['stomp', () => other && ['--url', clientUrl('stomp', { ...other.access, port: other.access.stompPort ?? 0 })]],
];

describe.each(PROVIDERS)('npm start -- --provider %s', (provider, where) => {
  // The second finds channels, groups and positions of the first, and the orders of a shop that is gone.
  it.for(['first', 'second'])('tells the same story, the %s time', async (_time, { skip }) => {
    const address = where() ?? skip('there is no broker');
    const { code, stdout, stderr } = await quickstart.run(['--provider', provider, ...address, '--json']);
    const account = JSON.parse(stdout || '{}') as Partial<PrintedAccount>;
    const notAsTold = account.steps?.filter(({ ok }) => !ok);
    expect([code, notAsTold, account.provider], stderr).toEqual([0, [], provider]);
  });
});
