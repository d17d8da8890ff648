import type { OutgoingMessage } from '../provider/event-provider.js';

export type MessagePredicate = (message: OutgoingMessage) => boolean;

/** One `rejectNext`, `loseNext` or `duplicateNext`. */
interface Rule {
  left: number;
  readonly matches: MessagePredicate;
}

/** What is to go wrong with the next so many messages that match. Rules of a kind are used up in the order they were made. */
export class FaultRules {
  private rules: Rule[] = [];

  add(count: number, matches: MessagePredicate): void {
    if (count > 0) this.rules.push({ left: count, matches });
  }

  /** Uses up one of the first rule that matches. */
  hits(message: OutgoingMessage): boolean {
    if (this.rules.length === 0) return false;
    const rule = this.rules.find(({ matches }) => matches(message));
    if (rule === undefined) return false;
    if (--rule.left === 0) this.rules.splice(this.rules.indexOf(rule), 1);
    return true;
  }

  clear(): void {
    this.rules = [];
  }
}
