import assert from 'node:assert/strict';
import type { EventClass, ListenerOptions } from 'nestjs-eventing';
import { type ConformanceCase, needs } from '../conformance.case.js';
import { assertExactly, assertKeyOrder, idsOf } from '../expectations.js';
import type { Call, Journal } from '../journal.js';
import { range, type Sample, sampleId } from '../sample.event.js';
import type { Trial } from '../trial.js';
import type { TrialService } from '../trial.service.js';

/** Listeners with `guarantee: 'exactly-once'` that send what others listen to. */
export const exactlyOnceCases: readonly ConformanceCase[] = [
  {
    id: 'exactly-once-outputs',
    title: 'what an exactly-once listener sends appears when it has returned, and not before',
    needs: [needs.transactions],
    async run(trial) {
      const gate = trial.gate();
      const relay = await Relay.open(trial, async ({ body }, send) => {
        await send(body);
        await gate.pass();
      });
      await relay.start('one');
      await relay.sender.send(relay.placed, { key: 'a', n: 1 });
      await trial.until('it has sent', () => gate.waiting === 1);
      await trial.quiet();
      assert.deepEqual(idsOf(relay.audited), [], 'it appeared before the listener had returned');
      gate.open();
      await trial.until('its output arrives', () => relay.audited.length > 0);
      const [output] = relay.audited;
      const [input] = relay.calls;
      assert.equal(output?.envelope.id, relay.ids[0], 'the id that sendEvent() told');
      assert.equal(output?.envelope.causationId, input?.envelope.id, 'its cause');
    },
  },
  {
    id: 'exactly-once-failed-attempt',
    title: 'what a failed attempt sent never appears; the next one sends it under the same id',
    needs: [needs.transactions],
    async run(trial) {
      const relay = await Relay.open(trial, async ({ body, envelope }, send) => {
        await send(body);
        await send({ key: body.key, n: body.n + 100 * envelope.attempt });
        if (envelope.attempt < 3) throw new Error('made to fail');
      });
      await relay.start('one');
      await relay.sender.send(relay.placed, { key: 'a', n: 1 });
      await trial.until('the outputs of the last attempt arrive', () => relay.audited.length >= 2);
      await trial.quiet();
      assertExactly(
        idsOf(relay.audited),
        [1, 301].map((n) => sampleId({ key: 'a', n })),
        'the outputs',
      );
      assert.equal(relay.ids.length, 6);
      assert.equal(new Set(relay.ids).size, 2, 'ids differ between attempts');
    },
  },
  {
    id: 'exactly-once-crash',
    title: 'an event whose listener had sent when its process died is handled again, and its output is there once',
    needs: [needs.transactions, needs.durable, needs.hook('crash')],
    async run(trial) {
      const gate = trial.gate();
      const relay = await Relay.open(trial, async ({ body, instance }, send) => {
        await send(body);
        if (instance === trial.name('one')) await gate.pass();
      });
      const one = await relay.start('one');
      await relay.sender.send(relay.placed, { key: 'a', n: 1 });
      await trial.until('it has sent', () => gate.waiting === 1);
      await trial.crash(one);
      await relay.start('two');
      await trial.until('it is handled again', () => relay.calls.length === 2);
      await trial.until('its output arrives', () => relay.audited.length > 0);
      await trial.quiet();
      assertExactly(idsOf(relay.audited), [sampleId({ key: 'a', n: 1 })], 'the outputs');
      assert.equal(new Set(relay.ids).size, 1, 'ids differ between attempts');
    },
  },
  {
    id: 'exactly-once-under-load',
    title: 'a crash in full run loses no output, repeats none and breaks the order of no key',
    needs: [needs.transactions, needs.order('cluster'), needs.groups, needs.durable, needs.hook('crash')],
    async run(trial) {
      const relay = await Relay.open(trial, async ({ body }, send) => {
        await trial.pause(trial.random.below(4));
        await send(body);
      });
      const one = await relay.start('one');
      await relay.start('two');
      const bodies = range(600).map((n) => ({ key: `k${n % 25}`, n }));
      const sends = relay.sender.sendAll(relay.placed, bodies);
      await trial.until(
        'it is in full run',
        () => relay.calls.filter(({ instance }) => instance === one.instance).length > 50,
      );
      await trial.crash(one);
      await sends;
      await trial.until(
        'every output arrives',
        () => relay.journal.distinct(relay.audited) >= bodies.length,
        () => `${relay.journal.distinct(relay.audited)} of ${bodies.length}`,
      );
      await trial.quiet();
      assertExactly(idsOf(relay.audited), bodies.map(sampleId), 'the outputs');
      assertKeyOrder(relay.audited);
    },
  },
];

type Handle = (call: Call, send: (body: Sample) => Promise<void>) => Promise<void>;

/** A listener that relays one event into another, in any number of processes, and one that writes those down. */
class Relay {
  readonly placed: EventClass<Sample>;
  readonly billed: EventClass<Sample>;
  readonly journal: Journal;
  /** What `sendEvent` said of each output, failed attempts included. */
  readonly ids: string[] = [];
  sender!: TrialService;

  private constructor(
    private readonly trial: Trial,
    private readonly handle: Handle,
  ) {
    this.placed = trial.keyedEvent();
    this.billed = trial.keyedEvent();
    this.journal = trial.journal();
  }

  static async open(trial: Trial, handle: Handle): Promise<Relay> {
    const relay = new Relay(trial, handle);
    const audit = relay.journal.by('audit', [relay.billed]);
    relay.sender = await trial.start('sender', { listeners: [audit], sends: [relay.placed] });
    return relay;
  }

  async start(instance: string): Promise<TrialService> {
    const options: ListenerOptions = { guarantee: 'exactly-once', retry: { delay: 20 } };
    const listener = this.journal.by('relay', [this.placed], options, (call) =>
      this.handle(call, async (body) => {
        this.ids.push((await service.send(this.billed, body)).id);
      }),
    );
    // Known before its start: a backlog is delivered while it starts.
    const service = this.trial.create(instance, { listeners: [listener], sends: [this.billed] });
    await this.trial.inTime(`the start of ${instance}`, service.runtime.start());
    return service;
  }

  get calls(): Call[] {
    return this.journal.of({ listener: 'relay' });
  }

  get audited(): Call[] {
    return this.journal.of({ listener: 'audit' });
  }
}
