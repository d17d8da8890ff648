import { describe, expect, it } from 'vitest';
import { EventingError, RejectEvent } from '../errors/eventing.error.js';
import { Failure } from './failure.js';

describe('what a listener threw', () => {
  it('is worth another attempt', () => {
    const error = new TypeError('no');
    expect(Failure.thrown(error)).toMatchObject({ reason: 'failed', final: false });
    expect(Failure.thrown(error).error).toBe(error);
  });

  it('is final where it is a RejectEvent, which keeps its cause', () => {
    const cause = new Error('404');
    const failure = Failure.thrown(new RejectEvent('no such order', { cause }));
    expect(failure).toMatchObject({ reason: 'rejected', final: true });
    expect(failure.error).toMatchObject({ code: 'EVT_REJECTED', message: 'no such order', cause, name: 'RejectEvent' });
  });

  it('is not final where it is another error of ours', () => {
    expect(Failure.thrown(new EventingError('EVT_PUBLISH_TIMEOUT', 'away')).final).toBe(false);
  });

  it.each([
    ['text', 'A string was thrown: text'],
    [undefined, 'A undefined was thrown: undefined'],
    [7n, 'A bigint was thrown: 7'],
    [Symbol('s'), 'A symbol was thrown: Symbol(s)'],
    [{ a: 1 }, 'A object was thrown: [object Object]'],
    [Object.create(null), 'A object was thrown: it has no text'],
    [
      {
        toString: () => {
          throw new Error('hostile');
        },
      },
      'A object was thrown: it has no text',
    ],
  ])('becomes an error where it is none (%#)', (value, message) => {
    expect(Failure.thrown(value).error.message).toBe(message);
  });

  it('is not quoted at length', () => {
    expect(Failure.thrown('x'.repeat(10_000)).error.message.length).toBeLessThan(600);
  });
});

describe('a failure of the message', () => {
  it('is final, coded, and keeps its cause', () => {
    const cause = new Error('byte 7');
    expect(Failure.of('undecodable', 'EVT_UNDECODABLE', 'no', cause)).toMatchObject({
      reason: 'undecodable',
      final: true,
      error: { code: 'EVT_UNDECODABLE', cause },
    });
  });
});

describe('a listener that does not return', () => {
  it('failed as if it had thrown, with the remedy', () => {
    expect(Failure.timedOut('SendReceipt', 50)).toMatchObject({
      reason: 'failed',
      final: false,
      error: {
        code: 'EVT_LISTENER_TIMEOUT',
        message: 'SendReceipt did not return within 50 ms: heed envelope.signal, or raise its timeout.',
      },
    });
  });
});
