import type { SubscriptionHandle } from 'nestjs-eventing';
import { type MutantPlan, never } from './mutant.plan.js';

const handleOf = (handle: SubscriptionHandle, ended: SubscriptionHandle['ended']): SubscriptionHandle => ({
  pause: () => handle.pause(),
  resume: () => handle.resume(),
  lag: () => handle.lag(),
  stop: () => handle.stop(),
  ...(ended === undefined ? {} : { ended }),
});

/** Wrong about the end of a replay. */
export const replayMutants: readonly MutantPlan[] = [
  {
    name: 'goes on with the present after the past',
    mutate: () => ({
      subscription: (subscription) => {
        const without: { until?: 'now' } & typeof subscription = { ...subscription };
        delete without.until;
        return without;
      },
      handle: (handle) => handleOf(handle, Promise.resolve()),
    }),
    caught: { 'replay-ends': /came that should not/, 'replay-ends-settled': /it ended before all of it was settled/ },
  },
  {
    name: 'tells no end of a replay',
    mutate: () => ({ handle: (handle) => handleOf(handle, undefined) }),
    caught: { 'replay-ends': /the handle tells no end/ },
  },
  {
    name: 'never comes to the end of a replay',
    mutate: () => ({ handle: (handle) => handleOf(handle, new Promise(() => undefined)) }),
    caught: { 'replay-ends-empty': never('the empty one ends') },
  },
  {
    name: 'replays nothing',
    mutate: () => ({
      subscription: (subscription) =>
        subscription.until === undefined ? subscription : { ...subscription, from: 'first-subscription' },
    }),
    caught: { 'replay-beside-live': /handled: 0/ },
  },
];
