import { Alarm, backoff } from 'nestjs-eventing';
import { DriverError, sourceName, type DriverReader, type FetchedRecords, type ReaderListener, type TopicPartition } from './kafka.driver.js'; // prettier-ignore
import type { ResolvedKafkaOptions } from './kafka.options.js';
import type { KafkajsCluster } from './kafkajs.cluster.js';
import { asDriverError } from './kafkajs.codes.js';
import { FetchAnswerDecoder, encodeFetch, type FetchedPartition, type FetchTarget } from './kafkajs.fetch.js';

interface Place {
  readonly source: TopicPartition;
  offset: number;
  paused: boolean;
  /** Attempts in a row that failed, and until when to leave it alone (milliseconds since 1970). */
  failures: number;
  notBefore: number;
  leader: number;
}

/** While a partition waits for its buffer to drain, a fetch for the others must not keep it waiting for long. */
const SHORTEST_WAIT = 5;
const AFTER_ACCIDENT = 1_000;
const MISSING = 'UNKNOWN_TOPIC_OR_PARTITION';

/**
 * Reads on from each leader, one fetch at a time, on a connection of its own. There is no unfetched queue: what arrives is handed
 * over at once, and whoever takes it pauses what it cannot take.
 */
export class KafkajsReader implements DriverReader {
  private readonly places = new Map<string, Place>();
  private readonly loops = new Map<number, Alarm>();
  private readonly decoders = new Map<number, FetchAnswerDecoder>();
  private closed = false;
  private turn = 0;

  constructor(
    private readonly cluster: KafkajsCluster,
    private readonly options: ResolvedKafkaOptions,
    private readonly listener: ReaderListener,
    private readonly lane: string,
  ) {}

  add(source: TopicPartition, offset: number): void {
    this.places.set(sourceName(source), { source, offset, paused: false, failures: 0, notBefore: 0, leader: -1 });
    this.run(-1);
  }

  remove(source: TopicPartition): void {
    const place = this.places.get(sourceName(source));
    if (place === undefined) return;
    this.places.delete(sourceName(source));
    this.loops.get(place.leader)?.wake();
  }

  pause(source: TopicPartition): void {
    const place = this.places.get(sourceName(source));
    if (place !== undefined) place.paused = true;
  }

  resume(source: TopicPartition): void {
    const place = this.places.get(sourceName(source));
    if (place === undefined || !place.paused) return;
    place.paused = false;
    this.loops.get(place.leader)?.wake();
  }

  close(): void {
    this.closed = true;
    this.places.clear();
    for (const alarm of this.loops.values()) alarm.wake();
    this.cluster.release(this.lane);
  }

  /** Loop −1 finds leaders for those without one; each other loop reads from its broker. They end when they have no work. */
  private run(leader: number): void {
    const running = this.loops.get(leader);
    if (running !== undefined) {
      running.wake();
      return;
    }
    const alarm = new Alarm();
    this.loops.set(leader, alarm);
    const work = leader === -1 ? this.findLeaders(alarm) : this.readFrom(leader, alarm);
    // Neither rejects; but a reader that ended for whatever reason must begin again.
    void work
      .catch(() => alarm.sleep(AFTER_ACCIDENT))
      .finally(() => {
        if (this.loops.get(leader) === alarm) this.loops.delete(leader);
        if (!this.closed && this.ledBy(leader).length > 0) this.run(leader);
      });
  }

  private ledBy(leader: number): Place[] {
    return [...this.places.values()].filter((place) => place.leader === leader);
  }

  private async findLeaders(alarm: Alarm): Promise<void> {
    for (let attempt = 0; !this.closed; attempt++) {
      const orphans = this.ledBy(-1);
      if (orphans.length === 0) return;
      try {
        const topics = [...new Set(orphans.map((place) => place.source.topic))];
        const layouts = await this.cluster.layout(topics, attempt > 0);
        for (const place of orphans) {
          const leaders = layouts.get(place.source.topic)?.leaders;
          if (leaders === undefined)
            this.tell(place, new DriverError(MISSING, `topic ${place.source.topic} is missing`));
          place.leader = leaders?.[place.source.partition] ?? -1;
          if (place.leader !== -1 && this.isCurrent(place)) this.run(place.leader);
        }
      } catch (error) {
        for (const place of orphans) this.tell(place, asDriverError(error));
      }
      if (this.ledBy(-1).length > 0) await alarm.sleep(backoff(attempt + 1, 50, 1_000));
    }
  }

  private async readFrom(leader: number, alarm: Alarm): Promise<void> {
    let wait = SHORTEST_WAIT;
    while (!this.closed) {
      const led = this.ledBy(leader);
      if (led.length === 0) return;
      const now = Date.now();
      const ready = led.filter((place) => !place.paused && place.notBefore <= now);
      if (ready.length === 0) {
        const next = Math.min(...led.map((place) => (place.paused ? Infinity : place.notBefore - now)));
        await alarm.sleep(Math.min(next, 60_000));
        continue;
      }
      // Doubling: whoever drained half its buffer in some time has the other half for as long.
      const held = ready.length < led.length;
      wait = held ? Math.min(wait * 2, 100, this.options.fetchWait) : SHORTEST_WAIT;
      await this.fetch(leader, ready, held ? wait : this.options.fetchWait);
    }
  }

  private async fetch(leader: number, ready: readonly Place[], wait: number): Promise<void> {
    // Only the first partition of a request is sure to get a batch larger than the limits: let each be the first in turn.
    const first = this.turn++ % ready.length;
    const targets: FetchTarget[] = [...ready.slice(first), ...ready.slice(0, first)].map(targetOf);
    let answer: FetchedPartition[];
    try {
      const connection = await this.cluster.node(leader, this.lane);
      const body = encodeFetch(targets, this.options, wait, this.options.fetchBytesPerPartition);
      const decoder = this.decoderOf(leader);
      const decode = (bytes: Buffer): Promise<FetchedPartition[]> => decoder.decode(bytes, targets);
      answer = await connection.exchange('Fetch', body, decode, wait + 5_000);
    } catch (error) {
      for (const place of ready) this.fail(place, asDriverError(error));
      return;
    }
    // What is not first in a request may be left out of the answer, but never all of it while there is anything.
    const isBare = answer.every(({ error, size }) => error === undefined && size === 0);
    for (const { topic, partition, error, fetched } of answer) {
      const place = this.places.get(sourceName({ topic, partition }));
      // Removed, or removed and added again elsewhere while the answer was on its way.
      if (place === undefined || !ready.includes(place)) continue;
      if (error === undefined) this.hand(place, fetched, isBare);
      else if (error.type === 'OFFSET_OUT_OF_RANGE') await this.relocate(place);
      else this.fail(place, error);
    }
  }

  private hand(place: Place, fetched: FetchedRecords, isBare: boolean): void {
    place.failures = 0;
    const moved = fetched.nextOffset > place.offset;
    place.offset = fetched.nextOffset;
    if (moved) this.listener.records(place.source, fetched);
    else this.listener.idle(place.source, fetched, isBare);
  }

  private async relocate(place: Place): Promise<void> {
    try {
      const offset = await this.listener.outOfRange(place.source, place.offset);
      place.offset = offset;
    } catch (error) {
      this.fail(place, asDriverError(error));
    }
  }

  private fail(place: Place, error: Error): void {
    if (this.closed || !this.isCurrent(place)) return;
    this.tell(place, error);
    place.notBefore = Date.now() + backoff(place.failures, 50, 1_000);
    place.leader = -1;
    this.cluster.invalidate(place.source.topic);
    this.run(-1);
  }

  private tell(place: Place, error: Error): void {
    if (place.failures++ === 0 && this.isCurrent(place)) this.listener.failed(place.source, error);
  }

  private isCurrent(place: Place): boolean {
    return this.places.get(sourceName(place.source)) === place;
  }

  private decoderOf(leader: number): FetchAnswerDecoder {
    let decoder = this.decoders.get(leader);
    if (decoder === undefined) this.decoders.set(leader, (decoder = new FetchAnswerDecoder()));
    return decoder;
  }
}

function targetOf({ source, offset }: Place): FetchTarget {
  return { topic: source.topic, partition: source.partition, offset };
}
