import { Injectable, Scope } from '@nestjs/common';
import {
  Decide,
  type EventDecision,
  type EventExceptionContext,
  EventExceptionHandler,
  Event,
  EventListener,
  RetryEvent,
} from 'nestjs-eventing';
import { describe, expect, it } from 'vitest';
import { refusal } from '../kernel.fixture.js';
import { TestApp } from '../test.app.fixture.js';

@Event({ name: 'payments.due', key: 'id' })
class PaymentDue {
  id!: string;
}
class PaymentError extends Error {}
class Declined extends PaymentError {}
class Stolen extends Declined {}

const throwing = (make: (id: string) => unknown, attempts = 3): [new () => EventListener, string[]] => {
  const calls: string[] = [];
  @EventListener(PaymentDue, { retry: { attempts, delay: 100 } })
  class Payments implements EventListener<PaymentDue> {
    on({ id }: PaymentDue): void {
      calls.push(id);
      throw make(id);
    }
  }
  return [Payments, calls];
};

const deciding = (
  errors: (new () => Error)[],
  handle: (error: Error, context: EventExceptionContext) => EventDecision | undefined | Promise<EventDecision>,
): new () => EventExceptionHandler => {
  @EventExceptionHandler(...errors)
  class Handler implements EventExceptionHandler {
    handle(error: Error, context: EventExceptionContext) {
      return handle(error, context);
    }
  }
  return Handler;
};

describe('an exception handler', () => {
  it('is that of the most specific class, and sees the error, the envelope and the listener', async () => {
    const [Payments] = throwing((id) => (id === 'a' ? new Stolen('stolen') : new PaymentError('no line')));
    const asked: string[] = [];
    const asking =
      (name: string) =>
      (error: Error, { envelope, listener }: EventExceptionContext) => {
        asked.push(`${name}: ${error.message} ${envelope.key} ${listener.label} ${envelope.attempt}`);
        return Decide.accept();
      };
    const general = deciding([PaymentError], asking('general'));
    const special = deciding([Declined], asking('special'));
    const any = deciding([], asking('any'));
    const app = await TestApp.start({ providers: [Payments, general, special, any] });
    for (const id of ['a', 'b']) await app.events.sendEvent(PaymentDue, { id });
    await app.idle();
    expect(asked).toEqual(['special: stolen a Payments 1', 'general: no line b Payments 1']);
    expect(await app.letters()).toEqual([]);
  });

  it('accepts, retries after a time of its own, or rejects', async () => {
    const [Payments, calls] = throwing((id) => new Declined(id));
    const handler = deciding([Declined], async ({ message }, { envelope }) => {
      if (message === 'done') return Decide.accept();
      if (message === 'dead') return Decide.reject('the card is stolen');
      return envelope.attempt === 1 ? Decide.retryAfter(5_000) : Decide.accept();
    });
    const app = await TestApp.start({ providers: [Payments, handler] });
    for (const id of ['done', 'dead', 'later']) await app.events.sendEvent(PaymentDue, { id });
    await app.clock.advance(4_999);
    expect(calls).toEqual(['done', 'dead', 'later']);
    await app.clock.advance(10);
    expect(calls).toEqual(['done', 'dead', 'later', 'later']);
    expect(await app.letter()).toMatchObject({
      reason: 'rejected',
      attempts: 1,
      error: { code: 'EVT_REJECTED', message: 'the card is stolen' },
    });
  });

  it('cannot retry for ever: attempts are counted, and the letter tells the error itself', async () => {
    const [Payments, calls] = throwing(() => new Declined('no money'));
    const handler = deciding([Declined], () => Decide.retryAfter(10));
    const app = await TestApp.start({ providers: [Payments, handler] });
    await app.events.sendEvent(PaymentDue, { id: 'a' });
    await app.clock.advance(1_000);
    expect(calls).toHaveLength(3);
    expect(await app.letter()).toMatchObject({ reason: 'failed', attempts: 3, error: { message: 'no money' } });
  });

  it.each([
    ['returns nothing', () => undefined],
    [
      'throws',
      () => {
        throw new Error('I am broken');
      },
    ],
    ['asks for a time that is none', () => Decide.retryAfter(Number.NaN)],
  ])('that %s leaves it to the retry options of the listener', async (_, handle) => {
    const [Payments, calls] = throwing(() => new Declined('no money'));
    const app = await TestApp.start({ providers: [Payments, deciding([Declined], handle)] });
    await app.events.sendEvent(PaymentDue, { id: 'a' });
    await app.clock.advance(99);
    expect(calls).toHaveLength(1);
    await app.clock.advance(2_000);
    expect(calls).toHaveLength(3);
    expect(await app.letter()).toMatchObject({ error: { message: 'no money' } });
  });

  it('is told of in the log when it is broken itself', async () => {
    const [Payments] = throwing(() => new Declined('no money'), 1);
    const handler = deciding([Declined], () => {
      throw new Error('I am broken');
    });
    const app = await TestApp.start({ providers: [Payments, handler] });
    await app.events.sendEvent(PaymentDue, { id: 'a' });
    await app.idle();
    expect(app.logger.having('Handler failed at Error of Payments: I am broken')).toHaveLength(1);
  });

  it('is refused at start where it has no handle(), is not a singleton, or has a rival', async () => {
    @EventExceptionHandler(Declined)
    class Empty {}
    @Injectable({ scope: Scope.REQUEST })
    @EventExceptionHandler(Stolen)
    class Scoped implements EventExceptionHandler {
      handle(): undefined {
        return undefined;
      }
    }
    @EventExceptionHandler(PaymentError)
    class One implements EventExceptionHandler {
      handle(): undefined {
        return undefined;
      }
    }
    @EventExceptionHandler(Stolen, PaymentError)
    class Two extends One {}
    const app = await TestApp.create({ providers: [Empty, Scoped, One, Two] });
    const { message } = await refusal(app.module.init());
    expect(message).toMatch(/EVT_INVALID_HANDLER Empty has no handle\(\) method/);
    expect(message).toMatch(/EVT_INVALID_HANDLER Scoped is not a singleton/);
    expect(message).toMatch(/EVT_DUPLICATE_HANDLER One and Two both handle PaymentError/);
  });
});

describe('RetryEvent', () => {
  it('thrown by a listener is the delay of the next attempt', async () => {
    const [Payments, calls] = throwing(() => new RetryEvent(3_000, { cause: new Error('too many requests') }), 2);
    const app = await TestApp.start({ providers: [Payments] });
    await app.events.sendEvent(PaymentDue, { id: 'a' });
    await app.clock.advance(2_999);
    expect(calls).toHaveLength(1);
    await app.clock.advance(10);
    expect(calls).toHaveLength(2);
    expect(await app.letter()).toMatchObject({ attempts: 2, error: { message: 'too many requests' } });
  });
});
