import { EventingError } from '../errors/eventing.error.js';
import type { EventDescriptor } from '../registry/event.descriptor.js';
import type { ListenerDescriptor } from '../registry/listener.descriptor.js';
import type { Abilities } from './abilities.js';

const ORDER = ['none', 'process', 'cluster'] as const;

/** What a listener asks for and its provider cannot do, each with a remedy. @param inbox the application has one */
export function* refusals(
  listener: ListenerDescriptor,
  kind: string,
  abilities: Abilities,
  inbox = false,
): Iterable<EventingError> {
  const refuse = (what: string, remedy: string): EventingError =>
    new EventingError('EVT_UNSUPPORTED', `${listener.label} asks for ${what}, which ${kind} cannot give: ${remedy}.`);
  if (ORDER.indexOf(listener.order) > ORDER.indexOf(abilities.order))
    yield refuse(
      `order: '${listener.order}'`,
      `it keeps '${abilities.order}'; set order: '${abilities.order}', or change the provider`,
    );
  if (listener.perProcess && !abilities.perProcess) yield refuse('perProcess', 'leave it out, or change the provider');
  if (listener.durable && abilities.durable === false)
    yield refuse('durable: true', 'set durable: false, or change the provider');
  if (listener.from !== 'first-subscription' && !abilities.replay)
    yield refuse('a start in the past (from)', 'leave from out, or change the provider');
  if (listener.deadLetters === 'sequenced' && abilities.sequencedDeadLetters !== true)
    yield refuse(
      "deadLetters: 'sequenced'",
      'that takes dead letters in a store that all processes share, as postgres(), embedded() and memory() have; leave it out, or change the provider',
    );
  else if (listener.deadLetters === 'sequenced' && listener.guarantee === 'exactly-once' && !inbox)
    yield refuse(
      "deadLetters: 'sequenced' with guarantee: 'exactly-once'",
      'its transactions do not reach into the rows of dead letters; give EventingModule an inbox (that of nestjs-eventing/postgres)',
    );
  if (listener.guarantee === 'exactly-once' && !abilities.transactions && !inbox)
    yield refuse(
      "guarantee: 'exactly-once'",
      'give EventingModule an inbox (that of nestjs-eventing/postgres), use a provider with transactions (kafka({ transactions: true }), postgres(), embedded()), ' +
        "or 'at-least-once' with an idempotent listener",
    );
}

/** Whether what it accepts and sends is one transaction of its provider. What moves in a row of dead letters is part of none. */
export function isTransactional(
  { guarantee, deadLetters }: Pick<ListenerDescriptor, 'guarantee' | 'deadLetters'>,
  { transactions }: Abilities,
): boolean {
  return transactions && guarantee === 'exactly-once' && deadLetters !== 'sequenced';
}

/** What an event asks for and its provider cannot do. */
export function* eventRefusals(event: EventDescriptor, kind: string, abilities: Abilities): Iterable<EventingError> {
  if (event.durable && abilities.durable === false)
    yield new EventingError(
      'EVT_UNSUPPORTED',
      `${event.type.name} is durable, which ${kind} cannot give: set durable: false, or change its provider.`,
    );
}
