import type { DeadLetterGroup, DeadLetterView, FoundDeadLetter, ShownBody } from 'nestjs-eventing';
import { A_BODY, A_HEADER, at, line, shown } from './shown.text.js';
import { facts, table } from './table.js';

/** A letter as `--json` prints it in lists: no headers, no body. Times as ISO dates. */
export function listed(letter: FoundDeadLetter): object {
  const { id, provider, listener, channel, event, reason, sequence, error, attempts, firstFailedAt, deadAt, message } =
    letter;
  const { name, code, message: text } = error;
  return {
    id,
    provider,
    listener,
    channel,
    event,
    reason,
    sequence,
    error: { name, code, message: text },
    attempts,
    firstFailedAt: at(firstFailedAt),
    deadAt: at(deadAt),
    key: message.key,
    position: message.position,
    size: message.body.byteLength,
  };
}

export function letterTable(letters: readonly FoundDeadLetter[], width: number): string {
  const rows = letters.map(({ id, deadAt, listener, event, reason, sequence, error }) => [
    line(id, 60),
    at(deadAt),
    line(listener, 60),
    line(eventName(event), 60),
    line(sequence === 'released' ? `${reason}, released` : reason, 25),
    line(`${error.code ?? error.name}: ${error.message}`),
  ]);
  return table(['ID', 'GIVEN UP AT', 'LISTENER', 'EVENT', 'REASON', 'ERROR'], rows, width);
}

export function grouped(group: DeadLetterGroup): object {
  return { ...group, firstAt: at(group.firstAt), lastAt: at(group.lastAt) };
}

export function groupTable(groups: readonly DeadLetterGroup[], width: number): string {
  const rows = groups.map(({ count, listener, reason, error, firstAt, lastAt, sample }) => [
    String(count),
    line(listener, 60),
    line(reason, 20),
    line(error, 60),
    at(firstAt),
    at(lastAt),
    line(sample.message),
  ]);
  return table(['COUNT', 'LISTENER', 'REASON', 'ERROR', 'FIRST', 'LAST', 'LAST MESSAGE'], rows, width);
}

/** A letter with all that is known of it, as `--json` prints it. A body that is too large is cut, and says so. */
export function whole(view: DeadLetterView): object {
  const { letter, headers, envelope, body } = view;
  return {
    ...listed(letter),
    error: letter.error,
    time: at(letter.message.time),
    envelope: envelope && {
      ...envelope,
      notBefore: envelope.notBefore === undefined ? undefined : at(envelope.notBefore),
      expiresAt: envelope.expiresAt === undefined ? undefined : at(envelope.expiresAt),
    },
    headers: Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, cut(value, A_HEADER)])),
    body: boundedBody(body),
  };
}

export function letterPage(view: DeadLetterView): string {
  const { letter, headers, envelope, body, size } = view;
  const { error, message } = letter;
  const known = facts([
    ['id', line(letter.id)],
    ['listener', line(letter.listener)],
    ['event', line(eventName(letter.event))],
    ['event id', letter.event && line(letter.event.id)],
    ['channel', line(`${letter.channel} ${message.position} (${letter.provider})`)],
    ['key', message.key === undefined ? undefined : line(message.key)],
    ['sent', at(message.time)],
    ['source', envelope && line(envelope.source)],
    ['correlation', envelope && line(envelope.correlationId)],
    ['causation', envelope?.causationId === undefined ? undefined : line(envelope.causationId)],
    ['expires', envelope?.expiresAt === undefined ? undefined : at(envelope.expiresAt)],
    ['reason', `${line(letter.reason)} after ${letter.attempts} attempts`],
    ['sequence', letter.sequence && SEQUENCE[letter.sequence]],
    ['first failed', at(letter.firstFailedAt)],
    ['given up', at(letter.deadAt)],
    ['error', line(`${error.name}${error.code === undefined ? '' : ` (${error.code})`}: ${error.message}`, A_HEADER)],
  ]);
  const lines = Object.entries(headers).map(([name, value]) => [line(name), line(value, A_HEADER)] as const);
  return [
    known,
    error.stack === undefined ? '' : `\nstack\n${indented(shown(error.stack, 4096))}`,
    lines.length === 0 ? '' : `\nheaders\n${indented(facts(lines))}`,
    `\nbody (${size} bytes)\n${indented(shown(textOf(body), A_BODY))}`,
  ].join('');
}

const SEQUENCE = {
  first: 'the first of its key: those behind it follow when it is redriven',
  released: 'redriven, and not handled yet',
  waiting: 'waits behind the first of its key',
} as const;

const eventName = (event: FoundDeadLetter['event']): string => {
  if (event === undefined) return '';
  return event.version === 1 ? event.name : `${event.name}@${event.version}`;
};

function textOf(body: ShownBody): string {
  if (body.kind === 'value') return jsonOf(body.value, 2);
  return body.kind === 'text' ? body.text : `base64:${body.base64}`;
}

function boundedBody(body: ShownBody): object {
  if (body.kind === 'value') {
    const text = jsonOf(body.value);
    if (text.length > A_BODY) return { kind: 'text', text: cut(text, A_BODY), cut: true };
    return { kind: 'value', value: JSON.parse(text) as unknown };
  }
  if (body.kind === 'text')
    return body.text.length <= A_BODY ? body : { ...body, text: cut(body.text, A_BODY), cut: true };
  return body.base64.length <= A_BODY ? body : { ...body, base64: cut(body.base64, A_BODY), cut: true };
}

/** Also of what a serializer of another kind has read. */
const jsonOf = (value: unknown, indent?: number): string =>
  JSON.stringify(value, (_, each: unknown) => (typeof each === 'bigint' ? String(each) : each), indent) ?? 'null';

const cut = (text: string, most: number): string => (text.length <= most ? text : text.slice(0, most));

const indented = (text: string): string =>
  `${text
    .trimEnd()
    .split('\n')
    .map((each) => `  ${each}`)
    .join('\n')}\n`;
