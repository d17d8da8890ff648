import assert from 'node:assert/strict';
import { type DeadLetter, EventingError } from 'nestjs-eventing';
import { type ConformanceCase, needs } from '../conformance.case.js';
import type { Sample } from '../sample.event.js';
import { SequencedTrial } from '../sequenced.trial.js';

/** What listeners with sequenced dead letters ask of a provider. */
const sequenced = [needs.sequences, needs.order('cluster'), needs.durable];

/** Dead letters that keep the order of their keys. */
export const sequenceCases: readonly ConformanceCase[] = [
  {
    id: 'sequence-waits',
    title: 'events of a key wait behind its dead letter and follow it in order when it is redriven; other keys go on',
    needs: sequenced,
    async run(trial) {
      const row = await SequencedTrial.open(trial);
      await row.send(range('a', 4), range('b', 2));
      await row.settledAt(4);
      assert.deepEqual(row.handled('b'), [0, 1], 'the other key');
      assert.deepEqual(row.handled('a'), [], 'what came behind a dead letter was handled');
      assert.deepEqual(placesOf(await row.letters()), [
        ['a', 0, 'rejected', 'first'],
        ['a', 1, 'waiting', 'waiting'],
        ['a', 2, 'waiting', 'waiting'],
        ['a', 3, 'waiting', 'waiting'],
      ]);
      row.broken = false;
      await row.redriveFirst();
      await row.over('a', 4);
      await row.send(range('a', 5).slice(4));
      await trial.until('the key is free', () => row.handled('a').length === 5);
      assert.deepEqual(row.handled('a'), [0, 1, 2, 3, 4]);
      const [again] = row.journal.calls.filter(({ body, failed }) => body.n === 0 && !failed);
      assert.deepEqual(again?.envelope.headers.toJSON(), { session: 's1' }, 'headers of a redriven event');
    },
  },
  {
    id: 'sequence-fails-again',
    title: 'a redriven letter that fails again is the first of its key again, under its id; the others still wait',
    needs: sequenced,
    async run(trial) {
      const row = await SequencedTrial.open(trial);
      await row.send(range('a', 3));
      await row.settledAt(3);
      const [before] = await row.letters();
      await row.redriveFirst();
      await trial.until('it is called again', () => row.journal.count === 2);
      await trial.until(
        'it is the first again',
        async () => (await row.letters())[0]?.sequence === 'first',
        () => 'it is not',
      );
      const [after] = await row.letters();
      assert.equal(after?.id, before?.id, 'its id');
      assert.ok((after?.deadAt ?? 0) >= (before?.deadAt ?? 0), 'its time');
      await trial.quiet();
      assert.equal(row.journal.count, 2, 'what waits behind it was handled');
      row.broken = false;
      await row.redriveFirst();
      await row.over('a', 3);
    },
  },
  {
    id: 'sequence-middle',
    title: 'only the first of a key is redriven; of many the firsts are sent, and whoever waits follows once',
    needs: sequenced,
    async run(trial) {
      const row = await SequencedTrial.open(trial);
      await row.send(range('a', 3), range('c', 2));
      await row.settledAt(5);
      const letters = await row.letters();
      const second = letters.find(({ sequence }) => sequence === 'waiting') as DeadLetter;
      const refusal = await row.one.runtime.deadLetters.redrive(second.id).then(
        () => undefined,
        (error: unknown) => error,
      );
      assert.ok(refusal instanceof EventingError, 'a letter in the middle was redriven');
      assert.equal(refusal.code, 'EVT_DEAD_LETTER_SEQUENCE');
      const first = letters.find(({ sequence, message }) => sequence === 'first' && message.key === second.message.key);
      assert.ok(refusal.message.includes(first?.id ?? '?'), 'the refusal names the first');
      row.broken = false;
      const report = await row.one.runtime.deadLetters.redriveAll();
      assert.deepEqual([report.redriven, report.failed], [2, 0]);
      await row.over('a', 3);
      await row.over('c', 2);
      await trial.quiet();
      assert.equal(row.journal.done.length, 5, 'each of them is handled once');
    },
  },
  {
    id: 'sequence-purge',
    title: 'who stood behind a first that is purged is the first then, and waits for its own redrive',
    needs: sequenced,
    async run(trial) {
      const row = await SequencedTrial.open(trial);
      await row.send(range('a', 3));
      await row.settledAt(3);
      assert.equal(await row.one.runtime.deadLetters.purge({ reason: 'rejected' }), 1);
      assert.deepEqual(placesOf(await row.letters()), [
        ['a', 1, 'waiting', 'first'],
        ['a', 2, 'waiting', 'waiting'],
      ]);
      row.broken = false;
      await trial.quiet();
      assert.deepEqual(row.handled('a'), [], 'purging handled something');
      await row.redriveFirst();
      await trial.until('the rest is handled', () => row.handled('a').length === 2);
      await trial.until('nothing waits', async () => (await row.letters()).length === 0);
      assert.deepEqual(row.handled('a'), [1, 2]);
    },
  },
  {
    id: 'sequence-moves',
    title: 'who takes a key over finds what waits of it, and puts later events behind',
    needs: [...sequenced, needs.groups],
    async run(trial) {
      const row = await SequencedTrial.open(trial);
      await row.send(range('a', 2));
      await row.settledAt(2);
      await trial.stop(row.one);
      await row.join('two');
      await row.send(range('a', 4).slice(2));
      await row.settledAt(4);
      await trial.quiet();
      assert.deepEqual(row.handled('a'), [], 'it was handled by the one that took over');
      row.broken = false;
      await row.redriveFirst();
      await row.over('a', 4);
    },
  },
  {
    id: 'sequence-crash',
    title: 'a crash while a redriven letter is handled loses nothing, and nothing of its key overtakes it',
    needs: [...sequenced, needs.groups, needs.hook('crash')],
    async run(trial) {
      const gate = trial.gate();
      const row = await SequencedTrial.open(trial, async ({ instance, body }) => {
        if (instance === trial.name('one') && body.n === 1) await gate.pass();
      });
      await row.send(range('a', 4));
      await row.settledAt(4);
      row.broken = false;
      await row.redriveFirst();
      await trial.until('the second of them is at work', () => gate.waiting === 1);
      const two = await row.join('two');
      await trial.crash(row.one);
      await row.send(range('a', 6).slice(4));
      await trial.until(
        'all of them are handled',
        () => new Set(row.handled('a')).size === 6,
        () => row.handled('a').join(' '),
      );
      await trial.until('nothing waits', async () => (await two.letters()).length === 0);
      const firsts = [...new Set(row.handled('a'))];
      assert.deepEqual(firsts, [0, 1, 2, 3, 4, 5], 'the order of first occurrences');
    },
  },
];

const range = (key: string, count: number): Sample[] => Array.from({ length: count }, (_, n) => ({ key, n }));

const placesOf = (letters: readonly DeadLetter[]): unknown[] =>
  letters.map(({ message, reason, sequence }) => {
    const { key, n } = JSON.parse(Buffer.from(message.body).toString()) as Sample;
    return [key, n, reason, sequence];
  });
