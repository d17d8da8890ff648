import { Logger, makeWorkerUtils, run, type Runner, type WorkerUtils } from 'graphile-worker';
import { randomUUID } from 'node:crypto';
import { Client } from 'pg';
import PgBoss from 'pg-boss';
import { fromFirstToLast } from './first.to.last.js';
import { sample } from './measure.js';
import { orderNumber, type OrderPlaced } from './order.event.js';
import { sendAll } from './postgres.subjects.js';
import { headersOf } from './postgres.twin.js';
import type { Subject } from './subject.js';
import { Tally } from './tally.js';

// What applications on PostgreSQL use today as a queue, each with the settings that we found to be its quickest.

type Settings = Record<string, string>;

/** Jobs in one call that adds some. */
const ADDED = 500;
/** Such calls that are open at one time: 1000 jobs, as with ours. */
const OPEN = 2;

interface Job {
  readonly headers: Readonly<Record<string, string>>;
  readonly order: OrderPlaced;
}

/** The same content as ours. */
const jobNumber = (index: number): Job => ({ headers: headersOf(randomUUID()), order: orderNumber(index) });

/** One of them. */
interface Peer {
  start(): Promise<void>;
  /** No job is left of a round before. */
  clear(): Promise<void>;
  add(jobs: readonly Job[]): Promise<void>;
  /** Begins to work, until it is stopped. */
  work(handle: (job: Job) => void): Promise<{ stop(): Promise<void> }>;
  stop(): Promise<void>;
}

const BOSS_QUEUE = 'orders';
/** Jobs that one `fetch` of pg-boss takes, and how many loops do. */
const FETCHED = 500;
const FETCHING = 2;

/** By `fetch` and `complete` in a loop: its own workers rest for half a second between two batches. */
function pgBoss(url: string): Peer {
  const boss = new PgBoss({ connectionString: url, schema: 'boss', supervise: false, schedule: false });
  boss.on('error', (error) => console.error(error));
  return {
    async start() {
      await boss.start();
      await boss.createQueue(BOSS_QUEUE);
    },
    clear: () => boss.clearStorage(),
    add: (jobs) => boss.insert(jobs.map((data) => ({ name: BOSS_QUEUE, data }))),
    async work(handle) {
      let stopped = false;
      const loop = async (): Promise<void> => {
        while (!stopped) {
          const jobs = await boss.fetch<Job>(BOSS_QUEUE, { batchSize: FETCHED, priority: false });
          for (const { data } of jobs) handle(data);
          if (jobs.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
          else
            await boss.complete(
              BOSS_QUEUE,
              jobs.map(({ id }) => id),
            );
        }
      };
      const loops = Array.from({ length: FETCHING }, loop);
      return {
        async stop() {
          stopped = true;
          await Promise.all(loops);
        },
      };
    },
    stop: () => boss.stop({ graceful: false }),
  };
}

/** With a local queue and completions in batches, which is quicker than asking for each job. */
function graphile(url: string): Peer {
  // It tells of each job.
  const shared = { connectionString: url, logger: new Logger(() => () => undefined) };
  let utils: WorkerUtils | undefined;
  return {
    async start() {
      utils = await makeWorkerUtils(shared);
      await utils.migrate();
    },
    async clear() {
      const client = new Client(url);
      await client.connect();
      await client.query('TRUNCATE graphile_worker._private_jobs');
      await client.end();
    },
    add: async (jobs) => void (await utils?.addJobs(jobs.map((payload) => ({ identifier: 'orders', payload })))),
    async work(handle) {
      const runner: Runner = await run({
        ...shared,
        noHandleSignals: true,
        taskList: { orders: async (payload) => handle(payload as Job) },
        preset: {
          worker: {
            concurrentJobs: 24,
            maxPoolSize: 26,
            localQueue: { size: 500 },
            completeJobBatchDelay: 0,
            failJobBatchDelay: 0,
          },
        },
      });
      return { stop: () => runner.stop() };
    },
    stop: async () => utils?.release(),
  };
}

const PEERS: Readonly<Record<string, (url: string) => Peer>> = { pgBoss, graphile };

function peerOf({ url = '', peer = '' }: Settings): Peer {
  const make = PEERS[peer];
  if (make === undefined) throw new Error(`there is no peer "${peer}"`);
  return make(url);
}

async function addAll(peer: Peer, events: number): Promise<void> {
  await sendAll(events / ADDED, OPEN, (index) =>
    peer.add(Array.from({ length: ADDED }, (_, job) => jobNumber(index * ADDED + job))),
  );
}

export function publishPeer(settings: Settings): Subject {
  const events = Number(settings['events']);
  const peer = peerOf(settings);
  return {
    prepare: () => peer.start(),
    async round() {
      await peer.clear();
      return sample(events, () => addAll(peer, events));
    },
    close: () => peer.stop(),
  };
}

export function consumePeer(settings: Settings): Subject {
  const events = Number(settings['events']);
  const peer = peerOf(settings);
  return {
    prepare: () => peer.start(),
    async round() {
      await peer.clear();
      await addAll(peer, events);
      const tally = new Tally();
      tally.start();
      let worker: { stop(): Promise<void> } | undefined;
      const taken = await fromFirstToLast(tally, events, async () => {
        worker = await peer.work(({ headers, order }) => {
          if (headers['ce_type'] === 'orders.placed') tally.add(order.total);
        });
      });
      await worker?.stop();
      tally.check(events);
      return taken;
    },
    close: () => peer.stop(),
  };
}
