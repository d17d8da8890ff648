import { describe, expect, it } from 'vitest';
import { Envelope } from '../envelope/envelope.js';
import { Gate, turn } from '../kernel.fixture.js';
import type { OutgoingMessage } from '../provider/event-provider.js';
import { PendingSend } from './pending.send.js';
import { StagingSink, type UnitOfWork } from './unit-of-work.js';

class Staging implements UnitOfWork {
  readonly staged: string[] = [];
  onStage: (id: string) => Promise<void> = () => Promise.resolve();

  stage(provider: string, message: OutgoingMessage): Promise<void> {
    this.staged.push(`${provider} ${message.id}`);
    return this.onStage(message.id);
  }
}

const message = (id: string): OutgoingMessage => ({
  id,
  channel: 'orders',
  key: 'k',
  headers: {},
  body: Buffer.alloc(1),
  time: 0,
  durable: true,
});

function send(id: string, key: string | undefined = 'k'): { pending: PendingSend; answer: Promise<Envelope> } {
  const gate = new Gate<Envelope>();
  const fields = { id, name: 'a', version: 1, source: '/shop', time: 0, key, correlationId: id };
  const envelope = new Envelope({ ...fields, causationId: undefined, notBefore: undefined, expiresAt: undefined }, {});
  return { pending: new PendingSend(envelope, 'orders', gate.open, gate.fail), answer: gate.promise };
}

describe('a staging sink', () => {
  it('stages under the name of the provider, and answers when the unit of work has', async () => {
    const work = new Staging();
    const sink = new StagingSink('audit', work);
    const gate = new Gate();
    work.onStage = () => gate.promise;
    const { pending, answer } = send('1');
    sink.fill(pending, message('1'));
    let done = false;
    void answer.then(() => (done = true));
    await turn();
    expect([work.staged, done]).toEqual([['audit 1'], false]);
    gate.open();
    expect(await answer).toBe(pending.envelope);
  });

  it('stages a key in call order, whoever is ready first', async () => {
    const work = new Staging();
    const sink = new StagingSink('default', work);
    const [one, two, given] = [send('1'), send('2'), send('3')];
    for (const { pending } of [given, one, two]) sink.reserve(pending);
    sink.fill(two.pending, message('2'));
    sink.fill(one.pending, message('1'));
    expect(work.staged).toEqual([]);
    sink.cancel(given.pending);
    await Promise.all([one.answer, two.answer]);
    expect(work.staged).toEqual(['default 1', 'default 2']);
  });

  it.each([
    ['rejects', (): Promise<void> => Promise.reject(new Error('rolled back'))],
    [
      'throws',
      (): Promise<void> => {
        throw new Error('rolled back');
      },
    ],
  ])('rejects the send whose staging %s, and no other of its lane', async (_how, fail) => {
    const work = new Staging();
    const sink = new StagingSink('default', work);
    work.onStage = (id) => (id === '1' ? fail() : Promise.resolve());
    const [one, two] = [send('1'), send('2')];
    for (const { pending } of [one, two]) sink.reserve(pending);
    sink.fill(two.pending, message('2'));
    sink.fill(one.pending, message('1'));
    await expect(one.answer).rejects.toThrow('rolled back');
    await expect(two.answer).resolves.toBe(two.pending.envelope);
  });
});
