import { Controller, Get, HttpCode, NotFoundException, Param, Post } from '@nestjs/common';
import { type DeadLetter, DeadLetters, EventingError } from 'nestjs-eventing';

/** A dead letter as an operator wants to see it. */
export interface DeadLetterView {
  readonly id: string;
  readonly listener: string;
  readonly event: DeadLetter['event'];
  readonly reason: DeadLetter['reason'];
  readonly error: DeadLetter['error'];
  readonly attempts: number;
  readonly deadAt: string;
  readonly session: string | undefined;
  readonly body: string;
}

/** What this service could not handle: look at it, and send it again to the listener that failed. */
@Controller('dead-letters')
export class DeadLettersController {
  constructor(private readonly deadLetters: DeadLetters) {}

  /** Looking takes nothing away. */
  @Get()
  async list(): Promise<DeadLetterView[]> {
    const found: DeadLetterView[] = [];
    for await (const letter of this.deadLetters.all()) found.push(viewOf(letter));
    return found;
  }

  @Post(':id/redrive')
  @HttpCode(200)
  async redrive(@Param('id') id: string): Promise<DeadLetterView> {
    try {
      return viewOf(await this.deadLetters.redrive(id));
    } catch (error) {
      if (error instanceof EventingError && error.code === 'EVT_DEAD_LETTER_UNKNOWN')
        throw new NotFoundException(error.message);
      throw error;
    }
  }
}

function viewOf(letter: DeadLetter): DeadLetterView {
  const { id, listener, event, reason, error, attempts, message } = letter;
  const session = message.headers['session'];
  return {
    id,
    listener,
    event,
    reason,
    error,
    attempts,
    deadAt: new Date(letter.deadAt).toISOString(),
    session: session === undefined ? undefined : text(session),
    body: text(message.body),
  };
}

const text = (value: string | Uint8Array): string =>
  typeof value === 'string' ? value : new TextDecoder().decode(value);
