import assert from 'node:assert/strict';
import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import {
  DeadLetters,
  Event,
  EventingModule,
  EventListener,
  EventManager,
  memory,
  MemoryBroker,
  RejectEvent,
} from 'nestjs-eventing';

@Event({ name: 'accounts.changed', key: 'account' })
class AccountChanged {
  account!: string;
  amount!: number;
}

let closed = true;

@Injectable()
class Book {
  readonly lines: string[] = [];

  add(account: string, amount: number): void {
    if (closed && amount === 1) throw new RejectEvent('closed');
    this.lines.push(`${account} ${amount}`);
  }
}

// the snippet

const broker = new MemoryBroker();

@Module({
  imports: [EventingModule.forRoot({ provider: memory({ broker }) })],
  providers: [Balances, Book],
})
class AppModule {}

const app = await NestFactory.create(AppModule, { logger: false });
await app.init();
const [events, letters, book] = [app.get(EventManager), app.get(DeadLetters), app.get(Book)];
for (const account of ['a', 'b'])
  for (const amount of account === 'a' ? [1, 2, 3] : [4]) await events.sendEvent(AccountChanged, { account, amount });
await broker.idle();
assert.deepEqual(book.lines, ['b 4']);
const listed = (await letters.list()).letters;
assert.deepEqual(
  listed.map(({ reason, sequence }) => [reason, sequence]),
  [
    ['rejected', 'first'],
    ['waiting', 'waiting'],
    ['waiting', 'waiting'],
  ],
);
await assert.rejects(letters.redrive(listed[1]?.id ?? ''), { code: 'EVT_DEAD_LETTER_SEQUENCE' });
closed = false;
await letters.redriveAll();
while (book.lines.length < 4) await broker.idle();
assert.deepEqual(book.lines, ['b 4', 'a 1', 'a 2', 'a 3']);
await app.close();
