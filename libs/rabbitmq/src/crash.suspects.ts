import type { CrashNote, CrashNotes } from './crash.notes.js';
import type { RabbitDelivery } from './rabbit.delivery.js';

/** Deaths at one message after which what came back is tried one at a time, so that the next death names the right one. */
const SUSPICIOUS = 2;
/** A queue that many read keeps no notes; there, so many returns count as one attempt. */
const RETURNS_AN_ATTEMPT = 3;

interface Survivor {
  readonly attempt: number;
  readonly returns: number;
}

/**
 * Which attempt a delivery is, by what is known of those that ended with their process. Only the oldest message that came back is
 * blamed: the others may have waited behind it.
 */
export class CrashSuspects {
  /** What this process had in hand when it lost its connection, and is alive to tell. */
  private survivors = new Map<string, Survivor>();
  private headRef: string | undefined;
  private headTries = 0;
  private oneByOne = false;
  /** What is being tried alone. */
  alone: RabbitDelivery | undefined;

  /** @param notes of an ordered queue that counts returns; without, nobody keeps any */
  constructor(private readonly notes: CrashNotes | undefined) {}

  /** The connection is lost, and this process is not dead. */
  survived(unsettled: Iterable<RabbitDelivery>): void {
    this.survivors = new Map();
    for (const { position, attempt, facts } of unsettled)
      this.survivors.set(position, { attempt, returns: facts.returns });
    this.reset();
  }

  /** Whether `judge` is to be asked about the first delivery of a connection, before any is handed over. */
  doubts({ position, facts }: RabbitDelivery): boolean {
    if (facts.returns === 0 || this.notes === undefined) return false;
    return this.survivors.get(position)?.returns !== facts.returns - 1;
  }

  /** Finds out, and writes down, how often its process died with this message at the head. */
  async judge(head: RabbitDelivery): Promise<void> {
    if (this.notes === undefined) return;
    this.survivors.clear();
    const note = await this.notes.take();
    const tries = triesOf(head, note);
    this.headRef = head.position;
    this.headTries = tries;
    this.oneByOne = tries >= SUSPICIOUS;
    head.attempt = head.facts.attempt + tries;
    if (tries > 0) await this.notes.write({ ref: head.position, tries, clean: false });
  }

  /** Of each delivery but the one that was judged. */
  count(delivery: RabbitDelivery): void {
    const { facts, position } = delivery;
    if (facts.returns === 0 || position === this.headRef) return;
    const survivor = this.survivors.get(position);
    if (survivor !== undefined) delivery.attempt = survivor.attempt;
  }

  /** How many attempts the returns of a message in a queue without notes amount to, beyond the first. */
  attemptsOf({ facts }: RabbitDelivery): number {
    return this.notes === undefined ? Math.floor(facts.returns / RETURNS_AN_ATTEMPT) : 0;
  }

  /** Whether this delivery has to be alone in work. */
  isSuspect({ facts }: RabbitDelivery): boolean {
    return this.oneByOne && facts.returns > 0;
  }

  /** Resolves when it is written down that this one is in work, alone. */
  async accuse(delivery: RabbitDelivery): Promise<void> {
    if (this.notes === undefined || delivery.position === this.headRef) return;
    this.headRef = delivery.position;
    this.headTries = 0;
    await this.notes.write({ ref: delivery.position, tries: 0, clean: false });
  }

  /** A message that never came back: those behind it did not, either. */
  calm(): void {
    this.oneByOne = false;
  }

  /** The process ends in good order, and gives back what it has, from this one on. */
  async acquit(head: RabbitDelivery | undefined): Promise<void> {
    if (this.notes === undefined || head === undefined) return;
    const tries = head.position === this.headRef ? this.headTries : 0;
    await this.notes.write({ ref: head.position, tries, clean: true });
  }

  private reset(): void {
    this.headRef = undefined;
    this.headTries = 0;
    this.oneByOne = false;
    this.alone = undefined;
  }
}

function triesOf(head: RabbitDelivery, note: CrashNote | undefined): number {
  if (note?.ref !== head.position) return 1;
  return note.clean ? note.tries : note.tries + 1;
}
