import type { BatchOptions, ListenerOptions } from '../declare/event-listener.decorator.js';
import { EventingError } from '../errors/eventing.error.js';
import { RetryPolicy } from '../receive/retry.policy.js';
import type { ListenerDefinition, ListenerDescriptor } from './listener.descriptor.js';

/** One subscription of a provider, and the listeners that it feeds. */
export interface SubscriptionPlan {
  readonly name: string;
  readonly provider: string;
  readonly channels: readonly string[];
  /** More than one only where they share a group. */
  readonly listeners: readonly [ListenerDescriptor, ...ListenerDescriptor[]];
}

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$/;

/** What may be chosen where the type alone cannot hold a configuration file to it. */
const CHOICES = {
  guarantee: ['at-least-once', 'at-most-once', 'exactly-once'],
  order: ['none', 'process', 'cluster'],
  unknown: ['skip', 'dead-letter'],
  deadLetters: ['single', 'sequenced'],
  from: ['first-subscription', 'earliest'],
} as const;

/** Resolves the options of a listener. @throws EventingError EVT_INVALID_LISTENER_OPTIONS, naming each that cannot be used */
export function describeListener(definition: ListenerDefinition): ListenerDescriptor {
  const { label, events, options, invoke, invokeBatch = one(invoke) } = definition;
  const problems: string[] = [];
  const refuse = (what: string): void => void problems.push(what);
  const first = events[0];
  if (first === undefined)
    throw new EventingError('EVT_INVALID_LISTENER_OPTIONS', `${label}: it listens to no event: name at least one.`);
  const name = options.name ?? label;
  const group = options.group ?? name;
  for (const [option, value] of [
    ['name', name],
    ['group', group],
  ] as const)
    if (typeof value !== 'string' || !NAME.test(value))
      refuse(`${option} "${value}" must be 1 to 200 of A-Z a-z 0-9 . _ -`);
  const count = (option: 'concurrency' | 'window' | 'timeout' | 'timeoutGrace', fallback: number): number => {
    const value = options[option] ?? fallback;
    if (!Number.isSafeInteger(value) || value < 1) refuse(`${option} ${value} must be a whole number of at least 1`);
    return value;
  };
  for (const [option, allowed] of Object.entries(CHOICES)) {
    const value: unknown = options[option as keyof typeof CHOICES];
    if (value === undefined || (allowed as readonly unknown[]).includes(value)) continue;
    if (option === 'from' && typeof value === 'object' && value !== null) continue;
    refuse(`${option} ${JSON.stringify(value)} must be one of ${allowed.join(', ')}`);
  }
  const batch = options.batch === undefined ? undefined : batchOptions(options, refuse);
  for (const option of ['perProcess', 'durable', 'replay'] as const)
    if (typeof (options[option] ?? true) !== 'boolean')
      refuse(`${option} ${String(options[option])} must be true or false`);
  const { from = 'first-subscription' } = options;
  if (typeof from === 'object' && 'time' in from && !Number.isFinite(from.time))
    refuse(`from.time ${from.time} must be milliseconds since 1970`);
  const stranger = events.find((event) => event.provider !== first.provider);
  if (stranger !== undefined)
    refuse(`${first.type.name} and ${stranger.type.name} live on different providers: write a listener for each`);
  const perProcess = options.perProcess ?? false;
  if (perProcess && options.group !== undefined) refuse('perProcess and group exclude each other');
  if (perProcess && options.durable === true) refuse('perProcess subscriptions cannot be durable');
  if (perProcess && options.guarantee === 'exactly-once')
    refuse('perProcess and exactly-once exclude each other: copies have no position that could be kept');
  const keyed = events.some((event) => event.keyed);
  const order = options.order ?? (keyed ? 'cluster' : 'none');
  const guarantee = options.guarantee ?? 'at-least-once';
  if (options.retry?.move === true && order !== 'none')
    refuse(`retry.move would break the order it asks for (${order}): set order: 'none', or leave move out`);
  if (options.retry?.move === true && guarantee === 'exactly-once')
    refuse('retry.move and exactly-once exclude each other');
  if (options.retry?.exhausted === 'stop' && guarantee === 'at-most-once')
    refuse(
      "retry.exhausted: 'stop' and at-most-once exclude each other: the event is settled before the listener is called",
    );
  const { deadLetters = 'single' } = options;
  if (deadLetters === 'sequenced')
    for (const what of unsequenced({ ...options, order, guarantee }, keyed)) refuse(what);
  const window = count('window', Math.max(256, 2 * (batch?.size ?? 0)));
  if (batch !== undefined && window < batch.size) refuse(`window ${window} must hold a batch of ${batch.size}`);
  // What a batch leaves behind is retried in place, by itself; and what was moved would be no part of its transaction.
  const inPlace = batch !== undefined || guarantee === 'exactly-once';
  const retry = new RetryPolicy(inPlace ? { ...options.retry, move: false } : options.retry);
  problems.push(...retry.problems);
  const counts = {
    concurrency: count('concurrency', batch === undefined ? 16 : 1),
    timeout: count('timeout', 60_000),
    timeoutGrace: count('timeoutGrace', 30_000),
  };
  if (problems.length > 0) throw new EventingError('EVT_INVALID_LISTENER_OPTIONS', `${label}: ${problems.join('; ')}.`);
  return {
    label,
    name,
    group,
    events,
    provider: first.provider,
    perProcess,
    durable: options.durable ?? !perProcess,
    from,
    ...counts,
    window,
    retry,
    guarantee,
    order,
    unknown: options.unknown,
    deadLetters,
    replay: options.replay ?? true,
    batch,
    invoke,
    invokeBatch,
  };
}

/** Why dead letters cannot keep the order of their keys. */
function* unsequenced(
  { order, durable, perProcess, guarantee, batch }: ListenerOptions,
  keyed: boolean,
): Iterable<string> {
  const asked = "deadLetters: 'sequenced'";
  if (!keyed) yield `${asked} keeps the order of keys, and none of its events has one: give an event a key`;
  else if (order !== 'cluster') yield `${asked} needs order: 'cluster', not '${String(order)}'`;
  if (perProcess === true || durable === false)
    yield `${asked} needs a durable subscription, which perProcess and durable: false are not`;
  if (guarantee === 'at-most-once')
    yield `${asked} and at-most-once exclude each other: the event is settled before the listener is called`;
  if (batch !== undefined) yield `${asked} and batch exclude each other`;
}

/** Where nobody asked for batches there are none. */
const one =
  (invoke: ListenerDefinition['invoke']): ListenerDescriptor['invokeBatch'] =>
  ([event], [envelope]) =>
    event === undefined || envelope === undefined ? undefined : invoke(event, envelope);

function batchOptions(options: ListenerOptions, refuse: (what: string) => void): Required<BatchOptions> {
  const { size = 100, wait = 10 } = options.batch ?? {};
  if (!Number.isSafeInteger(size) || size < 1 || size > 10_000)
    refuse(`batch.size ${size} must be a whole number of 1 to 10000`);
  if (!(wait >= 0 && wait <= 60_000)) refuse(`batch.wait ${wait} must be 0 to 60000 milliseconds`);
  if (options.group !== undefined) refuse('batch and group exclude each other: a batch is of one listener');
  if (options.retry?.move === true) refuse('batch and retry.move exclude each other');
  return { size, wait };
}

/** What listeners of one group must agree in: they are one consumer. */
const SHARED = ['durable', 'concurrency', 'window', 'order', 'guarantee', 'unknown', 'from', 'deadLetters'] as const;

/**
 * Gathers listeners into subscriptions. Problems are collected, not thrown: EVT_DUPLICATE_LISTENER, and
 * EVT_INVALID_LISTENER_OPTIONS where a group disagrees.
 */
export function planSubscriptions(
  listeners: readonly ListenerDescriptor[],
  problems: EventingError[],
): SubscriptionPlan[] {
  const byName = new Map<string, ListenerDescriptor>();
  const byGroup = new Map<string, [ListenerDescriptor, ...ListenerDescriptor[]]>();
  for (const listener of listeners) {
    const twin = byName.get(listener.name);
    if (twin !== undefined) {
      const text = `${twin.label} and ${listener.label} are both named "${listener.name}": name one of them, and provide each class once.`;
      problems.push(new EventingError('EVT_DUPLICATE_LISTENER', text));
      continue;
    }
    byName.set(listener.name, listener);
    const key = `${listener.provider}\n${listener.group}`;
    const members = byGroup.get(key);
    if (members === undefined) byGroup.set(key, [listener]);
    else {
      problems.push(...disagreements(members[0], members, listener));
      members.push(listener);
    }
  }
  return [...byGroup.values()].map((members) => ({
    name: members[0].group,
    provider: members[0].provider,
    channels: [...new Set(members.flatMap((member) => member.events.map((event) => event.channel)))],
    listeners: members,
  }));
}

function* disagreements(
  first: ListenerDescriptor,
  members: readonly ListenerDescriptor[],
  next: ListenerDescriptor,
): Iterable<EventingError> {
  const error = (text: string): EventingError =>
    new EventingError('EVT_INVALID_LISTENER_OPTIONS', `${next.label} shares the group "${next.group}" with ${text}.`);
  const option = SHARED.find((name) => JSON.stringify(first[name]) !== JSON.stringify(next[name]));
  if (option !== undefined) yield error(`${first.label}, and they differ in "${option}": one group is one consumer`);
  if (next.perProcess || first.perProcess) yield error(`${first.label}: perProcess listeners cannot share one`);
  for (const member of members) {
    const both = next.events.find((event) => member.events.includes(event));
    if (both !== undefined)
      yield error(
        `${member.label}, and both listen to ${both.type.name}: only one could get it; give them a group each`,
      );
  }
}
