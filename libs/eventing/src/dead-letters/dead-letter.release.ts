import type { Delivery, HeaderValue, OutgoingMessage, RawHeaders, Settlement } from '../provider/event-provider.js';
import type { DeadLetter } from './dead-letter.js';
import type { LetterRelease } from './dead-letter.sequences.js';

/** Tells which release of which letter a message is. Nobody but the kernel sees it. */
const RELEASE_HEADER = 'eventing-release';
const RELEASE = /^(\d{1,15}) ([!-~]{1,200})$/;

/** A letter's message, for the one subscription that could not handle it. */
export function messageOf({ id, event, channel, listener, message }: DeadLetter): OutgoingMessage {
  const { key, headers, body, time } = message;
  return { id: event?.id ?? id, channel, key, headers, body, time, durable: true, to: listener };
}

/** The same as one release of a letter in a sequence. */
export function released(message: OutgoingMessage, { letter, number }: LetterRelease): OutgoingMessage {
  return { ...message, headers: { ...message.headers, [RELEASE_HEADER]: `${number} ${letter}` } };
}

/** `undefined` for every message that is no release, or whose header nobody here has written. */
export function releaseOf(headers: RawHeaders): LetterRelease | undefined {
  const value: HeaderValue | undefined = headers[RELEASE_HEADER];
  if (value === undefined) return undefined;
  const match = RELEASE.exec(typeof value === 'string' ? value : Buffer.from(value).toString('latin1'));
  return match === null ? undefined : { letter: match[2] as string, number: Number(match[1]) };
}

/** A release as listeners are to see it: with the headers that the event had. */
export class ReleasedDelivery implements Delivery {
  readonly headers: RawHeaders;
  readonly notBefore?: number;

  constructor(private readonly delivery: Delivery) {
    const { [RELEASE_HEADER]: _release, ...headers } = delivery.headers;
    this.headers = headers;
    if (delivery.notBefore !== undefined) this.notBefore = delivery.notBefore;
  }

  get channel(): string {
    return this.delivery.channel;
  }
  get key(): string | undefined {
    return this.delivery.key;
  }
  get body(): Uint8Array {
    return this.delivery.body;
  }
  get time(): number {
    return this.delivery.time;
  }
  get source(): string {
    return this.delivery.source;
  }
  get position(): string {
    return this.delivery.position;
  }
  get attempt(): number {
    return this.delivery.attempt;
  }

  settle(settlement: Settlement): Promise<void> | void {
    return this.delivery.settle(settlement);
  }
}
