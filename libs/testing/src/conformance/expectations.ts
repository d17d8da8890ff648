import assert from 'node:assert/strict';
import type { Call } from './journal.js';
import { sampleId } from './sample.event.js';

/** How many names a message lists. */
const SOME = 8;

const some = (names: readonly string[]): string =>
  names.length > SOME ? `${names.slice(0, SOME).join(', ')} and ${names.length - SOME} more` : names.join(', ');

/** Everything expected is there. */
export function assertNoneLost(seen: readonly string[], expected: readonly string[], who: string): void {
  const there = new Set(seen);
  const lost = expected.filter((name) => !there.has(name));
  assert.equal(lost.length, 0, `${who}: ${lost.length} of ${expected.length} are lost: ${some(lost)}`);
}

/** Everything expected is there, once, and nothing else. */
export function assertExactly(seen: readonly string[], expected: readonly string[], who: string): void {
  assertNoneLost(seen, expected, who);
  const known = new Set(expected);
  const strange = seen.filter((name) => !known.has(name));
  assert.equal(strange.length, 0, `${who}: ${strange.length} came that should not: ${some(strange)}`);
  const once = new Set<string>();
  const repeated = seen.filter((name) => once.size === once.add(name).size);
  assert.equal(repeated.length, 0, `${who}: ${repeated.length} came more than once: ${some(repeated)}`);
}

/** Names of the events of these calls. */
export function idsOf(calls: readonly Call[]): string[] {
  return calls.map(({ body }) => sampleId(body));
}

/** The first call of each event, in the order of the calls: what order is judged by, where events may come again. */
export function firstCalls(calls: readonly Call[]): Call[] {
  const seen = new Set<string>();
  return calls.filter(({ body }) => seen.size < seen.add(sampleId(body)).size);
}

/** Within each key, and each sender of it, `n` only grows, judged by the first call of each event. */
export function assertKeyOrder(calls: readonly Call[]): void {
  const last = new Map<string, Call>();
  for (const call of firstCalls(calls)) {
    const lane = `${call.body.by ?? ''}/${call.body.key}`;
    const before = last.get(lane);
    if (before !== undefined && before.body.n > call.body.n)
      assert.fail(
        `${sampleId(call.body)} (in ${call.instance}) was handled after ${sampleId(before.body)} (in ${before.instance})`,
      );
    last.set(lane, call);
  }
}

/** Header values as bytes: a broker may hand text back as bytes. */
export function headerBytes(headers: Readonly<Record<string, string | Uint8Array>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers)
      .map(([name, value]): [string, string] => [name, Buffer.from(value as Uint8Array).toString('hex')])
      .sort(([a], [b]) => (a < b ? -1 : 1)),
  );
}

/** Both are the same bytes. */
export function assertSameBytes(actual: Uint8Array, expected: Uint8Array, what: string): void {
  const same = Buffer.compare(Buffer.from(actual), Buffer.from(expected)) === 0;
  assert.ok(same, `${what}: ${actual.byteLength} bytes came that are not the ${expected.byteLength} sent`);
}
