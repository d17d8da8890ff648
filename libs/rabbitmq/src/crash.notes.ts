import type { Channel } from 'amqplib';
import { asBuffer } from './message.codec.js';
import { isMissing } from './rabbit.errors.js';
import type { RabbitLink } from './rabbit.link.js';
import type { PublishQueue } from './publish.queue.js';

/** What a process leaves behind for the next reader of a queue. */
export interface CrashNote {
  /** The message that was at the head, or alone in work. */
  readonly ref: string;
  /** How many processes have died with it so far. */
  readonly tries: number;
  /** The process ended in good order: what it gave back is not to be blamed. */
  readonly clean: boolean;
}

/** Nobody needs a note for longer. */
const KEPT = 30 * 86_400_000;
const NOTE = /^[!-~]{1,100}$/;

/**
 * The broker counts how often a message was returned; it counts those that only waited behind the one that killed their process, too,
 * and what a process gave back in good order. So the reader of an ordered queue writes down, in a small queue beside it that holds
 * the last note only, whom to blame if it dies. Nothing is written as long as no message comes back.
 */
export class CrashNotes {
  private readonly name: string;

  constructor(
    queue: string,
    private readonly link: RabbitLink,
    private readonly publisher: PublishQueue,
  ) {
    this.name = `${queue}.note`;
  }

  /** The note that is there; it is gone then. */
  async take(): Promise<CrashNote | undefined> {
    try {
      return await this.link.withChannel(async (channel) => {
        const message = await channel.get(this.name, { noAck: true });
        return message === false ? undefined : parse(message.content);
      });
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }

  /** Resolves when it is safe. */
  async write(note: CrashNote): Promise<void> {
    await this.link.withChannel((channel) => this.declare(channel));
    await this.publisher.publishOne({
      exchange: '',
      routingKey: this.name,
      body: asBuffer(Buffer.from(JSON.stringify(note))),
      sent: { key: undefined, headers: {}, time: 0, ref: '0-note-0' },
      persistent: true,
      mandatory: true,
      channel: this.name,
    });
  }

  private declare(channel: Channel): Promise<unknown> {
    return channel.assertQueue(this.name, {
      durable: true,
      arguments: { 'x-queue-type': 'classic', 'x-max-length': 1, 'x-overflow': 'drop-head', 'x-expires': KEPT },
    });
  }
}

function parse(bytes: Buffer): CrashNote | undefined {
  try {
    const { ref, tries, clean } = JSON.parse(bytes.toString('utf8')) as Record<string, unknown>;
    if (typeof ref !== 'string' || !NOTE.test(ref)) return undefined;
    if (!Number.isSafeInteger(tries) || (tries as number) < 0) return undefined;
    return { ref, tries: tries as number, clean: clean === true };
  } catch {
    return undefined;
  }
}
