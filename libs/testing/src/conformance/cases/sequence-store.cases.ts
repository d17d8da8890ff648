import assert from 'node:assert/strict';
import type { DeadLetter, ReleasedLetter } from 'nestjs-eventing';
import { type ConformanceCase, needs } from '../conformance.case.js';

/** The part of the dead-letter store that keeps the order of keys, asked without the kernel. */
export const sequenceStoreCases: readonly ConformanceCase[] = [
  {
    id: 'sequence-store',
    title: 'a row gives its letters one after the other, whoever asks, however often, in whatever state it was left',
    needs: [needs.sequences],
    async run(trial) {
      const [one, two] = [await trial.port('one', []), await trial.port('two', [])];
      const [ours, theirs] = [one, two].map(({ provider }) => provider.deadLetters.sequences);
      assert.ok(ours && theirs, 'the store has sequences');
      const key = { listener: 'reader', channel: trial.channel(), key: 'a' };
      const letter = (id: string, text = id): DeadLetter => ({
        ...{ id: trial.name(id), service: trial.service, listener: 'reader', channel: key.channel, reason: 'failed' },
        ...{ error: { name: 'Error', message: text }, attempts: 1, firstFailedAt: 1, deadAt: 2, sequence: 'first' },
        message: { key: 'a', headers: { n: id }, body: Buffer.from(text), time: 1, position: id },
      });
      const park = (id: string, by = ours): Promise<boolean> => by.park(key, () => letter(id));
      const release = (id: string, number: number) => ({ letter: trial.name(id), number });
      const texts = async (): Promise<string[]> => (await one.letters()).map(({ message }) => String(Buffer.from(message.body))); // prettier-ignore
      assert.equal(await park('0'), false, 'there is no row yet');
      assert.deepEqual(await texts(), [], 'and nothing is stored');
      await one.provider.deadLetters.append(letter('1'));
      assert.equal(await theirs.park({ ...key, key: 'b' }, () => letter('x')), false, 'another key');
      assert.equal(await theirs.park({ ...key, listener: 'other' }, () => letter('x')), false, 'another listener');
      for (const id of ['2', '3', '2', '1']) assert.equal(await park(id, theirs), true);
      assert.deepEqual(await texts(), ['1', '2', '3'], 'each is there once');
      assert.deepEqual(await ours.release(trial.name('2')), { kind: 'behind', first: trial.name('1') });
      assert.deepEqual(await ours.release(trial.name('none')), { kind: 'gone' });
      assert.equal(await ours.isCurrent(release('1', 1)), false, 'it was not released yet');
      assert.deepEqual(await ours.release(trial.name('1')), { kind: 'released', number: 1 });
      assert.deepEqual(await theirs.release(trial.name('1')), { kind: 'released', number: 2 });
      assert.deepEqual([await ours.isCurrent(release('1', 1)), await ours.isCurrent(release('1', 2))], [false, true]);
      assert.equal(await ours.advance(key, release('1', 1)), undefined, 'a release that was overtaken');
      await ours.failed(letter('1', 'stale'), release('1', 1));
      await ours.failed(letter('1', 'again'), release('1', 2));
      assert.deepEqual(await texts(), ['again', '2', '3']);
      assert.equal(await ours.isCurrent(release('1', 2)), false, 'it failed');
      assert.equal(await ours.advance(key, release('1', 2)), undefined, 'it failed, and waits for its redrive');
      assert.deepEqual(await theirs.release(trial.name('1')), { kind: 'released', number: 3 });
      const second = await ours.advance(key, release('1', 3));
      assert.deepEqual([second?.letter.id, second?.number], [trial.name('2'), 1]);
      const again = await theirs.advance(key, release('1', 3));
      assert.deepEqual([again?.letter.id, again?.number], [trial.name('2'), 2], 'its answer was lost: once more');
      assert.equal(await ours.isCurrent(release('2', 1)), false, 'only the last sending counts');
      assert.deepEqual(await ours.release(trial.name('2')), { kind: 'released', number: 3 });
      assert.equal(await ours.advance(key, release('1', 3)), undefined, 'somebody else has released it since');
      assert.equal((await ours.advance(key, release('2', 3)))?.letter.id, trial.name('3'));
      assert.equal(await ours.advance(key, release('3', 1)), undefined, 'it was the last');
      assert.deepEqual([await texts(), await park('4')], [[], false], 'the key is free');
    },
  },
  {
    id: 'sequence-race',
    title: 'where the last of a row leaves while one more comes, that one either follows it or finds the key free',
    needs: [needs.sequences],
    async run(trial) {
      const [one, two] = [await trial.port('one', []), await trial.port('two', [])];
      const [ours, theirs] = [one, two].map(({ provider }) => provider.deadLetters.sequences);
      assert.ok(ours && theirs, 'the store has sequences');
      const channel = trial.channel();
      const ends = { followed: 0, free: 0 };
      for (let round = 0; round < 30; round++) {
        const key = { listener: 'reader', channel, key: `k${round}` };
        const letter = (id: string): DeadLetter => ({
          ...{
            id: trial.name(`${round}-${id}`),
            service: trial.service,
            listener: 'reader',
            channel,
            reason: 'failed',
          },
          ...{ error: { name: 'Error', message: '' }, attempts: 1, firstFailedAt: 1, deadAt: 2, sequence: 'first' },
          message: { key: key.key, headers: {}, body: Buffer.from(id), time: 1, position: `${round}@${id}` },
        });
        await one.provider.deadLetters.append(letter('last'));
        await ours.release(letter('last').id);
        const soon = (): Promise<void> => trial.pause(trial.random.below(4));
        const leave = async (): Promise<ReleasedLetter | undefined> => {
          await soon();
          return ours.advance(key, { letter: letter('last').id, number: 1 });
        };
        const come = async (): Promise<boolean> => {
          await soon();
          return theirs.park(key, () => letter('late'));
        };
        const [next, parked] = await Promise.all([leave(), come()]);
        assert.equal(parked, next !== undefined, 'it waits behind nobody, and nobody will release it');
        ends[parked ? 'followed' : 'free']++;
        if (next !== undefined) await ours.advance(key, { letter: next.letter.id, number: next.number });
      }
      assert.deepEqual(await one.letters(), [], `${ends.followed} followed, ${ends.free} found the key free`);
    },
  },
];
