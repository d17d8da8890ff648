import { randomUUID } from 'node:crypto';
import type { INestApplicationContext } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { EventManager } from 'nestjs-eventing';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { eventually } from '../../libs/testing/src/conformance/eventually.js';
import { type ArtemisBroker, type RabbitMqBroker, startOwnArtemis, startOwnRabbitMq, type Unavailable } from '../brokers/brokers.js'; // prettier-ignore
import { ScratchFolder } from '../brokers/scratch-folder.js';
import { Programs } from '../programs/programs.js';
import { ListeningProcess } from './listening.process.js';
import { firsts, NumberedLoad } from './numbered.load.js';
import { eventingOf, numberedEvent } from './workers/numbered.js';
import type { Transport } from './workers/worker.setup.js';

// What becomes of the messages of a process that does not say goodbye. One that is killed leaves connections that break; one that is
// stopped (SIGSTOP) keeps them, and says nothing: a broker can only count the time. Ours count to two or three seconds.

const PATIENCE = 120_000;
/** More than what a process has in hand, so that nothing that is handled twice is seen for the first time. */
const STEP = 400;
const IDLE_TIMEOUT = 3_000;

let artemis: ArtemisBroker | Unavailable | undefined;
let rabbit: RabbitMqBroker | Unavailable | undefined;
let programs: Programs;
let folder: ScratchFolder;

beforeAll(async () => {
  // Each by itself, so that what was made is taken away where another part fails.
  await Promise.all([
    startOwnArtemis({ idleTimeout: IDLE_TIMEOUT }).then((had) => (artemis = had)),
    startOwnRabbitMq().then((had) => (rabbit = had)),
    Programs.compiled().then((built) => (programs = built)),
    ScratchFolder.create('takeover').then((made) => (folder = made)),
  ]);
}, 300_000);

afterAll(async () => {
  if (artemis?.available === true) await artemis.close();
  if (rabbit?.available === true) await rabbit.close();
  await folder?.remove();
});

describe.each(['amqp', 'stomp', 'rabbitmq'] as const)('over %s', { timeout: 300_000 }, (kind) => {
  const processes: ListeningProcess[] = [];
  let sender: INestApplicationContext | undefined;
  let load: NumberedLoad;
  let setup: ConstructorParameters<typeof ListeningProcess>[3];

  beforeEach(async ({ skip }) => {
    const broker = kind === 'rabbitmq' ? rabbit : artemis;
    if (broker?.available === false) skip(broker.reason);
    const id = randomUUID().slice(0, 8);
    setup = { service: `shop-${id}`, channel: `orders-${id}`, transport: transportOf(kind) };
    class SendingModule {}
    sender = await NestFactory.createApplicationContext(
      { module: SendingModule, imports: [eventingOf(setup)] },
      { logger: false, abortOnError: false },
    );
  });
  afterEach(async () => {
    await load?.end();
    await sender?.close();
    for (const { process } of processes.splice(0)) await process.kill();
  });

  async function listen(name: string): Promise<ListeningProcess> {
    const one = new ListeningProcess(programs, folder.path, `${setup.service}-${name}`, setup);
    processes.push(one);
    await one.ready();
    return one;
  }

  function begin(): void {
    const Numbered = numberedEvent(setup.channel);
    const events = sender?.get(EventManager);
    load = new NumberedLoad(async (event) => events?.sendEvent(Numbered, event));
  }

  /** Handles some hundreds more than now, or than so many. */
  async function goesOn(one: ListeningProcess, from?: number): Promise<void> {
    const before = from ?? (await one.handled()).length;
    const isMore = async (): Promise<boolean> => (await one.handled()).length > before + STEP;
    await eventually('a process handles some hundreds', isMore, PATIENCE, () => one.said());
  }

  /** Nothing lost, and each key in order. */
  async function judge(): Promise<void> {
    const sent = await load.end();
    expect(load.failures).toEqual([]);
    const handled = async () => firsts((await Promise.all(processes.map((one) => one.handled()))).flat());
    const count = async () => Object.values(await handled()).reduce((sum, { length }) => sum + length, 0);
    await eventually('all are handled', async () => (await count()) === load.count, PATIENCE);
    expect(await handled()).toEqual(sent);
  }

  it('what a process had that is stopped goes to another, in order, and it takes part again when it goes on', async () => {
    const sleeper = await listen('sleeper');
    begin();
    await goesOn(sleeper);
    const other = await listen('other');
    await sleeper.process.suspend();
    await goesOn(other);
    sleeper.process.resume();
    await goesOn(other);
    const before = (await sleeper.handled()).length;
    await other.process.stop();
    expect(other.process.ended).toBe('ended with code 0');
    await goesOn(sleeper, before);
    await judge();
  });

  it('what a process had that is killed goes to another, in order, again and again', async () => {
    let current = await listen('first');
    begin();
    for (const name of ['second', 'third', 'fourth']) {
      await goesOn(current);
      const next = await listen(name);
      await current.process.kill();
      current = next;
    }
    await goesOn(current);
    const ends = processes.map(({ process }) => process.ended);
    expect(ends).toEqual([...new Array<string>(3).fill('ended by SIGKILL'), undefined]);
    await judge();
  });
});

function transportOf(kind: Transport['kind']): Transport {
  if (kind === 'rabbitmq') {
    if (rabbit?.available !== true) throw new Error('There is no RabbitMQ');
    const { host, port, username, password } = rabbit.access;
    return { kind, options: { host, port, username, password, heartbeat: 1_000 } };
  }
  if (artemis?.available !== true) throw new Error('There is no Artemis');
  const { host, port, stompPort = 0, username, password } = artemis.access;
  if (kind === 'amqp') return { kind, options: { host, port, username, password, idleTimeout: IDLE_TIMEOUT } };
  return { kind, options: { host, port: stompPort, username, password, heartbeat: 1_000 } };
}
