/** What happened, as data: what `npm start -- --json` prints. Times in milliseconds since 1970, durations in milliseconds. */
export interface Account {
  /** Every step happened as told. */
  readonly ok: boolean;
  /** Part of every session, so that runs on one broker do not mistake each other's events for their own. */
  readonly run: string;
  readonly provider: string;
  readonly startedAt: number;
  readonly tookMs: number;
  readonly services: readonly ServiceAccount[];
  readonly chapters: readonly Chapter[];
  readonly steps: readonly Step[];
}

export interface ServiceAccount {
  readonly name: string;
  /** Where it listens, if it does. */
  readonly url?: string;
  readonly listeners: readonly ListenerAccount[];
}

export interface ListenerAccount {
  readonly listener: string;
  readonly events: readonly string[];
  readonly retry: string;
  readonly deadLetters: string;
}

export type ChapterName = 'session' | 'retry' | 'poison';

export interface Chapter {
  readonly name: ChapterName;
  readonly title: string;
  /** The session of the customer whom it is about. */
  readonly session: string;
  /** Ids of the orders that the customer placed. */
  readonly orders: readonly string[];
  /** Every hop, by the time of its beginning. */
  readonly entries: readonly Entry[];
  /** Why the story ended here, before its time. */
  readonly gaveUp?: string;
}

export type Entry = HttpEntry | EventEntry;
export type EventEntry = SentEntry | CallEntry;

interface Hop {
  readonly at: number;
  readonly service: string;
  /** The session that the code saw. */
  readonly session?: string;
}

export interface HttpEntry extends Hop {
  readonly kind: 'http';
  readonly request: string;
  readonly status: number;
  /** The body of the answer. */
  readonly answer?: unknown;
}

export interface EventHop extends Hop {
  readonly event: string;
  readonly id: string;
  readonly key?: string;
  readonly correlationId: string;
  readonly causationId?: string;
}

/** An event left a service. */
export interface SentEntry extends EventHop {
  readonly kind: 'sent';
}

/** A listener was called. */
export interface CallEntry extends EventHop {
  readonly kind: 'handled' | 'failed';
  readonly listener: string;
  readonly attempt: number;
  readonly tookMs: number;
  /** Why it failed. */
  readonly error?: string;
}

export interface Step {
  readonly chapter: ChapterName;
  /** What is to happen. */
  readonly told: string;
  readonly ok: boolean;
  /** What happened instead. */
  readonly found?: string;
}
