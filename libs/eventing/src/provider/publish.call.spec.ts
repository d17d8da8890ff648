import { describe, expect, it, vi } from 'vitest';
import type { PublishFailure } from './event-provider.js';
import { type OpenMessage, PublishCall } from './publish.call.js';

const message = (index: number): OpenMessage => ({ index, done: false });
const broken = new Error('broken');

function callOf(count: number) {
  const resolve = vi.fn<(failures: readonly PublishFailure[]) => void>();
  const call = new PublishCall<OpenMessage>(count, 1_000, resolve);
  const messages = Array.from({ length: count }, (_, index) => message(index));
  call.messages.push(...messages);
  return { call, resolve, at: (index: number): OpenMessage => messages[index] as OpenMessage };
}

describe('a call of publish', () => {
  it('is answered when each of its messages is', () => {
    const { call, resolve, at } = callOf(2);
    call.stored(at(1));
    expect(call.open).toBe(true);
    expect(resolve).not.toHaveBeenCalled();
    call.stored(at(0));
    expect(call.open).toBe(false);
    expect(resolve.mock.calls).toEqual([[[]]]);
  });

  it('tells what failed in the order of the batch, however the answers came', () => {
    const { call, resolve, at } = callOf(3);
    call.failed(at(2), broken, true);
    call.stored(at(1));
    call.failed(at(0), broken, false);
    expect(resolve.mock.calls).toEqual([
      [
        [
          { index: 0, error: broken, indeterminate: false },
          { index: 2, error: broken, indeterminate: true },
        ],
      ],
    ]);
  });

  it('takes the first answer of a message and no other', () => {
    const { call, resolve, at } = callOf(2);
    call.stored(at(0));
    call.failed(at(0), broken, true);
    call.stored(at(0));
    expect(call.open).toBe(true);
    call.stored(at(1));
    expect(resolve.mock.calls).toEqual([[[]]]);
  });
});
