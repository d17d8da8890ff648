import { describe, expect, it } from 'vitest';
import { letterOf, ScriptedDelivery, ScriptedProvider } from '../scripted.provider.fixture.js';
import { RecordingLogger, VirtualClock } from '../kernel.fixture.js';
import type { ListenerDescriptor } from '../registry/listener.descriptor.js';
import { DeliveryJob } from './delivery.job.js';
import { Failure } from './failure.js';
import { ListenerStop } from './listener.stop.js';
import { Settler } from './settler.js';

function stopping() {
  const clock = new VirtualClock(1000);
  const logger = new RecordingLogger();
  const settler = new Settler({ service: 'shop', name: 'Orders', provider: new ScriptedProvider(), clock, logger });
  return { stop: new ListenerStop(settler, clock), clock, logger };
}
const job = (position: number, state: DeliveryJob['state'] = 'waiting'): DeliveryJob => {
  const made = new DeliveryJob(new ScriptedDelivery('orders', {}, position), undefined);
  made.state = state;
  return made;
};
const ORDERS = { label: 'Orders.on', name: 'Orders' } as ListenerDescriptor;

describe('ListenerStop', () => {
  it('remembers where it stopped first, and tells each', () => {
    const { stop, logger } = stopping();
    let told = 0;
    stop.onStop = () => told++;
    const first = job(1);
    first.attempt = 5;
    stop.stop(first, ORDERS, Failure.thrown(new TypeError('no')));
    stop.stop(job(2), ORDERS, Failure.thrown(new Error('another')));
    expect(stop.at).toEqual({
      listener: 'Orders',
      channel: 'orders',
      position: '0@1',
      error: { name: 'TypeError', message: 'no' },
      since: 1000,
    });
    expect([told, first.attempt, logger.having('has stopped').length]).toEqual([1, 1, 2]);
  });

  it('bounds what it keeps of an error', () => {
    const { stop } = stopping();
    const error = Object.assign(new Error('x'.repeat(1_000_000)), { name: letterOf() as unknown as string });
    stop.stop(job(1), ORDERS, Failure.thrown(error));
    expect(stop.at?.error).toEqual({ name: '[object Object]', message: 'x'.repeat(2000) });
  });

  it('gives back what is there still, in order, once', () => {
    const { stop } = stopping();
    const jobs = Array.from({ length: 5000 }, (_, index) => job(index, index % 2 === 0 ? 'waiting' : 'gone'));
    for (const each of jobs) stop.park(each);
    for (const each of jobs.slice(0, 100)) each.state = 'gone';
    const again: DeliveryJob[] = [];
    stop.resume((each) => again.push(each));
    stop.resume((each) => again.push(each));
    expect(again).toEqual(jobs.filter(({ state }) => state === 'waiting'));
    expect(stop.at).toBeUndefined();
  });
});
