import { type LoggerService, Module } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { Event, EventingModule, EventListener, EventManager, memory, MemoryBroker, RejectEvent } from 'nestjs-eventing';
import { describe, expect, it, onTestFinished } from 'vitest';

@Event({ name: 'orders.placed', key: 'id' })
class OrderPlaced {
  id!: string;
}
@EventListener(OrderPlaced)
class Orders implements EventListener {
  on(): void {
    throw new RejectEvent('never');
  }
}

/** What the application's logger was given as errors. */
async function errors(structuredLogs: boolean | undefined): Promise<{ lines: unknown[]; id: string }> {
  const lines: unknown[] = [];
  const logger: LoggerService = {
    log: () => undefined,
    warn: () => undefined,
    error: (message: unknown) => void lines.push(message),
  };
  const broker = new MemoryBroker();
  @Module({
    imports: [
      EventingModule.forRoot({
        service: 'shop',
        provider: memory({ broker }),
        ...(structuredLogs === undefined ? {} : { structuredLogs }),
      }),
    ],
    providers: [Orders],
  })
  class AppModule {}
  const module = await Test.createTestingModule({ imports: [AppModule] })
    .setLogger(logger)
    .compile();
  onTestFinished(() => module.close());
  await module.init();
  const { id } = await module.get(EventManager).sendEvent(OrderPlaced, { id: '1' }, { correlationId: 'story-7' });
  await broker.idle();
  return { lines, id };
}

describe('log lines of events', () => {
  it('are text with the correlation id in it', async () => {
    const { lines, id } = await errors(undefined);
    expect(lines).toEqual([expect.stringMatching(/^Dead letter \(rejected\) of Orders: .*: never$/)]);
    expect(lines[0]).toContain(id);
    expect(lines[0]).toContain('correlation story-7');
  });

  it('are objects where the module is told so', async () => {
    const { lines, id } = await errors(true);
    expect(lines).toEqual([
      {
        message: expect.stringContaining('Dead letter (rejected) of Orders'),
        listener: 'Orders',
        event: 'orders.placed',
        id,
        correlationId: 'story-7',
        channel: 'orders.placed',
        position: expect.any(String),
        attempt: 1,
        error: { name: 'RejectEvent', message: 'never', code: 'EVT_REJECTED' },
      },
    ]);
  });
});
