import type { QueuedMessage } from './queued.message.js';

/**
 * Messages that the broker gave back because no queue takes them. Whether that is as it should be is asked of the broker once for all
 * that wait; what comes while it is asked waits for the next time.
 */
export class UnroutedMessages {
  private readonly waiting = new Map<string, QueuedMessage[]>();

  constructor(
    private readonly ask: (target: string) => Promise<void>,
    private readonly decided: (target: string, messages: readonly QueuedMessage[], refused: Error | undefined) => void,
  ) {}

  add(target: string, message: QueuedMessage): void {
    const waiting = this.waiting.get(target);
    if (waiting !== undefined) waiting.push(message);
    else {
      this.waiting.set(target, [message]);
      void this.decide(target);
    }
  }

  private async decide(target: string): Promise<void> {
    for (;;) {
      // Of one turn together.
      await Promise.resolve();
      const messages = this.waiting.get(target) ?? [];
      if (messages.length === 0) break;
      this.waiting.set(target, []);
      const refused = await this.ask(target).then(
        () => undefined,
        (error: Error) => error,
      );
      this.decided(target, messages, refused);
    }
    this.waiting.delete(target);
  }
}
