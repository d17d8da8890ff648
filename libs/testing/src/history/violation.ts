/** What a history can break. */
export type Property =
  /** Sent for good, and not stored, not handled, or without its effect. */
  | 'lost'
  /** Handled or stored, and sent by nobody. */
  | 'invented'
  /** Handled or stored, although its transaction was rolled back or its send was refused. */
  | 'undone'
  /** Handled before its transaction was about to commit. */
  | 'early'
  /** The broker has it again without a fault that explains it, or under another id. */
  | 'stored twice'
  /** A listener was called again, and no fault explains it. */
  | 'repeated'
  /** More than one effect of an exactly-once listener. */
  | 'effect'
  /** Stored or handled before an earlier event of its key. */
  | 'out of order'
  /** Two events of one key were handled at one time. */
  | 'at one time'
  /** A listener that never came back, in a process that lived on. */
  | 'unfinished'
  /** A send without an answer, in a process that lived on. */
  | 'unanswered'
  /** The outbox and the broker do not agree. */
  | 'outbox'
  /** The inbox and the effects do not agree. */
  | 'inbox';

export interface Violation {
  readonly property: Property;
  /** A sentence, with the event and the process at fault. */
  readonly what: string;
}
