import assert from 'node:assert/strict';
import type { DeadLetter } from 'nestjs-eventing';
import type { ConformanceCase } from '../conformance.case.js';
import { assertSameBytes, headerBytes } from '../expectations.js';
import { range } from '../sample.event.js';
import type { TrialPort } from '../trial.port.js';

/** Looking at the dead letters of a service. */
export const scanCases: readonly ConformanceCase[] = [
  {
    id: 'scan',
    title: 'a scan reads letters page by page, oldest first, ends, and takes nothing away',
    async run(trial) {
      const { port, letters } = await written(trial.port('one', []), trial.service, 25);
      for (const limit of [10, 25, 1, 100]) {
        const pages = await pagesOf(port, limit);
        assert.deepEqual(
          pages.flat().map(({ id }) => id),
          letters.map(({ id }) => id),
          `pages of ${limit}`,
        );
        assert.ok(
          pages.every((page) => page.length <= limit),
          `a page of ${limit} is too long`,
        );
      }
      const neighbour = await trial.port('neighbour', [], { service: trial.name('neighbour') });
      assert.deepEqual(await neighbour.letters(), [], 'letters of another service');
      const scanned = (await pagesOf(port, 100)).flat();
      for (const [index, letter] of scanned.entries()) {
        const { message, ...rest } = letters[index] as DeadLetter;
        const { message: scannedMessage, ...scannedRest } = letter;
        assert.deepEqual(JSON.parse(JSON.stringify(scannedRest)), JSON.parse(JSON.stringify(rest)));
        assertSameBytes(scannedMessage.body, message.body, letter.id);
        assert.deepEqual(headerBytes(scannedMessage.headers), headerBytes(message.headers));
        assert.deepEqual(
          [scannedMessage.key, scannedMessage.time, scannedMessage.position],
          [message.key, message.time, message.position],
        );
      }
    },
  },
  {
    id: 'scan-and-remove',
    title: 'letters are removed alone and appended once; a cursor misses none when others go meanwhile',
    async run(trial) {
      const { port, letters } = await written(trial.port('one', []), trial.service, 12);
      await port.provider.deadLetters.append(letters[11] as DeadLetter);
      assert.equal((await port.letters()).length, 12, 'appending a letter again makes no second one');
      const first = await port.provider.deadLetters.scan({ limit: 4 });
      await port.provider.deadLetters.remove(first.letters.map(({ id }) => id));
      await port.provider.deadLetters.remove(['there-is-no-such-letter']);
      const seen: string[] = [];
      for (let { cursor } = first; cursor !== undefined;) {
        const page = await port.provider.deadLetters.scan({ limit: 4, cursor });
        seen.push(...page.letters.map(({ id }) => id));
        ({ cursor } = page);
      }
      assert.deepEqual(
        seen,
        letters.slice(4).map(({ id }) => id),
      );
      assert.deepEqual(
        (await port.letters()).map(({ id }) => id),
        seen,
        'what is left',
      );
    },
  },
];

/** A store with so many letters, the oldest first. */
async function written(
  opening: Promise<TrialPort>,
  service: string,
  count: number,
): Promise<{ readonly port: TrialPort; readonly letters: readonly DeadLetter[] }> {
  const port = await opening;
  const letters = range(count).map((n): DeadLetter => ({
    id: `letter-${service}-${n}`,
    service,
    listener: `listener-${n % 3}`,
    channel: 'anywhere',
    reason: n % 2 === 0 ? 'failed' : 'undecodable',
    error: { name: 'Error', code: 'EVT_UNDECODABLE', message: `grüße ${n}`, stack: 'Error\n    at somewhere' },
    attempts: n,
    firstFailedAt: 1_700_000_000_000 + n,
    deadAt: 1_700_000_001_000 + n,
    ...(n % 2 === 0 ? { event: { name: 'orders.placed', version: 2, id: `${n}` } } : {}),
    message: {
      key: n % 4 === 0 ? undefined : `k${n}`,
      headers: { session: 's', 'x-bytes': Uint8Array.of(0xff, n) },
      body: Uint8Array.of(0, 255, n),
      time: 1_700_000_000_000 - n,
      position: `0@${n}`,
    },
  }));
  for (const letter of letters) await port.provider.deadLetters.append(letter);
  return { port, letters };
}

async function pagesOf(port: TrialPort, limit: number): Promise<DeadLetter[][]> {
  const pages: DeadLetter[][] = [];
  let cursor: string | undefined;
  do {
    const page = await port.provider.deadLetters.scan({ limit, ...(cursor === undefined ? {} : { cursor }) });
    pages.push([...page.letters]);
    cursor = page.cursor;
    assert.ok(pages.length <= 1000, 'the scan does not end');
  } while (cursor !== undefined);
  return pages;
}
