import { EventingError, type OutgoingMessage, type PublishFailure } from 'nestjs-eventing';
import { describe, expect, it } from 'vitest';
import { type BatchOutcome, RelayBatch, type RelayRow } from './relay.batch.js';

const row = (position: number, key: string | null, parts: Partial<RelayRow> = {}): RelayRow => ({
  position: String(position),
  state: 'waiting',
  attempts: 0,
  id: `e${position}`,
  channel: 'orders',
  key,
  headers: '{}',
  body: Buffer.from('{}'),
  time: 0,
  durable: true,
  recipient: null,
  ...parts,
});

const refused = (message = 'no'): Error => new EventingError('EVT_PUBLISH_FAILED', message);
const away = (): Error => new EventingError('EVT_PUBLISH_TIMEOUT', 'away', { indeterminate: true });

/** Publishes; what is named fails as told. */
class Broker {
  readonly calls: string[][] = [];
  readonly failing = new Map<string, () => Error>();
  throwing: (ids: readonly string[]) => Error | undefined = () => undefined;

  readonly publish = async (messages: readonly OutgoingMessage[]): Promise<readonly PublishFailure[]> => {
    const ids = messages.map(({ id }) => id);
    this.calls.push(ids);
    const thrown = this.throwing(ids);
    if (thrown !== undefined) throw thrown;
    return ids.flatMap((id, index) => {
      const error = this.failing.get(id);
      return error === undefined ? [] : [{ index, error: error(), indeterminate: false }];
    });
  };
}

const always = async (): Promise<boolean> => true;
const shown = ({ sent, failed, away: reason }: BatchOutcome): unknown => ({
  sent: sent.map(({ id }) => id),
  failed: failed.map(({ row: { id }, patient }) => (patient ? `${id} patient` : id)),
  away: reason?.message,
});

describe('a batch of a relay', () => {
  it('publishes what has no key at once, and of each key one message a round', async () => {
    const broker = new Broker();
    const rows = [row(1, 'a'), row(2, 'a'), row(3, 'b'), row(4, null), row(5, null), row(6, 'a', { channel: 'bills' })];
    const outcome = await new RelayBatch(rows, 1, broker.publish).run(always);
    expect(broker.calls).toEqual([['e1', 'e3', 'e4', 'e5', 'e6'], ['e2']]);
    expect(shown(outcome)).toEqual({ sent: ['e1', 'e3', 'e4', 'e5', 'e6', 'e2'], failed: [], away: undefined });
  });

  it('publishes several of a key together where it may', async () => {
    const broker = new Broker();
    const rows = [1, 2, 3].map((position) => row(position, 'a'));
    await new RelayBatch(rows, 2, broker.publish).run(always);
    expect(broker.calls).toEqual([['e1', 'e2'], ['e3']]);
  });

  it('holds what comes after a failure back, and lets other keys go on', async () => {
    const broker = new Broker();
    broker.failing.set('e1', refused);
    const rows = [row(1, 'a'), row(2, 'a'), row(3, 'b'), row(4, 'b')];
    const outcome = await new RelayBatch(rows, 1, broker.publish).run(always);
    expect(shown(outcome)).toEqual({ sent: ['e3', 'e4'], failed: ['e1'], away: undefined });
  });

  it('ends when the broker is away, and blames no message', async () => {
    const broker = new Broker();
    for (const id of ['e1', 'e3']) broker.failing.set(id, away);
    const rows = [row(1, 'a'), row(2, 'a'), row(3, 'b')];
    const outcome = await new RelayBatch(rows, 1, broker.publish).run(always);
    expect([broker.calls.length, shown(outcome)]).toEqual([1, { sent: [], failed: [], away: 'away' }]);
  });

  it('is patient with a message that alone cannot be brought to the broker', async () => {
    const broker = new Broker();
    broker.failing.set('e1', away);
    const outcome = await new RelayBatch([row(1, 'a'), row(2, 'b')], 1, broker.publish).run(always);
    expect(shown(outcome)).toEqual({ sent: ['e2'], failed: ['e1 patient'], away: undefined });
  });

  it('finds the one message that a provider throws on', async () => {
    const broker = new Broker();
    broker.throwing = (ids) => (ids.includes('e2') ? new TypeError('what is this') : undefined);
    const outcome = await new RelayBatch([row(1, 'a'), row(2, 'b'), row(3, 'c')], 1, broker.publish).run(always);
    expect(shown(outcome)).toEqual({ sent: ['e1', 'e3'], failed: ['e2'], away: undefined });
  });

  it('takes a provider that throws because it is away as one that is away', async () => {
    const broker = new Broker();
    broker.throwing = () => new EventingError('EVT_NOT_RUNNING', 'stopped');
    const outcome = await new RelayBatch([row(1, 'a'), row(2, 'b')], 1, broker.publish).run(always);
    expect([broker.calls.length, shown(outcome)]).toEqual([1, { sent: [], failed: [], away: 'stopped' }]);
  });

  it('begins no round once it may not go on', async () => {
    const broker = new Broker();
    const rows = [row(1, 'a'), row(2, 'a')];
    const outcome = await new RelayBatch(rows, 1, broker.publish).run(async () => broker.calls.length === 0);
    expect(shown(outcome)).toEqual({ sent: ['e1'], failed: [], away: undefined });
  });
});
