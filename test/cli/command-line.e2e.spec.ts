import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Test } from '@nestjs/testing';
import { type Envelope, Event, EventingModule, EventListener, EventManager } from 'nestjs-eventing';
import { kafka } from 'nestjs-eventing/kafka';
import { afterAll, beforeAll, describe, expect, inject, it, onTestFinished } from 'vitest';
import { ProgramRunner } from '../programs/program.runner.js';
import { letter, ScriptedService } from './scripted.service.js';

const brokers = inject('kafkaBrokers');

let command: ProgramRunner;
beforeAll(async () => {
  command = await ProgramRunner.open('libs/cli/src/main');
}, 600_000);
afterAll(() => command?.close());

describe('eventing, as a process', () => {
  it('finds its configuration, prints its results alone to stdout, and ends with its exit code', async () => {
    const service = await ScriptedService.open([letter({ id: 'one' })], command.folder);
    const listed = await command.run(['dead-letters', 'list', '--json', '--verbose'], service.folder);
    expect([listed.code, JSON.parse(listed.stdout)]).toMatchObject([0, { letters: [{ id: 'one' }] }]);
    expect(listed.stderr).toContain('scripted: connected');
    const missing = await command.run(['dead-letters', 'show', 'two'], service.folder);
    expect([missing.code, missing.stdout]).toEqual([1, '']);
    const misspelled = await command.run(['dead-leters'], service.folder);
    expect(misspelled.code).toBe(2);
  });
});

@Event({ name: 'orders.placed', channel: 'orders', key: 'orderId' })
class OrderPlaced {
  orderId!: string;
  total!: number;
}

/** What the service of the next test says of itself to the command. No decorators: it is JavaScript. */
const configOf = (service: string, channel: string): string => `
import { Event, EventListener } from 'nestjs-eventing';
import { kafka } from 'nestjs-eventing/kafka';
import { IsPositive, IsString } from 'class-validator';

class OrderPlaced {}
Event({ name: 'orders.placed', channel: ${JSON.stringify(channel)}, key: 'orderId' })(OrderPlaced);
IsString()(OrderPlaced.prototype, 'orderId');
IsPositive()(OrderPlaced.prototype, 'total');

class SendReceipt {
  on() {}
}
EventListener(OrderPlaced)(SendReceipt);

export const classes = [SendReceipt];
export default { service: ${JSON.stringify(service)}, provider: kafka({ brokers: ${JSON.stringify(brokers)} }) };
`;

describe.skipIf(brokers.length === 0)('eventing, beside a service on Kafka', () => {
  it('lists, groups, shows, redrives, edits and purges its dead letters', { timeout: 240_000 }, async () => {
    const service = `cli-${randomBytes(4).toString('hex')}`;
    const channel = `${service}.orders`;
    const state = { broken: true };
    const got: Envelope<OrderPlaced>[] = [];
    @EventListener(OrderPlaced, { retry: { attempts: 1 } })
    class SendReceipt implements EventListener<OrderPlaced> {
      on({ orderId }: OrderPlaced, envelope: Envelope<OrderPlaced>): void {
        if (state.broken) throw new TypeError(`no printer for ${orderId}`);
        got.push(envelope);
      }
    }
    const provider = kafka({ brokers });
    const events = { 'orders.placed': { channel } };
    const app = await Test.createTestingModule({
      imports: [EventingModule.forRoot({ service, provider, events })],
      providers: [SendReceipt],
    }).compile();
    app.useLogger(false);
    onTestFinished(() => app.close());
    await app.init();
    const folder = await ScriptedService.open([], command.folder);
    await writeFile(join(folder.folder, 'eventing.config.mjs'), configOf(service, channel));
    const run = async (...args: string[]) => {
      const { code, stdout, stderr } = await command.run(['dead-letters', ...args, '--json'], folder.folder);
      expect(code, `${stdout}${stderr}`).toBe(0);
      return JSON.parse(stdout) as { letters: { id: string; key: string }[] } & Record<string, unknown>;
    };

    const sent: Envelope<OrderPlaced>[] = [];
    for (const orderId of ['1', '2', '3', '4'])
      sent.push(await app.get(EventManager).sendEvent(OrderPlaced, { orderId, total: 5 }));
    await expect.poll(async () => (await run('list')).letters.length, { timeout: 120_000 }).toBe(4);
    const { letters } = await run('list', '--listener', 'SendReceipt', '--error', 'TypeError');
    const idOf = (key: string): string => letters.find((each) => each.key === key)?.id ?? '';
    expect(await run('groups')).toMatchObject({
      letters: 4,
      groups: [{ listener: 'SendReceipt', error: 'TypeError', count: 4 }],
    });
    expect(await run('show', idOf('1'))).toMatchObject({
      key: '1',
      error: { message: 'no printer for 1' },
      envelope: { source: `/${service}`, correlationId: sent[0]?.id },
      body: { kind: 'value', value: { orderId: '1', total: 5 } },
    });

    state.broken = false;
    expect(await run('redrive', idOf('1'))).toMatchObject({ redriven: 1, failed: 0 });
    await expect.poll(() => got.map(({ id }) => id), { timeout: 120_000 }).toEqual([sent[0]?.id]);

    const refused = await command.run(['dead-letters', 'edit', idOf('2'), '--merge', '{"total":-1}'], folder.folder);
    expect([refused.code, refused.stderr]).toEqual([
      1,
      expect.stringMatching(/^EVT_INVALID_EVENT Dead letter .* was not edited/),
    ]);
    const edited = await run('edit', idOf('2'), '--merge', '{"total":9}', '--header', 'fixed=yes');
    await expect.poll(() => got.length, { timeout: 120_000 }).toBe(2);
    expect(got[1]).toMatchObject({ id: edited['id'], causationId: sent[1]?.id, body: { orderId: '2', total: 9 } });
    expect(got[1]?.headers.toJSON()).toEqual({ fixed: 'yes' });

    expect(await run('redrive', '--text', 'printer for 3', '--yes')).toMatchObject({ redriven: 1 });
    await expect.poll(() => got.map(({ key }) => key), { timeout: 120_000 }).toEqual(['1', '2', '3']);
    expect(await run('purge', '--listener', 'SendReceipt', '--yes')).toEqual({ purged: 1 });
    expect((await run('list')).letters).toEqual([]);
  });
});
