import { ConsoleLogger, type LogLevel } from '@nestjs/common';

const EVERYTHING: LogLevel[] = ['fatal', 'error', 'warn', 'log'];
/** While the shop opens, it matters what is in the way (such as a broker that is away). */
const OPENING: LogLevel[] = ['fatal', 'error', 'warn'];
/** Afterwards things fail on purpose, and the account says so. */
const OPEN: LogLevel[] = ['fatal'];

/** Nest's logger, on stderr: stdout belongs to the account. */
export class StderrLogger extends ConsoleLogger {
  readonly #afterwards: LogLevel[];

  constructor(verbose: boolean) {
    super({ logLevels: verbose ? EVERYTHING : OPENING });
    this.#afterwards = verbose ? EVERYTHING : OPEN;
  }

  shopIsOpen(): void {
    this.setLogLevels(this.#afterwards);
  }

  protected override printMessages(
    messages: unknown[],
    context?: string,
    level?: LogLevel,
    _stream?: unknown,
    stack?: unknown,
  ): void {
    super.printMessages(messages, context, level, 'stderr', stack);
  }
}
