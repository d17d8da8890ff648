import type { Delivery, OutgoingMessage, Settlement } from 'nestjs-eventing';
import { type LogPosition, type Source, sourceName, type StoredEvent } from '../log/stored.event.js';
import { DeliveryWindow } from './delivery.window.js';
import { DONE, LogDelivery, MOVING, OPEN, RELEASED } from './log.delivery.js';
import type { Deferral, SettledLedger } from './settled.ledger.js';

/** The attempt from which on events are tried one at a time, so that the right one is blamed for crashes. */
const SUSPICIOUS = 3;
/** At least this many events are read ahead, so that a small window does not slow reading down. */
const LEAST_BUFFER = 500;

/** How far a source is settled. */
export interface SourceState extends LogPosition {
  /** Positions behind it that are settled too. */
  readonly done: readonly number[];
  /** With which attempt the event at the position is to be delivered next. */
  readonly attempt: number;
}

/** What a source needs of the subscription that it belongs to. */
export interface TrackerHost {
  readonly window: number;
  /** Whether positions are written down at all. */
  readonly commits: boolean;
  /** Where no more is read once there was nothing left: a replay. */
  readonly ends: boolean;
  /** No deliveries now. */
  readonly paused: boolean;
  deliver(delivery: Delivery): void;
  /** Something was settled: write it down when convenient. */
  changed(): void;
  /** Writes the state down, however long it takes. Resolves to false if the source was lost before. */
  commitNow(tracker: SourceTracker): Promise<boolean>;
  /** Defer and reject: stores it in its new place. */
  move(delivery: LogDelivery, settlement: Settlement): Promise<void>;
  /** There is room, and there may be more to read. */
  hungry(): void;
}

/**
 * One source in this process: what was read and not delivered, what was delivered and not settled, and from both the position that may be
 * written down.
 */
export class SourceTracker {
  readonly name: string;
  private buffer: StoredEvent[] = [];
  private at = 0;
  /** Where to read on. */
  private end: LogPosition;
  private readonly window = new DeliveryWindow();
  private released: LogDelivery[] = [];
  /** Settled by an owner before us, and not yet read again. */
  private readonly done: Set<number>;
  private readonly start: LogPosition;
  private readonly startAttempt: number;
  /** Nothing is delivered before the attempt at the head is on record. */
  private gate: 'closed' | 'opening' | 'open';
  private suspects: number;
  private mayHaveMore = true;
  private exhausted = false;
  private clean = false;
  private closed = false;
  private held = false;
  private feeding = false;
  /** What was written down last. */
  private confirmed: string;

  constructor(
    readonly source: Source,
    /** The fencing token. */
    readonly generation: number,
    private readonly host: TrackerHost,
    start: SourceState,
    /** Where outputs, letters and deferrals wait for the transaction of their position; undefined where each goes by itself. */
    readonly ledger?: SettledLedger,
  ) {
    this.name = sourceName(source);
    this.start = this.end = { xid: start.xid, position: start.position };
    this.startAttempt = start.attempt;
    this.done = new Set(start.done);
    this.confirmed = textOf(start);
    // As many as may have been in work, and the first that was not.
    this.suspects = host.commits && start.attempt >= SUSPICIOUS ? host.window + 1 : 0;
    this.gate = host.commits ? 'closed' : 'open';
  }

  get isClosed(): boolean {
    return this.closed;
  }

  /** Everything before it is settled. */
  get position(): LogPosition {
    return this.window.head?.event ?? this.buffer[this.at] ?? this.end;
  }

  /** Where to read on. */
  get unread(): LogPosition {
    return this.end;
  }

  /** How many events there is room for; 0 while there is enough, or where it is known that there are none. */
  get wanted(): number {
    if (this.closed || this.held || !this.mayHaveMore) return 0;
    const highWater = Math.max(this.host.window * 2, LEAST_BUFFER);
    const buffered = this.buffer.length - this.at;
    return buffered > highWater / 2 ? 0 : highWater - buffered;
  }

  /** Something was stored there, or may have been. */
  look(): void {
    this.mayHaveMore = !this.exhausted;
  }

  /** All of a replay is read and settled. */
  get isDrained(): boolean {
    return this.exhausted && this.at === this.buffer.length && this.window.size === 0;
  }

  /** Takes what was read. @param more whether there may be more */
  take(events: readonly StoredEvent[], more: boolean): void {
    if (this.closed) return;
    this.mayHaveMore = more;
    this.exhausted = this.host.ends && !more;
    const last = events.at(-1);
    if (last === undefined) {
      if (this.exhausted) this.host.changed();
      return;
    }
    this.buffer = this.at === this.buffer.length ? [...events] : [...this.buffer.slice(this.at), ...events];
    this.at = 0;
    this.end = { xid: last.xid, position: last.position + 1 };
    this.feed();
  }

  /** Delivers as much as the window allows. */
  feed(): void {
    if (this.feeding) return;
    this.feeding = true;
    while (!this.closed && !this.held && !this.host.paused) {
      const back = this.released.shift();
      if (back !== undefined) {
        const again = back.again();
        this.window.replace(back, again);
        this.host.deliver(again);
        continue;
      }
      const event = this.buffer[this.at];
      if (event === undefined || this.isFull || !this.passGate()) break;
      this.at++;
      this.deliver(event);
    }
    this.feeding = false;
    if (this.wanted > 0) this.host.hungry();
  }

  /** @param outputs to be committed together with its position */
  accepted(delivery: LogDelivery, outputs: readonly OutgoingMessage[] = []): void {
    if (this.closed) return;
    this.ledger?.addOutputs(outputs);
    if (this.window.head === delivery) this.window.shrink();
    this.host.changed();
    this.feed();
  }

  /** Release, defer and reject. */
  settleElse(delivery: LogDelivery, settlement: Settlement): Promise<void> {
    if (this.closed) return Promise.resolve();
    if (settlement.kind === 'release') {
      delivery.state = RELEASED;
      this.released.unshift(delivery);
      // Not within this call: whoever gives something back does not expect more before that returns.
      queueMicrotask(() => this.feed());
      return Promise.resolve();
    }
    if (this.ledger !== undefined) {
      if (settlement.kind === 'reject') this.ledger.addLetter(settlement.letter);
      else if (settlement.kind === 'defer') this.ledger.addDeferral(deferralOf(delivery, settlement));
      delivery.state = DONE;
      this.accepted(delivery);
      return Promise.resolve();
    }
    delivery.state = MOVING;
    return this.host.move(delivery, settlement).then(
      () => {
        delivery.state = DONE;
        this.accepted(delivery);
      },
      (error: unknown) => {
        delivery.state = OPEN;
        throw error;
      },
    );
  }

  /** No more deliveries; settlements still count. */
  hold(): void {
    this.held = true;
  }

  /** What was not settled is given back in good order: whoever gets it next must not take it for a crash. */
  letGo(): void {
    this.held = this.clean = true;
  }

  /** The source is another's: settlements have no effect any more. */
  close(): void {
    this.closed = true;
    this.buffer = [];
    this.at = 0;
    this.released = [];
    this.window.clear();
  }

  /** What to write down now; undefined if that is there already. */
  changes(): SourceState | undefined {
    const state = this.state();
    return textOf(state) === this.confirmed ? undefined : state;
  }

  /** How far it is settled now. */
  state(): SourceState {
    const { xid, position } = this.position;
    return { xid, position, done: this.donePositions(), attempt: this.attemptToNote() };
  }

  confirm(state: SourceState): void {
    this.confirmed = textOf(state);
  }

  /** Settled behind one that is not. */
  donePositions(): number[] {
    return [...this.window.donePositions(), ...this.done];
  }

  private get isFull(): boolean {
    return this.window.size >= this.host.window || this.ledger?.isFull === true;
  }

  private deliver(event: StoredEvent): void {
    const attempt = isAt(event, this.start) ? this.startAttempt : 1;
    const delivery = new LogDelivery(this, event, attempt);
    this.window.push(delivery);
    if (this.done.delete(event.position)) {
      delivery.state = DONE;
      if (this.window.head === delivery) this.window.shrink();
      this.host.changed();
    } else {
      this.host.deliver(delivery);
    }
  }

  /** Whether the next event is on record as being tried; if not, puts it there first. Suspects pass one by one. */
  private passGate(): boolean {
    if (this.suspects > 0 && this.window.size > 0) return false;
    if (this.gate === 'open') {
      if (this.suspects > 0) {
        this.suspects--;
        this.gate = 'closed';
      }
      return true;
    }
    if (this.gate === 'closed') {
      this.gate = 'opening';
      void this.host.commitNow(this).then((written) => {
        if (!written) return;
        this.gate = 'open';
        this.feed();
      });
    }
    return false;
  }

  /** With which attempt the event at the position is to be delivered if this process goes no further. */
  private attemptToNote(): number {
    const { head } = this.window;
    if (head !== undefined) return this.clean ? head.attempt : head.attempt + 1;
    const attempt = isAt(this.position, this.start) ? this.startAttempt : 1;
    return this.gate === 'opening' && !this.clean ? attempt + 1 : attempt;
  }
}

/** A message of the log on its way to where it waits. */
export function deferralOf(delivery: LogDelivery, settlement: Settlement & { readonly kind: 'defer' }): Deferral {
  const { key, headers, body, time, position: origin } = delivery;
  const { attempt, notBefore } = settlement;
  return { message: { attempt, origin, time, key, headers, body }, notBefore };
}

function isAt(a: LogPosition, b: LogPosition): boolean {
  return a.xid === b.xid && a.position === b.position;
}

function textOf({ xid, position, done, attempt }: SourceState): string {
  return `${xid} ${position} ${attempt} ${done.join(',')}`;
}
