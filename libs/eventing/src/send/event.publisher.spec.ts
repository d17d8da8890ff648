import { EventingError, EventingRuntime, type OutgoingMessage, resolveOptions } from 'nestjs-eventing';
import { describe, expect, it } from 'vitest';
import { RecordingLogger, VirtualClock, refusal } from '../kernel.fixture.js';
import { ScriptedProvider } from '../scripted.provider.fixture.js';

const message = (id: string): OutgoingMessage => ({
  id,
  channel: 'orders',
  key: 'k',
  headers: {},
  body: Buffer.alloc(1),
  time: 0,
  durable: true,
});

class Background {
  readonly calls: string[] = [];
  start(): void {
    this.calls.push('start');
  }
  async stop(): Promise<void> {
    this.calls.push('stop');
  }
}

function open(): { runtime: EventingRuntime; provider: ScriptedProvider } {
  const provider = new ScriptedProvider();
  const logger = new RecordingLogger();
  const options = resolveOptions({ provider: provider.factory, clock: new VirtualClock(), logger }, logger);
  return { runtime: new EventingRuntime(options, () => ({ listeners: [], pipelines: [], problems: [] })), provider };
}

describe('the event publisher', () => {
  it('publishes stored bytes as they are, and connects where nobody has', async () => {
    const { runtime, provider } = open();
    const one = message('1');
    const failure = { index: 0, error: new Error('no'), indeterminate: false };
    provider.onPublish = () => Promise.resolve([failure]);
    expect(await runtime.publisher.publish('default', [one])).toEqual([failure]);
    expect([provider.journal, provider.messages]).toEqual([['start '], [one]]);
    await runtime.stop();
  });

  it('names a provider that there is not, and those that there are', async () => {
    const { runtime } = open();
    const error = await refusal(runtime.publisher.publish('audit', [message('1')]));
    expect(error.code).toBe('EVT_UNKNOWN_PROVIDER');
    expect(error.message).toContain('"audit"');
    expect(runtime.publisher.providers).toEqual(['default']);
  });

  it('starts what is attached when all is connected, and stops it before connections close', async () => {
    const { runtime, provider } = open();
    const [early, late] = [new Background(), new Background()];
    runtime.publisher.attach(early);
    expect(early.calls).toEqual([]);
    await runtime.start();
    runtime.publisher.attach(late);
    expect([early.calls, late.calls]).toEqual([['start'], ['start']]);
    early.stop = async () => void provider.journal.push('background stopped');
    // Otherwise it has no connection to close.
    await runtime.publisher.publish('default', []);
    await runtime.stop();
    expect(late.calls).toEqual(['start', 'stop']);
    expect(provider.journal.slice(-2)).toEqual(['background stopped', 'stop']);
  });

  it('takes nothing on once it has stopped', async () => {
    const { runtime } = open();
    await runtime.start();
    await runtime.stop();
    expect(() => runtime.publisher.attach(new Background())).toThrow(EventingError);
    expect((await refusal(runtime.publisher.publish('default', [message('1')]))).code).toBe('EVT_NOT_RUNNING');
  });
});
