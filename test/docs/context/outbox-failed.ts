import type { Outbox } from 'nestjs-eventing/postgres';

export async function mend(outbox: Outbox): Promise<void> {
  // the snippet
}
