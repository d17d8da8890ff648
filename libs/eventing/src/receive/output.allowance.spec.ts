import { describe, expect, it, vi } from 'vitest';
import { Event } from '../declare/event.decorator.js';
import { Gate, RecordingLogger, turn, VirtualClock } from '../kernel.fixture.js';
import type { OutgoingMessage } from '../provider/event-provider.js';
import { resolveOptions } from '../runtime/eventing.options.js';
import { EventingRuntime } from '../runtime/eventing.runtime.js';
import { ScriptedDelivery, ScriptedProvider } from '../scripted.provider.fixture.js';
import { DeliveryJob } from './delivery.job.js';
import { OutputAllowance } from './output.allowance.js';

@Event({ name: 'orders', key: 'id' })
class Order {
  id?: string;
}
@Event({ name: 'bills', key: 'id' })
class Bill {
  id!: string;
  text!: string;
}
const OUTPUT = { id: 'x', channel: 'bills', key: 'k', headers: {}, time: 0, durable: true };
const LARGE = 'x'.repeat(950_000);

describe('what is kept behind an event that is not settled', () => {
  const again: DeliveryJob[] = [];
  const allowance = (): OutputAllowance => new OutputAllowance((job) => again.push(job), { outputs: 3, bytes: 100 });
  const arrival = (into: OutputAllowance, source = 'orders/0'): DeliveryJob => {
    const job = new DeliveryJob(new ScriptedDelivery('orders', { source }, 0), undefined);
    into.arrived(job);
    return job;
  };
  const leave = (from: OutputAllowance, job: DeliveryJob, outputs: number, outputBytes = 0): void => {
    const body = new Uint8Array(outputs === 0 ? 0 : outputBytes / outputs);
    from.sends(job, new Array<OutgoingMessage>(outputs).fill({ ...OUTPUT, body }));
    from.left(job);
  };

  it.each([
    ['outputs', 3, 0],
    ['bytes', 1, 100],
  ])('is bounded in %s: then only the oldest has a turn, until it is settled', (_what, outputs, bytes) => {
    again.length = 0;
    const bound = allowance();
    const [head, second, third, fourth] = [arrival(bound), arrival(bound), arrival(bound), arrival(bound)];
    leave(bound, second, outputs, bytes);
    expect([head, third, fourth].map((job) => bound.mayRun(job))).toEqual([true, false, false]);
    bound.park(third);
    bound.park(fourth);
    expect(again).toEqual([]);
    leave(bound, head, 0);
    expect(again).toEqual([third, fourth]);
    expect(bound.mayRun(fourth)).toBe(true);
  });

  it('is counted for each source alone', () => {
    const bound = allowance();
    arrival(bound);
    leave(bound, arrival(bound), 3);
    expect(bound.mayRun(arrival(bound))).toBe(false);
    arrival(bound, 'orders/1');
    expect(bound.mayRun(arrival(bound, 'orders/1'))).toBe(true);
  });

  it('counts nothing of one that leaves while it waits, and gives it no turn', () => {
    again.length = 0;
    const bound = allowance();
    const head = arrival(bound);
    leave(bound, arrival(bound), 3);
    const waiting = arrival(bound);
    bound.park(waiting);
    leave(bound, waiting, 0);
    leave(bound, head, 0);
    expect(again).toEqual([]);
    expect(bound.mayRun(arrival(bound))).toBe(true);
  });
});

it(
  'an exactly-once listener is not called behind a slow event when its outputs are too many, and is when that is settled',
  { timeout: 60_000 },
  async () => {
    const gate = new Gate();
    const calls: string[] = [];
    const provider = new ScriptedProvider({ transactions: true, gathersOutputs: true });
    const logger = new RecordingLogger();
    const options = { service: 'shop', clock: new VirtualClock(0), logger, provider: provider.factory };
    const runtime = new EventingRuntime(resolveOptions(options, logger), (registry) => ({
      ...{ pipelines: [], problems: [] },
      listeners: [
        {
          label: 'Handler',
          events: [registry.describe(Order)],
          options: { guarantee: 'exactly-once', concurrency: 2 },
          async invoke(_event, { key = '' }) {
            calls.push(key);
            if (key === 'slow') return gate.promise;
            // More than half of what is allowed.
            for (let sent = 0; sent < 9; sent++) await runtime.events.sendEvent(Bill, { id: 'x', text: LARGE });
          },
        },
      ],
    }));
    await runtime.start();
    const deliveries = ['slow', 'a', 'b', 'c', 'd'].map((key) => provider.deliver({ key }));
    const accepted = (): number => deliveries.filter(({ kinds }) => kinds.includes('accept')).length;
    await vi.waitFor(() => expect(accepted()).toBe(2), 20_000);
    for (let time = 0; time < 20; time++) await turn();
    expect(calls).toEqual(['slow', 'a', 'b']);
    gate.open();
    await vi.waitFor(() => expect(accepted()).toBe(5), 20_000);
    expect(calls).toEqual(['slow', 'a', 'b', 'c', 'd']);
  },
);
