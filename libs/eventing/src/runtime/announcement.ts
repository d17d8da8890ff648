import type { SubscriptionPlan } from '../registry/listener.plan.js';

/** What the start says of each listener, as data: the same feeds tools. */
export interface ListenerAnnouncement {
  readonly listener: string;
  readonly events: readonly string[];
  readonly provider: string;
  readonly channels: readonly string[];
  readonly group: string;
  readonly guarantee: string;
  readonly order: string;
  /** Events that come together at most; 1: one by one. */
  readonly batch: number;
  readonly retry: string;
  readonly deadLetters: string;
  /** True where the name of a durable subscription is only that of the class: renaming the class orphans it. */
  readonly namedByClass: boolean;
}

/** What becomes of an event in the end, where that is not the dead letters. */
const LAST = { 'dead-letter': '', discard: ', then discard', stop: ', then stop' } as const;

/** @param means what exactly-once rests on: `transactions`, `inbox`, or both */
export function announce(service: string, kind: string, plan: SubscriptionPlan, means: string): ListenerAnnouncement[] {
  return plan.listeners.map((listener) => {
    const keyed = listener.events.some((event) => event.keyed);
    const moved = (listener.retry.move ?? !keyed) && !listener.perProcess;
    return {
      listener: listener.label,
      events: listener.events.map((event) => (event.version === 1 ? event.name : `${event.name}@${event.version}`)),
      provider: kind,
      channels: [...new Set(listener.events.map((event) => event.channel))],
      group: listener.perProcess ? 'a copy for each process' : `group ${service}.${plan.name}`,
      guarantee: listener.guarantee === 'exactly-once' ? `exactly-once by ${means}` : listener.guarantee,
      order: listener.order === 'none' || !keyed ? 'no order' : 'order by key',
      batch: listener.batch?.size ?? 1,
      retry:
        listener.guarantee === 'at-most-once'
          ? 'no retry'
          : `retry ${listener.retry.attempts} ${moved ? 'moved' : 'in place'}${LAST[listener.retry.exhausted]}`,
      deadLetters: `${listener.deadLetters === 'sequenced' ? 'sequenced ' : ''}dead letters ${service}.dead-letters`,
      namedByClass: listener.durable && plan.name === listener.label,
    };
  });
}

export function announcementLine(said: ListenerAnnouncement): string {
  const route = `Mapped {${said.events.join(', ')} → ${said.listener}} ${said.provider}:${said.channels.join(',')}`;
  const batches = said.batch === 1 ? [] : [`batches of ${said.batch}`];
  return `${route} ${[said.group, said.guarantee, said.order, ...batches, said.retry, said.deadLetters].join(' · ')}`;
}
